"""Progress of a slow operation, and waits for other processes, as lines on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

QUIET_SECONDS: Final = 2.0
"""Seconds before the first line, and between two lines."""


class ProgressLines:
    """Progress lines on stderr, at most one every `quiet_seconds`; a fast operation prints none."""

    def __init__(self, doing: str, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._doing = doing
        self._quiet_seconds = quiet_seconds
        self._printed_at = time.monotonic()

    def at(self, done: int, total: int, things: str) -> None:
        """Report that `done` of `total` things are done; print a line if the last one is `quiet_seconds` old."""
        if time.monotonic() - self._printed_at > self._quiet_seconds:
            self._printed_at = time.monotonic()
            print(f"{self._doing}: {done:,} of {total:,} {things}", file=sys.stderr, flush=True)


@contextmanager
def shared_work(lock: Path, doing: str) -> Iterator[None]:
    """Hold the lock of work that one process does for all; after `QUIET_SECONDS`, print what is waited for."""
    file_lock = FileLock(lock)
    try:
        file_lock.acquire(timeout=QUIET_SECONDS)
    except Timeout:
        print(f"waiting for another process, which is {doing} (it holds {lock})", file=sys.stderr, flush=True)
        file_lock.acquire()
    try:
        yield
    finally:
        file_lock.release()
