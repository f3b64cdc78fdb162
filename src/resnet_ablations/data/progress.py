"""Progress of a slow operation, as lines on stderr."""

import sys
import time
from typing import Final

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
