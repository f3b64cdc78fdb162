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


def with_home(path: str) -> str:
    """Return the path with `~` replaced; raise `ValueError` for the home folder of an unknown user."""
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise ValueError("starts with the home folder of an unknown user; write the whole path") from None


def default_results() -> str:
    """Return the default results folder, the same as `paths.results` in conf/train.yaml."""
    return os.environ.get("RESNET_ABLATIONS_RESULTS", "results")
