"""A table as data: texts of cells, caption and notes, in no format yet."""

from dataclasses import dataclass

from resnet_ablations.report.cells.cell import Cell


@dataclass(frozen=True)
class Column:
    """A column's heading, whether its cells are set flush right, and the width from which they wrap in a terminal."""

    heading: str
    right: bool = False
    width: int | None = None
    is_aside: bool = False
    """Left out where the width is limited: in a terminal, on a printed page."""


@dataclass(frozen=True)
class Table:
    """Texts in rows and columns with all that stands around them; `name` is the stem of its files."""

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    command: str | None = None
    """The command that fills the gaps, if there are any."""
    cells: tuple[tuple[Cell | None, ...], ...] = ()
    """Of each text in the rows, the cell whose runs it is made of; empty where no text is."""
    best: frozenset[tuple[int, int]] = frozenset()
    """The texts that are the best of their column, by row and column from 0."""
