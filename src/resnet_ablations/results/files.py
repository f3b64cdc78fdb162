"""Writing files so that a reader finds the old content or the new one, never a part."""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_ablations.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a disk with no space left."""


def no_space(place: str | Path) -> str:
    """What a person is told when `place` cannot be written to for want of space."""
    return f"{place}: no space left; make room, and the same command goes on from the last checkpoint"


@contextmanager
def room_in(place: str | Path) -> Iterator[None]:
    """Raise `UserError` where the disk turns out to be full."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise UserError(no_space(place)) from None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write to a temporary file of the same folder, fsync, rename, fsync the folder."""
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


def clear_half_written(folder: Path) -> None:
    """Remove what processes that were killed in `write_atomically` left; the folder is locked by the caller."""
    for half_written in folder.glob(".*.*"):
        half_written.unlink()


@contextmanager
def locked(results: Path) -> Iterator[None]:
    """One process at a time in a results folder: see `held`."""
    with held(results / ".lock"):
        yield


@contextmanager
def held(lock: Path, *, wait: bool = True) -> Iterator[None]:
    """One process at a time, on whatever machine, by a file that stays; `BlockingIOError` if it is not to wait for it.

    A file, not the folder itself, and open for writing: so NFS passes the lock on.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
