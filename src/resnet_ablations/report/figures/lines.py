"""The lines of a figure as one data frame of points."""

import math
import re
from collections.abc import Iterable, Sequence
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
EVERY_NUMBER: tuple[Across, ...] = ("layer index", "unit", "deleted unit", "path length")
"""The axes with a point at every whole number; a line breaks at a number without a value."""
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
    highest: float = math.inf
    """The value above which a logarithmic axis does not reach; a note names it if a line goes on above it."""
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
    is_test_error: bool = False


@dataclass(frozen=True)
class Line:
    """The curves of a cell, or of one of its configurations; a line is drawn for each quantity."""

    cell: str
    curves: Iterable[Curves]
    configuration: str = ""


@dataclass(frozen=True)
class LinePanel:
    """A panel of lines."""

    title: str
    lines: Sequence[Line]
    quantities: dict[str, PanelQuantity]
    across: Across = "iteration"
    is_sorted: bool = False


def figure_points(panels: Sequence[LinePanel], sweep: Sweep) -> pd.DataFrame:
    """Return the points of a figure: one row for each panel, line, quantity and place.

    `panel` and `line` are numbers. `label` and `legend` name the line; `to` is the address of its runs and `runs` their
    name; `end` is the planned number of iterations, 0 without a run. `low`, `median` and `high` are over the seeds at
    `x`, NaN where a line breaks; the paper's curve (`ours` is False) has one value. A line without points has one row,
    without a quantity.
    """
    parts = []
    for number, panel in enumerate(panels):
        of_cells = [sweep.cell(line.cell) for line in panel.lines]
        settings = [_own_settings(line, rows, sweep) for line, rows in zip(panel.lines, of_cells, strict=True)]
        labels = line_labels([line.cell for line in panel.lines], sweep.experiment, settings)
        for index, (label, line, rows) in enumerate(zip(labels, panel.lines, of_cells, strict=True)):
            rows = rows[rows["configuration"] == line.configuration] if line.configuration else rows
            curves = [(name, ours, runs) for name, ours, runs in line.curves if runs]
            points = [
                _with_gaps(over_seeds(runs), panel.across).assign(quantity=name, ours=ours)
                for name, ours, runs in curves
            ]
            drawn = max((sum(map(bool, map(len, runs))) for _, ours, runs in curves if ours), default=0)
            to, runs = runs_link(rows)
            part = (pd.concat(points) if points else pd.DataFrame(index=[0])).rename_axis("x").reset_index()
            part = part.assign(
                panel=number, line=index, label=label, legend=label + _state(rows, drawn), to=to, runs=runs
            )
            parts.append(part.assign(end=rows["iterations"].fillna(0).max()))
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def _with_gaps(points: pd.DataFrame, across: Across) -> pd.DataFrame:
    """Return the points with an empty one behind each that has no point at the next number: there the line breaks."""
    if across not in EVERY_NUMBER:
        return points
    places = points.index.to_series()
    ends = places[places.shift(-1) - places > 1]
    return pd.concat([points, pd.DataFrame(index=ends + 1)]).sort_index()


def _own_settings(line: Line, rows: pd.DataFrame, sweep: Sweep) -> str:
    """Return the overrides of a line's configuration that others of its cell lack: `gate_bias=0`."""
    overrides = {name: sweep.plan.configurations[name].overrides for name in rows["configuration"].unique() if name}
    own = overrides.get(line.configuration, [])
    different = [text for text in own if not all(text in lines for lines in overrides.values())]
    return ", ".join(re.sub(r"^[^=]*\.(?=[^.=]*=)", "", text) for text in different)


def _state(rows: pd.DataFrame, drawn: int) -> str:
    """Return how many finished runs of a cell a line shows, of those that are planned, or why none is finished."""
    outcomes = rows["outcome"]
    if finished := int((outcomes == "finished").sum()):
        return f", n = {min(drawn, finished)}/{len(outcomes)}"
    return f": {next((why for why in ('not at this scale', 'diverged') if why in set(outcomes)), 'no run yet')}"
