"""The lines of a figure as one data frame of points."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import get_args

import pandas as pd

from resnet_ablations.experiments import CurveQuantity, Panel, paper_curve, paper_responses
from resnet_ablations.report.anchors import runs_link
from resnet_ablations.report.curves import by_size, coarser, error_points, over_seeds, paper_loss, train_points
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.labels import line_labels

COLUMNS = [
    *("panel", "line", "label", "legend", "to", "runs", "end"),
    *("quantity", "ours", "x", "low", "median", "high"),
]
"""The columns of a figure's points."""
Curves = tuple[str, bool, list[pd.Series]]
"""A quantity, True if the curves are ours, and the curves."""


def figure_points(panels: Sequence[Panel], quantities: Collection[str], sweep: Sweep, data: ReportData) -> pd.DataFrame:
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
            responses = panel.kind == "responses"
            found = _responses(rows, panel, sweep, data) if responses else _curves(rows, quantities, sweep, data)
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


def _curves(rows: pd.DataFrame, quantities: Collection[str], sweep: Sweep, data: ReportData) -> Iterator[Curves]:
    """Yield the paper's curve and ours of each quantity of a cell."""
    finished = rows[(rows["outcome"] == "finished") & rows["key"].isin(list(data.curves))]
    ends = zip(finished["key"], finished["iterations"], strict=True)
    runs = [data.curves[key][data.curves[key]["iteration"] <= end] for key, end in ends]
    name = rows["curve"].iloc[0] if sweep.plan.scale in ("early", "paper") else ""
    stop = rows["iterations"].max() if sweep.plan.scale == "early" else None
    shown: list[CurveQuantity] = [quantity for quantity in get_args(CurveQuantity) if quantity in quantities]
    for quantity in shown:
        paper = paper_loss(name) if quantity == "train_loss" else paper_curve(name, quantity)
        yield quantity, False, [] if paper is None or not name or paper.loc[:stop].empty else [paper.loc[:stop]]
        ours = [error_points(run) if quantity == "test_error" else coarser(train_points(run, quantity)) for run in runs]
        yield quantity, True, ours


def _responses(rows: pd.DataFrame, panel: Panel, sweep: Sweep, data: ReportData) -> Iterator[Curves]:
    """Yield the paper's responses and ours of a cell's networks."""
    order: Callable[[pd.Series], pd.Series] = by_size if panel.sorted else pd.Series.sort_index
    curve = rows["curve"].iloc[0]
    paper = paper_responses(curve) if curve and sweep.plan.scale == "paper" else None
    yield "response", False, [] if paper is None else [order(paper)]
    own = rows.loc[~rows["from_longer_run"], "key"]  # a longer run's responses are those at its own end
    yield "response", True, [order(data.responses[key]) for key in own if key in data.responses]
