"""What rows, cells and lines are called."""

import re
from collections.abc import Sequence

from resnet_ablations.experiments import Experiment, Row
from resnet_ablations.report.cells.cell import Cell


def row_label(row: Row, experiment: Experiment) -> str:
    """The shortest name that tells a row from the others: its first label, with further ones or its remark if needed.

    `1×1 conv shortcut`, `constant scaling (0.5, 0.5)`, `exclusive gating (init b_g = −6)`; a bare number is led by its
    heading, `b_g = −6`.
    """
    namesakes = [other for other in experiment.rows if other.labels[0] == row.labels[0]]
    name = _named(row, experiment)
    if len(namesakes) == 1:
        return name
    telling = [i for i in range(len(row.labels)) if len({other.labels[i] for other in namesakes}) > 1]
    labels = [tuple(other.labels[i] for i in telling) for other in namesakes]
    own = tuple(row.labels[i] for i in telling)
    if labels.count(own) == 1 or not row.remark:
        return f"{name} ({', '.join(own) or row.id})"
    return f"{name} ({row.remark})"


def cell_label(cell: Cell, experiment: Experiment) -> str:
    """The row's name, and the column's where there are several."""
    row = row_label(cell.row, experiment)
    return f"{row}, {heading(cell)}" if len(experiment.columns) > 1 else row


def heading(cell: Cell) -> str:
    """Over the cell's column."""
    return cell.column.heading or cell.column.id


def baseline_label(cell: Cell, experiment: Experiment) -> str | None:
    """What the cell is held against, in a word: its row, or its column."""
    if cell.baseline is None:
        return None
    return heading(cell.baseline) if experiment.baseline == "first_column" else _named(cell.baseline.row, experiment)


def line_labels(cells: Sequence[Cell], experiment: Experiment) -> list[str]:
    """Names that tell the cells of one panel apart, by their rows, their columns or both."""
    rows, columns = ({cell.row.id for cell in cells}, {cell.column.id for cell in cells})
    by_first_label = len({cell.row.labels[0] for cell in cells}) == len(rows)
    labels = []
    for cell in cells:
        row = _named(cell.row, experiment) if by_first_label else row_label(cell.row, experiment)
        parts = [row] if len(rows) > 1 or len(columns) == 1 else []
        labels.append(", ".join(parts + [heading(cell)] * (len(columns) > 1)))
    return labels


def _named(row: Row, experiment: Experiment) -> str:
    label = row.labels[0]
    return f"{experiment.headings[0]} = {label}" if re.fullmatch(r"[-−+]?[\d.]+", label) else label
