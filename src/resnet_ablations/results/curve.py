"""`curve.csv`: learning rate, loss and error of a run while it trains."""

import csv
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, PositiveInt

from resnet_ablations.results.atomic_write import create_atomically


@dataclass(frozen=True)
class CurveRow:
    """A line of `curve.csv` after `iteration` updates; `train_*` are means since the last line, errors are in %."""

    iteration: int
    learning_rate: float
    train_loss: float
    train_error: float
    test_loss: float | None
    test_error: float | None


HEADER = ",".join(field.name for field in fields(CurveRow)) + "\n"


class CurveFile:
    """A growing `curve.csv`; each row is flushed. `begun` is the text up to the checkpoint that the run resumes from.

    An existing file is replaced: a killed run may have written rows after its checkpoint, and a machine that lost power
    may have lost rows before it. If another process replaces this file, rows go on to this one.
    """

    def __init__(self, path: Path, begun: str = HEADER) -> None:
        self.text = begun
        self._file = create_atomically(path, begun)

    def append(self, row: CurveRow) -> None:
        """Write a row: six significant digits; empty if there is no value."""
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(_text(value) for value in astuple(row))
        self.text += line.getvalue()
        self._file.write(line.getvalue().encode())
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class CurveReader:
    """A reader of a growing `curve.csv`; it does not follow a file that later replaces this one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open(encoding="utf-8")
        self._begun = ""

    def rows(self) -> list[CurveRow]:
        """Return the rows added since the last call; raise `ValueError` if the file is not a curve."""
        whole, end, begun = (self._begun + self._file.read()).rpartition("\n")
        self._begun = begun  # the last line may be incomplete
        return [_row(line) for line in whole.splitlines() if line + end != HEADER]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RowSchedule(BaseModel):
    """The settings of `schedule` that decide which iterations have a row."""

    iterations: PositiveInt
    log_every: PositiveInt
    evaluate_every: PositiveInt

    def next_row(self, iteration: int) -> int:
        """Return the iteration of the first row after `iteration`."""
        nexts = (every * (iteration // every + 1) for every in (self.log_every, self.evaluate_every))
        return min(self.iterations, *nexts)


def check_whole(text: str, schedule: RowSchedule, end: int, final: Sequence[float | None]) -> None:
    """Raise `ValueError` unless the text is the whole curve of a run that ended after iteration `end`.

    `final` are the losses and errors of the result, in the order of the columns; None if the run diverged.
    """
    if not text.startswith(HEADER) or not text.endswith("\n"):
        raise ValueError("its first or its last line is incomplete")
    rows = [_row(line) for line in text.splitlines()[1:]]
    if not rows:
        raise ValueError("it has no row")
    iterations = [0, *(row.iteration for row in rows)]
    if iterations[-1] != end:
        raise ValueError(f"its last row is of iteration {iterations[-1]:,}, not of {end:,}")
    diverged = None in final
    if end != schedule.iterations and not diverged:
        raise ValueError(f"it ends after iteration {end:,}, the schedule after {schedule.iterations:,}")
    for before, after in itertools.pairwise(iterations):
        if after != (expected := schedule.next_row(before)):
            raise ValueError(f"the row after iteration {before:,} is of iteration {after:,}, not of {expected:,}")
    numbers = astuple(rows[-1])[2:]
    if diverged:
        if all(math.isfinite(number) for number in numbers if number is not None):
            raise ValueError("it is of another training: it does not end with a loss that is not finite")
    elif list(map(_text, numbers)) != list(map(_text, final)):
        raise ValueError("it is of another training: its last row does not have the numbers of the result")


def _row(line: str) -> CurveRow:
    iteration, rate, loss, error, *tested = line.split(",")
    test_loss, test_error = (float(text) if text else None for text in tested)
    return CurveRow(int(iteration), float(rate), float(loss), float(error), test_loss, test_error)


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
