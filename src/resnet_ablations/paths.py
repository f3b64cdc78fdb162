"""The folders of the files beside the code, and the default results folder."""

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
_INSTALLED = PACKAGE / "repository"
IS_CLONE = not _INSTALLED.is_dir()
"""True if the code runs from the repository; an installed package has copies of the files."""
ROOT = PACKAGE.parents[1] if IS_CLONE else _INSTALLED
"""The folder of `conf/`, `experiments/` and `results/reference/`."""

CONF = ROOT / "conf"


def mistaken_checkout() -> str | None:
    """Return the mistake if the current folder is in a checkout of this project, but the code that runs is elsewhere.

    The environment was copied with the checkout, or another checkout is installed in it.
    """
    here = Path(os.path.realpath("."))
    code = Path("src", PACKAGE.name)
    checkout = next((folder for folder in (here, *here.parents) if (folder / code / "__main__.py").exists()), None)
    if checkout is None or PACKAGE.samefile(checkout / code):
        return None
    return (
        f"{here}: the current folder is in the checkout {checkout}, but the code that runs is in {PACKAGE}; "
        f"run `make setup` in {checkout}, or change to a folder outside it"
    )


def with_home(path: str) -> str:
    """Return the path with `~` replaced; raise `ValueError` for the home folder of an unknown user."""
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise ValueError("starts with the home folder of an unknown user; write the whole path") from None


def default_results() -> str:
    """Return the default results folder, the same as `paths.results` in conf/train.yaml."""
    return os.environ.get("RESNET_ABLATIONS_RESULTS", "results")
