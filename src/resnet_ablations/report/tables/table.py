"""A table as data: texts in rows and columns, caption and notes, independent of a file format."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from resnet_ablations.report.frame import CellId

MISSING = "Runs are missing; this command trains them:"
MARK = "†"
"""The mark of a cell that a note explains."""
REDECLARED = "‡"
"""The mark of a cell that is declared differently since its runs."""


@dataclass(frozen=True)
class TableColumn:
    """A column's heading and alignment."""

    heading: str
    right: bool = False
    is_aside: bool = False
    """True for a column that is omitted in a terminal and in LaTeX, where the width is limited."""


@dataclass(frozen=True)
class ShownCell:
    """The cell of an experiment whose runs gave a text of the table."""

    cell: CellId
    is_best: bool = False
    """True for the lowest error of a column."""


@dataclass(frozen=True)
class Table:
    """Texts in rows and columns, with title, caption and notes; `name` is the stem of the file names."""

    name: str
    title: str
    caption: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """The values of other people with their sources; only the page prints them."""
    command: str | None = None
    """The command that trains the missing runs; None if no run is missing."""
    cells: Mapping[tuple[int, int], ShownCell] = field(default_factory=dict)
    """The cells behind the texts, by the row and the column of the text, counted from 0."""

    def is_best(self, row: int, column: int) -> bool:
        """Return whether a text is the lowest error of its column."""
        cell = self.cells.get((row, column))
        return cell is not None and cell.is_best
