"""What a person sees while a sweep runs: bars on a terminal, plain lines elsewhere."""

import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from resnet_ablations.results.run_folder import RunFolder

PLAIN_SECONDS = 30


class Progress:
    """The runs under way: step, speed, time left; and of each that ends one line."""

    def __init__(self, runs: int) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            speed_estimate_period=3600,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._runs, self._ended = runs, 0
        self._total = self._bars.add_task(f"{runs} runs", total=runs, speed="")
        self._active: dict[str, tuple[RunFolder, TaskID]] = {}
        self._spoken = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stopping(self) -> None:
        """A signal has come."""
        self._console.print("stopping after the steps under way; once more to stop at once")

    def close(self) -> None:
        """Give the terminal back, whatever is going on."""
        self._console.show_cursor(True)

    def started(self, folder: RunFolder) -> None:
        """A run begins."""
        self._active[folder.key] = folder, self._bars.add_task(folder.key, total=None, speed="")

    def postponed(self, folder: RunFolder) -> None:
        """A run turned out to be another sweep's."""
        self._remove(folder)
        self._console.print(f"{folder.key}: another sweep trains it; waiting for that", markup=False)

    def _remove(self, folder: RunFolder) -> None:
        if folder.key in self._active:
            self._bars.remove_task(self._active.pop(folder.key)[1])

    def ended(self, folder: RunFolder) -> None:
        """A run has ended, one way or another."""
        self._remove(folder)
        self._ended += 1
        self._bars.update(self._total, completed=self._ended)
        result, status = folder.result(), folder.status()
        if result is not None:
            line = result.summary()
        else:
            line = f"{folder.key}: {status.outcome} {status.reason}" if status else f"{folder.key}: ended"
        self._console.print(f"[{self._ended}/{self._runs}] {line}", markup=False)

    def update(self) -> None:
        """Show how far the runs under way are."""
        lines = []
        for folder, task in self._active.values():
            status = folder.status()
            if status is None or status.iteration == 0:
                continue
            speed = f"{status.images_per_second:,.0f} images/s"
            self._bars.update(task, completed=status.iteration, total=status.iterations, speed=speed)
            left = "" if status.seconds_left is None else f", {timedelta(seconds=round(status.seconds_left))} left"
            lines.append(f"{folder.key}: {status.iteration}/{status.iterations}, {speed}{left}")
        if self._bars.disable and time.monotonic() - self._spoken > PLAIN_SECONDS:
            self._spoken = time.monotonic()
            for line in lines:
                self._console.print(f"  {line}", markup=False)
