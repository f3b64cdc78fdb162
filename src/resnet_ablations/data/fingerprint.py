"""The fingerprint of image files: a digest of their paths and their content."""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError
from resnet_ablations.results.atomic_write import write_atomically

T = TypeVar("T")

MOUNTS: Final = Path("/proc/self/mountinfo")

RULE: Final = 1
"""The version of the rule; a new version does not use cache files of an older one."""

WHOLE: Final = 16 * 1024
"""The size up to which a sampled file is read whole, in bytes."""
PIECE: Final = 4 * 1024
"""The size of each of the three pieces that are read of a larger sampled file, in bytes."""

THREADS: Final = 8
CHUNK: Final = 512
"""Files that a thread reads at a time."""

SETTLED_SECONDS: Final = 2.0
"""The age in seconds from which a change time identifies a file's content.

Two changes within one tick of the file system's clock have the same time.
"""


def changed_while_read(root: Path) -> UserError:
    """Return the error for images that have changed while this program read them."""
    return UserError(f"data.root={root}: images changed while they were read; start again when they are complete")


def fingerprint(root: Path, paths: Sequence[str], cache: Path | None, *, sampled: tuple[str, ...] = ()) -> str:
    """Return 32 hexadecimal digits of a SHA-256 over the path below `root`, the size and the content of every file.

    A file with a suffix in `sampled` and with more than `WHOLE` bytes is sampled: only `PIECE` bytes each of its start,
    its middle and its end are read. Other files are read whole. So a change of a sampled file is not seen if it leaves
    the file's size and all three pieces as they were. A PNG ends with a checksum of all its pixels. In a compressed
    file, a change of the image nearly always changes the size.

    The result is kept in a file in the folder `cache`, under a digest of the path, size, modification time, change time
    and inode of every file. Any program that writes to a file changes its change time, and none can set it back. The
    cache is not used if `cache` is None or cannot be written, or if a file system does not keep change times. Print
    progress on stderr if reading is slow. Raise `UserError`, with up to five problems, if files cannot be read.
    """
    began = time.time()
    file_systems = FileSystems()
    stamps = _map_files(root, paths, "checking", partial(_stamp, file_systems=file_systems))
    if not file_systems.keep_change_times():
        cache = None
    file = None if cache is None else cache / f"fingerprint-{_digest(repr((RULE, sampled)), paths, stamps)}"
    if file is not None and (known := _read(file)):
        return known
    contents = _map_files(root, paths, "reading", lambda path: _content(path, sampled))
    if _map_files(root, paths, "checking", partial(_stamp, file_systems=file_systems)) != stamps:
        raise changed_while_read(root)
    result = _digest("", paths, contents)
    newest = max((changed for *_, changed, _ in stamps), default=0)
    if file is not None and newest < (began - SETTLED_SECONDS) * 1e9:
        _write(file, result)
    return result


Stamp = tuple[int, int, int, int]
"""The size of a file, its modification time, its change time (both in ns) and its inode."""


class FileSystems:
    """The file systems on which files lie, and whether the change times of these files can be relied on."""

    def __init__(self) -> None:
        self._files: dict[int, str] = {}
        self._fractions: set[int] = set()

    def add(self, path: str, status: os.stat_result) -> None:
        """Note the file's device, and whether its change time has a fraction of a second."""
        self._files.setdefault(status.st_dev, path)
        if status.st_ctime_ns % 10**9:
            self._fractions.add(status.st_dev)

    def keep_change_times(self) -> bool:
        """Return False if a file system is itself read-only, or has no change times but whole seconds.

        An image of a file system, such as squashfs or ISO 9660, shows the modification times that were stored when it
        was made. Another image in its place can have the same times, inodes and sizes, but other content.
        """
        return all(
            device in self._fractions and not _is_read_only(device, path) for device, path in self._files.items()
        )


def _is_read_only(device: int, path: str) -> bool:
    """Return whether a file system is read-only; one that is only mounted so here, as in a container, is not."""
    if not os.statvfs(path).f_flag & os.ST_RDONLY:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = [line.split() for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return True
    # The third field is the device, the last one has the options of the file system itself.
    return not any(mount[2] == number and "rw" in mount[-1].split(",") for mount in mounts)


def _stamp(path: str, file_systems: FileSystems) -> Stamp:
    status = os.stat(path)  # noqa: PTH116
    file_systems.add(path, status)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _content(path: str, sampled: tuple[str, ...]) -> tuple[int, bytes]:
    """Return the file's size and the SHA-256 of its content or of its sample."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not block
    try:
        size = os.fstat(descriptor).st_size
        if size > WHOLE and path.lower().endswith(sampled):
            pieces = [_piece(descriptor, start) for start in (0, (size - PIECE) // 2, size - PIECE)]
            return size, hashlib.sha256(b"".join(pieces)).digest()
        digest = hashlib.sha256()
        while piece := os.read(descriptor, 1 << 20):
            digest.update(piece)
        return size, digest.digest()
    finally:
        os.close(descriptor)


def _piece(descriptor: int, start: int) -> bytes:
    """Return `PIECE` bytes of a file from `start` on; a network file system may return them in parts."""
    piece = b""
    while len(piece) < PIECE and (part := os.pread(descriptor, PIECE - len(piece), start + len(piece))):
        piece += part
    return piece


def _map_files(root: Path, paths: Sequence[str], doing: str, work: Callable[[str], T]) -> list[T]:
    """Return `work(path)` for each file, in order, computed by threads.

    `doing` is the verb of the progress line. Raise `UserError` with up to five files that cannot be read.
    """
    problems: list[str] = []
    progress = ProgressLines(f"{doing} {root}")

    def work_on_chunk(start: int) -> list[T]:
        done: list[T] = []
        for path in paths[start : start + CHUNK]:
            try:
                done.append(work(f"{root}/{path}"))
            except OSError as error:
                problems.append(
                    f"{error.filename or root / path}: cannot be read ({error.strerror}); repair or remove it"
                )
        return done

    results: list[T] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for done in pool.map(work_on_chunk, range(0, len(paths), CHUNK)):
            results += done
            progress.at(len(results), len(paths), "images")
            if len(problems) >= 5:
                break
    if problems:
        raise UserError(*sorted(problems)[:5])
    return results


def _digest(rule: str, paths: Sequence[str], facts: Sequence[object]) -> str:
    digest = hashlib.sha256(rule.encode())
    for path, fact in zip(paths, facts, strict=True):
        digest.update(f"{path}\0{fact}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _read(file: Path) -> str | None:
    """Return the fingerprint in a cache file; None if the file is missing or damaged."""
    try:
        result, checksum = file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return result if checksum == _checksum(file, result) else None


def _write(file: Path, result: str) -> None:
    """Write a cache file atomically, if that is possible."""
    with suppress(OSError):
        write_atomically(file, f"{result} {_checksum(file, result)}\n")


def _checksum(file: Path, result: str) -> str:
    return hashlib.sha256(f"{file.name} {result}".encode()).hexdigest()[:16]
