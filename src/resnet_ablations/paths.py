"""The folders of the files beside the code, and the default results folder."""

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent
_INSTALLED = PACKAGE / "repository"
IS_CLONE = not _INSTALLED.is_dir()
"""True if the code runs from the repository; an installed package has copies of the files."""
ROOT = PACKAGE.parents[1] if IS_CLONE else _INSTALLED
"""The folder of `conf/`, `experiments/` and `results/reference/`."""

CONF = ROOT / "conf"


def mistaken_checkout() -> str | None:
    """Return the mistake if the current folder or the environment is in a checkout, but the code that runs is not.

    The environment was copied with the checkout, or another checkout is installed in it; a copied command starts the
    environment that it was copied from. Code that PYTHONPATH names may run in any environment.
    """
    try:
        here = Path(os.path.realpath("."))
    except FileNotFoundError:
        return "the current folder no longer exists; change to another folder"
    places = {"current folder": here}
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if os.path.realpath(PACKAGE.parent) not in map(os.path.realpath, named):
        places["environment"] = Path(sys.prefix)
        command_line = getattr(sys, "argv", None) or [""]  # a program that embeds Python may have none
        program = Path(os.path.realpath(command_line[0]))
        if program.parent.name == "bin":
            places["command"] = program
    for what, place in places.items():
        checkout = _checkout_of(place)
        if checkout is not None and not PACKAGE.samefile(checkout / _CODE):
            return (
                f"{place}: the {what} is in the checkout {checkout}, but the code that runs is in {PACKAGE}; "
                f"run `make setup` in {checkout}, or {_ELSEWHERE[what]}"
            )
    return None


_CODE = Path("src", PACKAGE.name)
_ELSEWHERE = {
    "current folder": "change to a folder outside it",
    "environment": f"use the environment of {ROOT}",
    "command": f"use the command of {ROOT}",
}


def _checkout_of(folder: Path) -> Path | None:
    """Return the nearest checkout of this project around a folder."""
    return next((each for each in (folder, *folder.parents) if (each / _CODE / "__main__.py").exists()), None)


def with_home(path: str) -> str:
    """Return the path with `~` replaced; raise `ValueError` for the home folder of an unknown user."""
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise ValueError("starts with the home folder of an unknown user; write the whole path") from None


def default_results() -> str:
    """Return the default results folder, the same as `paths.results` in conf/train.yaml."""
    return folder_named("RESNET_ABLATIONS_RESULTS", "results")


def folder_named(variable: str, default: str) -> str:
    """Return the folder that an environment variable names; the default if the variable is not set or empty."""
    return os.environ.get(variable) or default
