"""Ctrl-C and SIGTERM, once and twice, in the middle of a checkpoint's write; the terminal is as it was."""

import os
import pty
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from commands import Command, has_pending, processes, stopped
from observing import wait_until
from sweeps import HOW, ONE, Sweeps

from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.sweep.monitor import SweepMonitor

pytestmark = pytest.mark.xdist_group("faults")

# A table of two runs, which are trained at the same time.
TABLE = ("experiment=shortcuts", "scale=quick", "rows=original,dropout", "columns=error", "network.depth=8", *ONE[3:])
SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"


class Terminal:
    """A terminal whose output is read and that can send keys."""

    def __init__(self) -> None:
        self._typed, self._kept = pty.openpty()
        self.path = os.ttyname(self._kept)
        self.before = self.settings
        self.shown = b""
        self._hangs_up = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def settings(self) -> list[Any]:
        """The terminal's settings: echo, and the key for Ctrl-C."""
        return termios.tcgetattr(self._kept)

    def type(self, keys: bytes) -> None:
        """Keys, as they come from a keyboard."""
        os.write(self._typed, keys)

    def close(self) -> None:
        """Close it, when all has been read."""
        os.close(self._kept)
        self._reader.join()
        os.close(self._typed)

    def hang_up(self) -> None:
        """Lose the connection, as when a window or an SSH session ends."""
        self._hangs_up.set()
        self._reader.join()  # a read under way would keep the terminal open
        os.close(self._kept)
        os.close(self._typed)

    def _read(self) -> None:
        with suppress(OSError):
            while not self._hangs_up.is_set():
                if select.select([self._typed], [], [], 0.05)[0]:
                    self.shown += os.read(self._typed, 1 << 16)


def write_of(nth: int) -> dict[str, Any]:
    """Both runs are stopped in the middle of writing this checkpoint."""
    return {"event": "os.rename", "name": "checkpoint-*", "nth": nth, "do": "stop"}


def until_both_stop(command: Command) -> list[int]:
    assert command.reached(lambda: len(stopped(command.pid)) == 2)
    return stopped(command.pid)


def go_on(*runs: int) -> None:
    for pid in runs:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def table(left_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The files of a sweep without a stop."""
    return left_by(*TABLE)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal."""
    made = Terminal()
    yield made
    made.close()


def check_stopped(sweeps: Sweeps, command: Command, iteration: int) -> None:
    """No process continues to train; both runs can resume from their checkpoints."""
    wait_until(lambda: not list(processes(command.pid)))
    states = sweeps.states.values()
    assert [(state.outcome, state.resumable_from) for state in states] == [("interrupted", iteration)] * 2
    wait_until(lambda: sweeps.temporary_files() == set())


def check_goes_on(sweeps: Sweeps, table: dict[str, Any]) -> None:
    """The same command ends with the same files and the same table."""
    command = sweeps.run(*TABLE, *HOW)
    assert command.code == 0, command.said
    assert sweeps.outcome() == table


def test_ctrl_c_once(sweeps: Sweeps, table: dict[str, Any], terminal: Terminal) -> None:
    """The checkpoint in progress is written, then the checkpoint of the step in which the signal came."""
    command = sweeps.start(*TABLE, *HOW, faults=[write_of(3)], output=Path(terminal.path))
    runs = until_both_stop(command)
    assert HIDE_CURSOR in terminal.shown
    terminal.type(b"\x03")
    wait_until(lambda: all(has_pending(pid, signal.SIGTERM) for pid in runs))
    go_on(*runs)
    assert command.wait() == 130
    check_stopped(sweeps, command, 10)
    assert terminal.settings == terminal.before
    wait_until(lambda: terminal.shown.rfind(SHOW_CURSOR) > terminal.shown.rfind(HIDE_CURSOR))
    assert b"send the signal again to stop at once" in terminal.shown
    assert b"Traceback" not in terminal.shown
    check_goes_on(sweeps, table)


def test_a_lost_terminal_and_the_end_of_its_session(sweeps: Sweeps, table: dict[str, Any]) -> None:
    """The kernel sends SIGHUP to the sweep and to all of its processes, and nothing can be printed any more.

    Then the system sends SIGTERM to all of them, while the runs write the checkpoints that SIGHUP asked for.
    """
    terminal = Terminal()
    command = sweeps.start(*TABLE, *HOW, faults=[write_of(3), write_of(4)], output=Path(terminal.path))
    runs = until_both_stop(command)
    terminal.hang_up()
    wait_until(lambda: all(has_pending(pid, signal.SIGTERM) for pid in runs))
    go_on(*runs)
    wait_until(lambda: not any(has_pending(pid, signal.SIGTERM) for pid in runs) and stopped(command.pid) == runs)
    for pid in (command.pid, *runs):
        os.kill(pid, signal.SIGTERM)
    go_on(*runs)
    assert command.wait() == 128 + signal.SIGHUP
    check_stopped(sweeps, command, 10)
    check_goes_on(sweeps, table)


def test_ctrl_c_twice(sweeps: Sweeps, table: dict[str, Any], terminal: Terminal) -> None:
    """The checkpoint under way is lost, and no other."""
    command = sweeps.start(*TABLE, *HOW, faults=[write_of(3)], output=Path(terminal.path))
    runs = until_both_stop(command)
    terminal.type(b"\x03")
    wait_until(lambda: all(has_pending(pid, signal.SIGTERM) for pid in runs))
    terminal.type(b"\x03")
    assert command.wait() == 130
    wait_until(lambda: not list(processes(command.pid)))
    assert [state.resumable_from for state in sweeps.states.values()] == [6, 6]
    assert [state.done for state in sweeps.states.values()] == [False, False]
    assert terminal.settings == terminal.before
    wait_until(lambda: terminal.shown.rfind(SHOW_CURSOR) > terminal.shown.rfind(HIDE_CURSOR))
    assert b"Traceback" not in terminal.shown
    wait_until(lambda: sweeps.temporary_files() == set())
    check_goes_on(sweeps, table)


def test_the_cursor_comes_back_even_if_the_signal_comes_while_the_table_is_drawn(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Path(terminal.path).open("w") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setenv("TERM", "xterm")
        with SweepMonitor([RunFolder(tmp_path, "a")]) as progress, progress._console:
            progress.close()
            wait_until(lambda: SHOW_CURSOR in terminal.shown)
