"""Writing files so that a reader finds the old content or the new content, never a part; errors of a full disk."""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from resnet_ablations.errors import UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""The system's error numbers for a disk or a quota that is full."""

NOT_OFFERED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF)
"""The system's error numbers for an operation that a file system does not have."""


TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")
"""The pattern of the names of temporary files."""


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
    """Write to a temporary file in the same folder, fsync it, rename it, fsync the folder; the umask gives the mode."""
    create_atomically(path, content).close()


def create_atomically(path: Path, content: str | bytes) -> BinaryIO:
    """Write a file as `write_atomically` does, and return it, open for more.

    If another process replaces the file, this process still writes to its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = temporary.open("xb")
    try:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        _fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except BaseException:
        file.close()
        temporary.unlink(missing_ok=True)
        raise
    return file


def fsync_folder(folder: Path) -> bool:
    """Write a folder's list of files to the disk; return False if the file system does not offer that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):
        return False
    try:
        return _fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync(descriptor: int) -> bool:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
        return False
    return True


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files of processes killed in `write_atomically`; the caller holds the folder's lock."""
    for file in folder.glob(".*.*"):
        if TEMPORARY.fullmatch(file.name):
            file.unlink(missing_ok=True)
