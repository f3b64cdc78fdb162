"""Stop signals: the first asks for a stop after the current step, the second stops at once."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that stop a run: Ctrl-C, `kill`, and the loss of the terminal."""
GRACE_SECONDS = 20.0
"""The time that work before the first step may still take after a stop signal."""


class Interrupted(BaseException):
    """A signal stopped the run, which can resume from its checkpoint; `signal` is the signal's number.

    Like `KeyboardInterrupt`, it passes through code that handles every `Exception`, such as that of a damaged file.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class StopRequest:
    """A context that handles the signals `numbers`; `signal` is the first signal received, or None.

    The first signal calls `at_first`, even while the process is blocked, for example because it prints to a terminal
    that stands still. A second signal calls `at_once`, which by default ends the process. SIGHUP counts only as a first
    signal, since a terminal that is lost sends it more than once, and a session that ends sends SIGTERM after it. Under
    `nohup`, which ignores SIGHUP, SIGHUP stays ignored.
    """

    def __init__(
        self,
        *numbers: int,
        at_first: Callable[[int], None] = lambda number: None,
        at_once: Callable[[int], None] = lambda number: os._exit(128 + number),
    ) -> None:
        self.signal: int | None = None
        self._asked = False
        """True after a signal that is not SIGHUP."""
        self._numbers = numbers
        self._at_first = at_first
        self._at_once = at_once
        self._before: dict[int, Any] = {}
        self._interrupts = False
        self._alarm: tuple[Any, float, float] | None = None
        """The caller's alarm: its handler, when it is due on the monotonic clock (0 if it is not set), its interval."""

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise `Interrupted` if the context lasts longer than `GRACE_SECONDS` after a signal; only in the main thread.

        It is for work before the first step, such as the decoding of images: no step has to be completed.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._interrupts = True
        try:
            if self.signal is not None:
                self._take_alarm()
            yield
        finally:
            self._interrupts = False
            self._give_back_alarm()

    def _take_alarm(self) -> None:
        """Set the process's one alarm; until a stop signal, it is left to the program that trains the run."""
        if self._alarm is not None:
            return
        handler = signal.signal(signal.SIGALRM, self._interrupt)
        delay, interval = signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
        self._alarm = (handler, delay and time.monotonic() + delay, interval)

    def _give_back_alarm(self) -> None:
        if self._alarm is None:
            return
        (handler, due, interval), self._alarm = self._alarm, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        _set_handler(signal.SIGALRM, handler)
        if due:
            signal.setitimer(signal.ITIMER_REAL, max(due - time.monotonic(), 1e-3), interval)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupts and self.signal is not None:
            raise Interrupted(self.signal)

    def __enter__(self) -> Self:
        for number in self._numbers:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._before:
            _set_handler(*self._before.popitem())

    def _received(self, number: int, frame: FrameType | None) -> None:
        was_asked, self._asked = self._asked, self._asked or number != signal.SIGHUP
        if self.signal is None:
            self.signal = number
            if self._interrupts:
                self._take_alarm()
            self._at_first(number)
        elif was_asked and number != signal.SIGHUP:
            self._at_once(number)


def _set_handler(number: int, handler: Any) -> None:
    """Set the handler of a signal, unless it is None: Python cannot set a handler that another language had set."""
    if handler is not None:
        signal.signal(number, handler)


def when_parent_ends(act: Callable[[], object]) -> None:
    """Call `act` when this process's parent has ended, because a killed parent cannot forward a signal."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        act()

    threading.Thread(target=watch, daemon=True).start()
