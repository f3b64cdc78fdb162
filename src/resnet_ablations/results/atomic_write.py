"""Writing files so that a reader finds the old content or the new content, never a part; errors of a full disk."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_ablations.errors import UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""The system's error numbers for a disk or a quota that is full."""


def disk_full_message(place: str | Path) -> str:
    """Return the error message for a full disk at `place`."""
    return f"{place}: no space left; make room, and the same command goes on from the last checkpoint"


@contextmanager
def reporting_full_disk(place: str | Path) -> Iterator[None]:
    """Raise `UserError` in place of the system's error for a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise UserError(disk_full_message(place)) from None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write to a temporary file in the same folder, fsync it, rename it, fsync the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files of processes killed in `write_atomically`; the caller holds the `results_lock`."""
    for temporary in folder.glob(".*.*"):
        temporary.unlink()
