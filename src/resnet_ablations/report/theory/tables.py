"""Tables of measured runs: a line for each row of the experiment, each text made from the runs of the line."""

from collections.abc import Callable, Iterable

import pandas as pd

from resnet_ablations.report.frame import Sweep
from resnet_ablations.report.tables.summary import number
from resnet_ablations.report.tables.table import ShownCell, Table, TableColumn

Text = Callable[[pd.DataFrame], str]
"""A function that returns the text of a row from its runs."""


def table_of_runs(
    sweep: Sweep, name: str, title: str, caption: str, runs: pd.DataFrame, texts: dict[str, Text], notes: Iterable[str]
) -> Table:
    """Return a table with a line for each cell of `runs`, which has a row for each run, and a column for each text."""
    cells = list(runs.groupby(["row", "column"], sort=False))
    return Table(
        name=f"{sweep.plan.name}-{name}",
        title=title,
        caption=caption,
        columns=(TableColumn("row"), *(TableColumn(heading, right=True) for heading in texts)),
        rows=tuple((of["label"].iloc[0], *(text(of) for text in texts.values())) for _, of in cells),
        notes=(" ".join(notes),),
        cells={
            (line, place): ShownCell((str(row), str(column)))
            for line, ((row, column), _) in enumerate(cells)
            for place in range(1, len(texts) + 1)
        },
    )


def span(values: Iterable[float]) -> str:
    """Return the lowest and the highest value, or one number if both read the same."""
    ends = sorted(values)
    low, high = number(ends[0]), number(ends[-1])
    return low if low == high else f"{low} to {high}"
