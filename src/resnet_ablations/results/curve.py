"""`curve.csv`: what a run says of itself while it trains."""

import csv
import io
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from resnet_ablations.results.files import write_atomically


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


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
