"""Names of rows, columns, cells and lines, from an experiment's labels, and phrases about a sweep's settings."""

import re
from collections.abc import Sequence

import pandas as pd

from resnet_ablations.experiments import Column, Experiment, Row

POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
"""The characters of an exponent."""
MOST_NAMED = 4
"""The largest number of settings of one kind that a sentence names; if there are more, it gives their number."""


def row_label(row: Row, experiment: Experiment) -> str:
    """Return the shortest name that tells a row from the others: its first label, then other labels or its remark.

    `1×1 conv shortcut`, `constant scaling (0.5, 0.5)`, `exclusive gating (init b_g = −6)`. A bare number comes after
    its heading: `b_g = −6`.
    """
    namesakes = [other for other in experiment.rows if other.labels[0] == row.labels[0]]
    name = _first_label(row, experiment)
    if len(namesakes) == 1:
        return name
    different = [i for i in range(len(row.labels)) if len({other.labels[i] for other in namesakes}) > 1]
    labels = [tuple(other.labels[i] for i in different) for other in namesakes]
    own = tuple(row.labels[i] for i in different)
    if labels.count(own) == 1 or not row.remark:
        return f"{name} ({', '.join(own) or row.id})"
    return f"{name} ({row.remark})"


def column_label(column: Column) -> str:
    """Return the column's heading, or its id."""
    return column.heading or column.id


def cell_label(row: Row, column: Column, experiment: Experiment) -> str:
    """Return the row's name, with the column's where the table has several columns."""
    label = row_label(row, experiment)
    return f"{label}, {column_label(column)}" if len(experiment.columns) > 1 else label


def baseline_label(experiment: Experiment) -> str:
    """Return the name of the row or column with which the others are compared."""
    if experiment.baseline == "first_column":
        return column_label(experiment.columns[0])
    return _first_label(experiment.rows[0], experiment)


def line_labels(names: Sequence[str], experiment: Experiment, settings: Sequence[str]) -> list[str]:
    """Return names for the cells of one panel: rows have the names that they have in every panel.

    `settings` has those of a line that stands for one of a row's configurations: `exclusive gating (gate_bias=0)`.
    """
    by_id = {f"{row.id}/{column.id}": (row, column) for row, column, _ in experiment.cells()}
    cells = [by_id[experiment.full_cell_id(name)] for name in names]
    rows, columns = ({row.id for row, _ in cells}, {column.id for _, column in cells})
    labels = []
    for (row, column), own in zip(cells, settings, strict=True):
        name = f"{_first_label(row, experiment)} ({own})" if own else row_label(row, experiment)
        parts = [name] if own or len(rows) > 1 or len(columns) == 1 else []
        labels.append(", ".join(parts + [column_label(column)] * (len(columns) > 1)))
    return labels


def listed(texts: Sequence[str], most: int = 3) -> str:
    """Return `a`, `a and b`, `a, b and c` or `a, b, c and 4 more`."""
    shown = list(texts) if len(texts) <= most else [*texts[:most], f"{len(texts) - most} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def counts(numbers: Sequence[int]) -> str:
    """Return `1,800`, `1,800/2,000`, or, for more than `MOST_NAMED` numbers, their range."""
    texts = [f"{number:,}" for number in numbers]
    return "/".join(texts) if len(texts) <= MOST_NAMED else f"{texts[0]}–{texts[-1]}"


def share(applies: pd.Series) -> str:
    """Return "" if `applies` is true for all configurations, otherwise ` of 1 of 2 configurations`."""
    return "" if applies.all() else f" of {applies.sum()} of {len(applies)} configurations"


def held_out_note(settings: pd.DataFrame) -> str:
    """Return a sentence on the images that the test error is measured on if they are no test set, otherwise ""."""
    held_out = settings.reindex(columns=["data.held_out"])["data.held_out"].fillna(0)
    if not held_out.any():
        return ""
    images = counts(sorted({int(number) for number in held_out[held_out > 0]}))
    return f"The test error{share(held_out > 0)} is measured on {images} held-out training images, not on the test set."


def _first_label(row: Row, experiment: Experiment) -> str:
    label = row.labels[0]
    return f"{experiment.headings[0]} = {label}" if re.fullmatch(r"[-−+]?[\d.]+", label) else label
