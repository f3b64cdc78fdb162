"""Signals to a run: the first asks it to stop after the step under way, the second stops it at once."""

import os
import signal
from types import FrameType


class StopRequest:
    """Listens to the signals of these numbers from its making on; `signal` is the one that came, if any."""

    def __init__(self, *numbers: int) -> None:
        self.signal: int | None = None
        for number in numbers:
            signal.signal(number, self._received)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
