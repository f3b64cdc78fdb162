"""`curve.csv`: learning rate, loss and error of a run while it trains."""

import csv
import io
import itertools
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

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


def check_whole(path: Path, iterations: int, test_error: float | None) -> None:
    """Raise `ValueError` unless the file is the curve of a run that ended after `iterations` with this test error."""
    try:
        text = path.read_text(encoding="utf-8")
        if not text.startswith(HEADER) or not text.endswith("\n"):
            raise ValueError("its first or its last line is incomplete")
        rows = [_row(line) for line in text.splitlines()[1:]]
    except OSError:
        if path.is_file():  # it may be sound, but cannot be read now
            raise
        raise ValueError(f"{path.name} is missing") from None
    except ValueError as error:
        raise ValueError(f"{path.name} is damaged: {error}") from None
    ends = [0, *(row.iteration for row in rows)]
    steps = [end - begin for begin, end in itertools.pairwise(ends)]
    # The first row comes after the smaller one of `log_every` and `evaluate_every`, or at the end.
    if ends[-1] != iterations or min(steps) < 1 or max(steps) > steps[0]:
        raise ValueError(f"{path.name} has not every row up to iteration {iterations:,}; its last is {ends[-1]:,}")
    if test_error is not None and _text(test_error) != _text(rows[-1].test_error):
        raise ValueError(f"{path.name} is of another training: its test error is not that of the result")


def _row(line: str) -> CurveRow:
    iteration, rate, loss, error, *tested = line.split(",")
    test_loss, test_error = (float(text) if text else None for text in tested)
    return CurveRow(int(iteration), float(rate), float(loss), float(error), test_loss, test_error)


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
