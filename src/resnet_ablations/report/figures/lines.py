"""The lines of the papers' figures as data: one cell's runs over its seeds, and the paper's digitised curve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from resnet_ablations.experiments import Panel, paper_curve, paper_responses
from resnet_ablations.report.curves import error_points, paper_loss, train_points
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.labels import line_labels

MOST_POINTS = 120
"""Points of a training curve: with more of them, its noise would fill the gaps between the dashes."""


@dataclass(frozen=True)
class Line:
    """One cell in a panel: its rows of the frame, the curves of its runs (`low`, `median`, `high`), the paper’s."""

    label: str
    rows: pd.DataFrame
    ours: dict[str, pd.DataFrame]
    paper: dict[str, pd.Series]

    @property
    def legend(self) -> str:
        """The label, and how many runs there are."""
        outcomes = self.rows["outcome"]
        if n := int((outcomes == "finished").sum()):
            return f"{self.label}, n = {n}/{len(outcomes)}"
        return (
            f"{self.label}: {next((o for o in ('not at this scale', 'diverged') if o in set(outcomes)), 'no run yet')}"
        )


def lines_of(panel: Panel, sweep: Sweep, data: ReportData) -> list[Line]:
    """Return the lines of a panel in its own order."""
    make = _responses if panel.kind == "responses" else _curves
    labels = line_labels(panel.cells, sweep.experiment)
    return [make(label, sweep.cell(name), panel, sweep, data) for label, name in zip(labels, panel.cells, strict=True)]


def _curves(label: str, rows: pd.DataFrame, panel: Panel, sweep: Sweep, data: ReportData) -> Line:
    finished = rows[rows["outcome"] == "finished"]
    runs = []
    for key, end in zip(finished["key"], finished["iterations"], strict=True):
        if key in data.curves:
            curve = data.curves[key][data.curves[key]["iteration"] <= end]
            training = {name: coarser(train_points(curve, name)) for name in ("train_loss", "train_error")}
            runs.append({**training, "test_error": error_points(curve)})
    ours = {name: over_seeds([run[name] for run in runs]) for name in runs[0]} if runs else {}
    paper: dict[str, pd.Series] = {}
    if (name := rows["curve"].iloc[0]) and sweep.plan.scale in ("early", "paper"):
        stop = int(rows["iterations"].max()) if sweep.plan.scale == "early" else None
        errors = {quantity: paper_curve(name, quantity) for quantity in ("train_error", "test_error")}
        for quantity, points in {"train_loss": paper_loss(name), **errors}.items():
            if points is not None and len(points.loc[:stop]):
                paper[quantity] = points.loc[:stop]
    return Line(label, rows, ours, paper)


def _responses(label: str, rows: pd.DataFrame, panel: Panel, sweep: Sweep, data: ReportData) -> Line:
    order: Callable[[pd.Series], pd.Series] = by_size if panel.sorted else pd.Series.sort_index
    own = rows[~rows["from_longer_run"]]  # a longer run's responses are those at its own end
    found = [order(data.responses[key]) for key in own["key"] if key in data.responses]
    curve = rows["curve"].iloc[0]
    paper = paper_responses(curve) if curve and sweep.plan.scale == "paper" else None
    ours = {"response": over_seeds(found)} if found else {}
    return Line(label, rows, ours, {} if paper is None else {"response": order(paper)})


def coarser(points: pd.Series) -> pd.Series:
    """Return means of neighbouring points, as few to a mean as leave `MOST_POINTS` or less."""
    if len(points) <= MOST_POINTS:
        return points
    groups = np.arange(len(points)) // -(-len(points) // MOST_POINTS)
    return points.groupby(groups).mean().set_axis(points.index.to_series().groupby(groups).mean().to_numpy())


def over_seeds(runs: Sequence[pd.Series]) -> pd.DataFrame:
    """Return `low`, `median` and `high` of the runs at each point."""
    joined = pd.concat(list(runs), axis="columns").sort_index()
    return pd.DataFrame({"low": joined.min(axis=1), "median": joined.median(axis=1), "high": joined.max(axis=1)})


def by_size(responses: pd.Series) -> pd.Series:
    """Return the responses by rank from 1, the largest first."""
    ranked = responses.sort_values(ascending=False)
    return ranked.set_axis(range(1, len(ranked) + 1))
