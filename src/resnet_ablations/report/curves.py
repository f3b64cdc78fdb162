"""Learning curves as data: points of one run, of the paper, and of all lines of a figure over their seeds."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from resnet_ablations.experiments import Panel, paper_curve, paper_responses
from resnet_ablations.report.anchors import runs_link
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.labels import line_labels

CUT_OFF = 2.01
"""The end of the paper's loss axis: a digitised loss from here on means this or more."""
MOST_POINTS = 120
"""The most points of a training curve: with more of them, its noise would fill the gaps between the dashes."""
COLUMNS = [
    *("panel", "line", "label", "legend", "to", "runs", "end"),
    *("quantity", "ours", "x", "low", "median", "high"),
]
"""The columns of a figure's points."""
Curves = tuple[str, bool, list[pd.Series]]
"""A quantity, whether the curves are ours, and the curves."""


def train_points(curve: pd.DataFrame, quantity: Literal["train_loss", "train_error"]) -> pd.Series:
    """Return one run's training loss or error (%) by iteration.

    A logged value is the mean since the row before, so its iteration is the middle of that interval. At the end of the
    interval a falling curve would look too high.
    """
    iterations = curve["iteration"]
    middles = (iterations + iterations.shift(fill_value=0)) / 2
    return pd.Series(curve[quantity].to_numpy(), index=pd.Index(middles, name="iteration"), name=quantity)


def error_points(curve: pd.DataFrame) -> pd.Series:
    """Return one run's test error (%) by iteration, where it was evaluated."""
    return curve.dropna(subset="test_error").set_index("iteration")["test_error"]


def paper_loss(curve: str) -> pd.Series | None:
    """Return the paper's digitised training loss by iteration, infinite where the curve is at the end of the axis."""
    loss = paper_curve(curve, "train_loss")
    return None if loss is None else loss.where(loss < CUT_OFF, math.inf)


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
            named = {"panel": number, "line": line, "label": label, "legend": label + _state(rows)}
            part = pd.concat(points) if points else pd.DataFrame(index=[0])
            parts.append(
                part.rename_axis("x")
                .reset_index()
                .assign(**named, to=to, runs=runs, end=rows["iterations"].fillna(0).max())
            )
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def _state(rows: pd.DataFrame) -> str:
    """Return how many runs of a cell are finished, or why there is none."""
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
    for quantity in quantities:
        paper = paper_loss(name) if quantity == "train_loss" else paper_curve(name, quantity)
        yield quantity, False, [] if paper is None or not name or paper.loc[:stop].empty else [paper.loc[:stop]]
        tested = quantity == "test_error"
        yield quantity, True, [error_points(run) if tested else coarser(train_points(run, quantity)) for run in runs]


def _responses(rows: pd.DataFrame, panel: Panel, sweep: Sweep, data: ReportData) -> Iterator[Curves]:
    """Yield the paper's responses and ours of a cell's networks."""
    order: Callable[[pd.Series], pd.Series] = by_size if panel.sorted else pd.Series.sort_index
    curve = rows["curve"].iloc[0]
    paper = paper_responses(curve) if curve and sweep.plan.scale == "paper" else None
    yield "response", False, [] if paper is None else [order(paper)]
    own = rows.loc[~rows["from_longer_run"], "key"]  # a longer run's responses are those at its own end
    yield "response", True, [order(data.responses[key]) for key in own if key in data.responses]


def coarser(points: pd.Series, most: int = MOST_POINTS) -> pd.Series:
    """Return means of neighbouring points, as few to a mean as leave `most` or less."""
    if len(points) <= most:
        return points
    groups = np.arange(len(points)) // -(-len(points) // most)
    return points.groupby(groups).mean().set_axis(points.index.to_series().groupby(groups).mean().to_numpy())


def thinned(length: int, most: int) -> list[int]:
    """Return the numbers of at most `most` rows of a table at equal distances, with the first and the last."""
    return sorted(set(np.linspace(0, length - 1, min(most, length)).round().astype(int).tolist()))


def over_seeds(runs: Sequence[pd.Series]) -> pd.DataFrame:
    """Return `low`, `median` and `high` of the runs at each point; the points of one run as they are."""
    if len(runs) == 1:
        return pd.DataFrame(dict.fromkeys(("low", "median", "high"), runs[0]))
    return pd.concat(list(runs)).groupby(level=0).agg(low="min", median="median", high="max")


def by_size(responses: pd.Series) -> pd.Series:
    """Return the responses by rank from 1, the largest first."""
    ranked = responses.sort_values(ascending=False)
    return ranked.set_axis(range(1, len(ranked) + 1))
