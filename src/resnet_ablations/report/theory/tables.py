"""Tables of measured runs: a line for each row of the experiment, each text made from the runs of the line."""

from collections.abc import Callable, Iterable

import pandas as pd

from resnet_ablations.report.frame import Sweep
from resnet_ablations.report.tables.summary import number
from resnet_ablations.report.tables.table import ShownCell, Table, TableColumn

MASKED = ("dropout", "stochastic_depth")
"""The shortcuts with random masks in training: they are in the training error, and not in the test error."""
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
        notes=(" ".join(filter(None, notes)),),
        cells={
            (line, place): ShownCell((str(row), str(column)))
            for line, ((row, column), _) in enumerate(cells)
            for place in range(1, len(texts) + 1)
        },
    )


def spread(name: str, write: Callable[[float], str] = number, middle: str = "median", at: str = "") -> Text:
    """Return a function that writes the median (or mean) over the runs, with the lowest and the highest value.

    Of a row with several configurations it writes the lowest and the highest alone. `NAME_low` and `NAME_high` are the
    ends within a run. `at` selects the runs at one end of training.
    """

    def text(runs: pd.DataFrame) -> str:
        here = (runs[runs["at"] == at] if at else runs).dropna(subset=name)
        if here.empty:
            return "–"
        low, high = (here.get(f"{name}_{end}", here[name]) for end in ("low", "high"))
        ends = span([low.min(), high.max()], write)
        if len(here["configuration"].unique()) > 1:
            return ends
        return write(here[name].agg(middle)) + f" ({ends})" * (" to " in ends)

    return text


def several(runs: pd.DataFrame) -> str:
    """Return a sentence, with a space before it, if a row has several configurations."""
    most = runs.groupby(["row", "column"])["configuration"].nunique().max()
    return " A row with several configurations shows its lowest and its highest value alone." * int(most > 1)


def span(values: Iterable[float], write: Callable[[float], str] = number) -> str:
    """Return the lowest and the highest value, or one number if both read the same."""
    ends = sorted(values)
    low, high = write(ends[0]), write(ends[-1])
    return low if low == high else f"{low} to {high}"
