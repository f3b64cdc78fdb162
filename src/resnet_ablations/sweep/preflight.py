"""The check before the first run: the results folder can be written and has room."""

import fcntl
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.sweep.estimates import checkpoints_bytes


def check_room(results: str, runs: Sequence[RunConfig], at_once: int) -> None:
    """Raise `UserError` if the results folder cannot be written, or has no room for the runs' checkpoints.

    The folder is created if its parent exists; a missing parent is a mistyped path or a disk that is not mounted.
    """
    folder = Path(results)
    if not folder.absolute().parent.is_dir():
        raise UserError(
            f"paths.results={results}: {folder.absolute().parent} does not exist; create it, or mount its disk"
        )
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(
            f"paths.results={results}: cannot be written: {error.strerror}; choose another folder"
        ) from None
    if (needed := checkpoints_bytes(runs, at_once)) > free:
        raise UserError(
            f"paths.results={results}: {_megabytes(free)} free, but checkpoints of {min(at_once, len(runs))} runs at "
            f"once need {_megabytes(needed)}; make room, or choose another folder"
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
