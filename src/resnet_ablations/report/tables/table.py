"""A table as data: texts of cells, caption and notes, in no format yet."""

from dataclasses import dataclass

from resnet_ablations.report.frame import CellId

MARK = "†"
"""The mark of a cell that a note explains."""


@dataclass(frozen=True)
class TableColumn:
    """A column's heading and alignment."""

    heading: str
    right: bool = False
    is_aside: bool = False
    """Left out where the width is limited: in a terminal and on a printed page."""


@dataclass(frozen=True)
class Table:
    """Texts in rows and columns with all that belongs to them; `name` is the stem of the files."""

    name: str
    title: str
    caption: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    command: str | None = None
    """The command that trains the missing runs, if there are any."""
    cells: tuple[tuple[CellId | None, ...], ...] = ()
    """The cell behind each text, whose runs the text is made of; empty where no text has one."""
    best: frozenset[tuple[int, int]] = frozenset()
    """The texts that are the best of their column, by row and column from 0."""
