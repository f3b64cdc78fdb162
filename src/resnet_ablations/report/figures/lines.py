"""The lines of a figure as one data frame of points."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from resnet_ablations.report.anchors import runs_link
from resnet_ablations.report.curves import over_seeds
from resnet_ablations.report.frame import Sweep
from resnet_ablations.report.labels import line_labels

COLUMNS = [
    *("panel", "line", "label", "legend", "to", "runs", "end"),
    *("quantity", "ours", "x", "low", "median", "high"),
]
"""The columns of a figure's points."""
Across = Literal["iteration", "layer index", "unit", "deleted unit", "deleted units", "swaps", "path length"]
"""The quantity of a horizontal axis."""
Curves = tuple[str, bool, list[pd.Series]]
"""A quantity, True if the curves are ours, and the curves."""


@dataclass(frozen=True)
class Axis:
    """An upright axis; `papers_ends` are its ends in v2's figures, None if the curves decide."""

    label: str
    unit: str = " %"
    is_log: bool = False
    lowest: float = 0.0
    """The value below which a logarithmic axis does not reach; lines go on below it, out of sight."""
    papers_ends: tuple[float, float] | None = None
    fits: bool = False
    """True for an axis that fits its points; otherwise it is one of errors, from 0 to at most 100."""


@dataclass(frozen=True)
class PanelQuantity:
    """A quantity of a panel: its name, its axis, and its line style."""

    name: str
    axis: Axis
    stroke: Literal["-", "--", ":"] = "-"
    width: float = 1.4
    on_right: bool = False


@dataclass(frozen=True)
class LinePanel:
    """A panel with one line for each cell and quantity; `curves` returns the curves of a cell, given its rows."""

    title: str
    cells: Sequence[str]
    quantities: dict[str, PanelQuantity]
    curves: Callable[[pd.DataFrame], Iterable[Curves]]
    across: Across = "iteration"
    is_sorted: bool = False


def figure_points(panels: Sequence[LinePanel], sweep: Sweep) -> pd.DataFrame:
    """Return the points of a figure: one row for each panel, line, quantity and place.

    `panel` and `line` are numbers. `label` and `legend` name the line; `to` is the address of its runs and `runs` their
    name; `end` is the planned number of iterations, 0 without a run. `low`, `median` and `high` are over the seeds at
    `x`; the paper's curve (`ours` is False) has one value. A line without points has one row, without a quantity.
    """
    parts = []
    for number, panel in enumerate(panels):
        labels = line_labels(panel.cells, sweep.experiment)
        for line, (label, cell) in enumerate(zip(labels, panel.cells, strict=True)):
            rows = sweep.cell(cell)
            found = panel.curves(rows)
            points = [over_seeds(runs).assign(quantity=quantity, ours=ours) for quantity, ours, runs in found if runs]
            to, runs = runs_link(rows)
            part = (pd.concat(points) if points else pd.DataFrame(index=[0])).rename_axis("x").reset_index()
            part = part.assign(panel=number, line=line, label=label, legend=label + _state(rows), to=to, runs=runs)
            parts.append(part.assign(end=rows["iterations"].fillna(0).max()))
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def _state(rows: pd.DataFrame) -> str:
    """Return the number of finished runs of a cell, or the reason if there is none."""
    outcomes = rows["outcome"]
    if finished := int((outcomes == "finished").sum()):
        return f", n = {finished}/{len(outcomes)}"
    return f": {next((why for why in ('not at this scale', 'diverged') if why in set(outcomes)), 'no run yet')}"
