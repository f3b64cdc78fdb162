"""Signals: the first asks for a stop after the step under way, the second stops at once."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupted(Exception):
    """A signal, whose number this carries, ended the run before its time; it goes on from its checkpoint."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class StopRequest:
    """Listens, as a context, to the signals of these numbers; `signal` is the first that came, if any.

    A second one calls `at_once`, by default the end of the process.
    """

    def __init__(self, *numbers: int, at_once: Callable[[int], None] = lambda number: os._exit(128 + number)) -> None:
        self.signal: int | None = None
        self._numbers = numbers
        self._at_once = at_once
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._received) for number in self._numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
        else:
            self._at_once(number)


def when_parent_ends(act: Callable[[], object]) -> None:
    """Do something as soon as the process that started this one is gone, for a killed one cannot pass a signal on."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        act()

    threading.Thread(target=watch, daemon=True).start()
