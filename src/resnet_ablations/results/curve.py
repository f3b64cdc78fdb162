"""`curve.csv`: what a run says of itself while it trains."""

import csv
import io
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from resnet_ablations.results.atomic_write import write_atomically


@dataclass(frozen=True)
class CurveRow:
    """One line of `curve.csv`: `iteration` updates are done, train_* are means since the line before, errors in %."""

    iteration: int
    learning_rate: float
    train_loss: float
    train_error: float
    test_loss: float | None
    test_error: float | None


HEADER = ",".join(field.name for field in fields(CurveRow)) + "\n"


class CurveFile:
    """`curve.csv` while it grows, each row flushed; `begun` is its text up to the step that a run goes on from.

    What the file holds from an earlier attempt counts for nothing: a killed run may have written beyond its
    checkpoint, and a machine that lost its power less than it had said.
    """

    def __init__(self, path: Path, begun: str = HEADER) -> None:
        self.text = begun
        write_atomically(path, begun)
        self._file = path.open("a", encoding="utf-8", newline="")

    def append(self, row: CurveRow) -> None:
        """Add a row: six significant digits, nothing where there is no value."""
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(_text(value) for value in astuple(row))
        self.text += line.getvalue()
        self._file.write(line.getvalue())
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class CurveReader:
    """Reads a `curve.csv` while it grows: the file that is there now, and not one that takes its place."""

    def __init__(self, path: Path) -> None:
        self._file = path.open(encoding="utf-8")
        self._begun = ""

    def rows(self) -> list[CurveRow]:
        """Those that were added since, as the file has them; raise `ValueError` where it is no curve."""
        whole, end, begun = (self._begun + self._file.read()).rpartition("\n")
        self._begun = begun  # a line that is still being written
        return [_row(line) for line in whole.splitlines() if line + end != HEADER]

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


def _row(line: str) -> CurveRow:
    iteration, rate, loss, error, *tested = line.split(",")
    test_loss, test_error = (float(text) if text else None for text in tested)
    return CurveRow(int(iteration), float(rate), float(loss), float(error), test_loss, test_error)


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
