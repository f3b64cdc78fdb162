"""Before the first run starts: is there a place for what they leave, and room for it?"""

import fcntl
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.sweep.estimates import checkpoints_bytes


def check_room(results: str, runs: Sequence[RunConfig], at_once: int) -> None:
    """Raise `UserError` where the results folder cannot be written, or has no room for the runs' checkpoints.

    The folder is made if only its last part is missing: a longer path is one that is not mounted, or mistyped.
    """
    folder = Path(results)
    if not folder.absolute().parent.is_dir():
        raise UserError(f"paths.results={results}: {folder.absolute().parent} is not there; make it, or mount it")
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(f"paths.results={results}: cannot be written: {error.strerror}") from None
    if (needed := checkpoints_bytes(runs, at_once)) > free:
        raise UserError(
            f"paths.results={results}: {_megabytes(free)} free, but checkpoints of {min(at_once, len(runs))} runs at "
            f"once need {_megabytes(needed)}; make room, or choose another folder"
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
