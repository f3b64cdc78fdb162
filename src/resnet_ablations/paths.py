"""Folders: the files beside the code, and the results where none are named."""

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
_INSTALLED = PACKAGE / "repository"
IS_CLONE = not _INSTALLED.is_dir()
"""True if the code runs from the repository; an installed package has copies of the files."""
ROOT = PACKAGE.parents[1] if IS_CLONE else _INSTALLED
"""The folder of `conf/`, `experiments/` and `results/reference/`."""


def default_results() -> Path:
    """Return the results folder of a command that names none, as `paths.results` in conf/train.yaml does."""
    return Path(os.environ.get("RESNET_ABLATIONS_RESULTS", "results"))
