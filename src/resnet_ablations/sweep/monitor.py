"""The progress of running runs: a live table on a terminal, plain lines elsewhere."""

import os
import textwrap
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from resnet_ablations.results.locks import DEAD_AFTER_SECONDS, RunLock
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.states import State, state_of

PLAIN_SECONDS = 30


def print_reasons(states: Mapping[str, State], console: Console) -> None:
    """Print a line for each run whose state has a reason."""
    for key, state in states.items():
        if state.reason:
            console.print(f"{key}: {state.reason}", markup=False)


def state_table(states: Mapping[str, State], width: int) -> Table:
    """Return a table with a line a run: outcome, step, speed, and the time left or the final error."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    headings = ("outcome", "step", "images/s", "left/error")
    lines = {key: _line(state) for key, state in states.items()}
    taken = sum(1 + max(map(len, column)) for column in zip(headings, *lines.values(), strict=True))
    table.add_column("run", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "outcome" else "right", no_wrap=True)
    for key, line in lines.items():
        table.add_row(Text("\n".join(textwrap.wrap(key, max(width - taken - 1, 20)))), *line)
    return table


def _line(state: State) -> tuple[str, str, str, str]:
    step = "" if state.iterations is None else f"{state.iteration}/{state.iterations}"
    speed = f"{state.images_per_second:,.0f}" if state.images_per_second else ""
    return state.outcome, step, speed, _left_or_error(state)


def _left_or_error(state: State) -> str:
    if state.test_error is not None:
        return f"{state.test_error:.2f} %"
    return "" if state.seconds_left is None else str(timedelta(seconds=round(state.seconds_left)))


class SweepMonitor:
    """The display of a sweep: a table of the running runs, and one line for each run that ends."""

    def __init__(self, folders: Sequence[RunFolder]) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        self._live = Live(console=self._console, transient=True, auto_refresh=False)
        self._runs, self._ended = len(folders), 0
        self._logs = folders[0].log.parent.with_name("RUN") / folders[0].log.name
        self._active: dict[str, RunFolder] = {}
        self._postponed: set[str] = set()
        self._start = self._last_report = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, message: str) -> None:
        """Print a line above the table."""
        self._console.print(message, markup=False)

    def stopping(self, reason: str) -> None:
        """Print that the sweep stops."""
        self.say(f"stopping after the current steps; {reason}")

    def close(self) -> None:
        """Restore the terminal's cursor; safe in a signal handler."""
        if self._console.is_terminal:
            # The signal may have interrupted the console while it filled its buffer.
            os.write(self._console.file.fileno(), b"\x1b[?25h")

    def started(self, folder: RunFolder) -> None:
        """Add a run to the table."""
        self._active[folder.key] = folder

    def postponed(self, folder: RunFolder) -> None:
        """Note that another sweep trains the run; print it once."""
        self._active.pop(folder.key, None)
        if folder.key not in self._postponed:
            self._postponed.add(folder.key)
            owner = RunLock(folder.path).named()
            until = (
                f", or to be silent for {DEAD_AFTER_SECONDS:.0f} s" if owner and not owner.is_of_this_machine else ""
            )
            self.say(f"{folder.key}: another sweep trains it; waiting for it to end{until}")

    def left(self, folder: RunFolder) -> None:
        """Remove a run that another process trains, and print that it is left to that process."""
        self._active.pop(folder.key, None)
        self.say(f"{folder.key}: another process trains it; this job leaves it to that process")

    def ended(self, folder: RunFolder) -> None:
        """Remove a run from the table and print how it ended."""
        self._active.pop(folder.key, None)
        self._ended += 1
        state = state_of(folder)
        result = folder.result() if state.done else None
        line = f"{folder.key}: {state.outcome} {state.reason}".rstrip() if result is None else result.summary()
        self.say(f"[{self._ended}/{self._runs}] {line}")

    def update(self) -> None:
        """Show the progress of the running runs."""
        if self._console.is_terminal:
            elapsed = timedelta(seconds=round(time.monotonic() - self._start))
            total = f"{self._ended} of {self._runs} runs ended, {elapsed} so far; logs: {self._logs}"
            self._live.update(Group(state_table(self._states(), self._console.width), Text(total)), refresh=True)
        elif time.monotonic() - self._last_report > PLAIN_SECONDS:
            self._last_report = time.monotonic()
            for key, state in self._states().items():
                if state.iteration:
                    left = "" if state.seconds_left is None else f", {_left_or_error(state)} left"
                    speed = f"{state.images_per_second:,.0f} images/s"
                    self.say(f"  {key}: {state.iteration}/{state.iterations}, {speed}{left}")

    def _states(self) -> dict[str, State]:
        return {key: state_of(folder) for key, folder in self._active.items()}
