"""How far something is that takes long, on stderr."""

import sys
import time
from typing import Final

QUIET_SECONDS: Final = 2.0
"""From one line to the next, and before the first."""


class ProgressLines:
    """Says where it is when `quiet_seconds` have passed since it last did."""

    def __init__(self, doing: str, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._doing = doing
        self._quiet_seconds = quiet_seconds
        self._said = time.monotonic()

    def at(self, done: int, total: int, things: str) -> None:
        """So many of them are done."""
        if time.monotonic() - self._said > self._quiet_seconds:
            self._said = time.monotonic()
            print(f"{self._doing}: {done:,} of {total:,} {things}", file=sys.stderr, flush=True)
