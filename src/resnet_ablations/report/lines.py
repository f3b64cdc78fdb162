"""What is drawn of a cell: its runs' curves over their seeds, and the paper's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from resnet_ablations.experiments import Experiment, paper_curve, paper_responses
from resnet_ablations.experiments import Figure as Panel
from resnet_ablations.report.cells import Cell
from resnet_ablations.report.curves import (
    by_size,
    coarser,
    error_points,
    finished_curves,
    over_seeds,
    paper_loss,
    train_points,
)
from resnet_ablations.report.labels import line_labels
from resnet_ablations.report.plans import is_served, iterations
from resnet_ablations.results.sweeps import SweepPlan

MOST_POINTS = 120
"""Of a training curve: with more of them, its noise would fill the gaps between the dashes."""
SCALES_OF_THE_PAPER = ("early", "paper")
"""The scales that share the paper's setting, so that its curves may lie behind ours."""

Quantity = Literal["train_loss", "train_error", "test_error", "response"]


@dataclass(frozen=True)
class Line:
    """One cell in a panel. Of each quantity ours as an `over_seeds` table and the paper's, where there is anything."""

    cell: Cell
    label: str
    end: float
    """The last iteration that there may be."""
    ours: dict[Quantity, pd.DataFrame]
    paper: dict[Quantity, pd.Series]


@dataclass(frozen=True)
class Results:
    """A results folder as tables: its runs, or those of one plan, their curves and their layers' responses."""

    runs: pd.DataFrame
    curves: pd.DataFrame
    responses: pd.DataFrame


def lines_of(
    panel: Panel, plan: SweepPlan, experiment: Experiment, cells: Sequence[Cell], results: Results
) -> list[Line]:
    """The lines of a panel in its own order."""
    by_id = {f"{cell.row.id}/{cell.column.id}": cell for cell in cells}
    shown = [by_id[experiment.full_cell_id(name)] for name in panel.cells]
    make = _responses if panel.kind == "responses" else _curves
    labels = line_labels(shown, experiment)
    return [make(cell, label, panel, plan, results) for cell, label in zip(shown, labels, strict=True)]


def _curves(cell: Cell, label: str, panel: Panel, plan: SweepPlan, results: Results) -> Line:
    configurations = [tally.configuration for tally in cell.tallies]
    end = max(iterations(plan, configurations), default=0)
    found = finished_curves(configurations, results.runs, results.curves)
    found = [curve[curve["iteration"] <= end] for curve in found]
    points: dict[Quantity, Callable[[pd.DataFrame], pd.Series]] = {
        "train_loss": lambda curve: coarser(train_points(curve, "train_loss"), MOST_POINTS),
        "train_error": lambda curve: coarser(train_points(curve, "train_error"), MOST_POINTS),
        "test_error": error_points,
    }
    ours = {quantity: over_seeds(map(of, found)) for quantity, of in points.items() if found}
    paper: dict[Quantity, pd.Series | None] = {}
    if cell.paper.curve is not None and plan.scale in SCALES_OF_THE_PAPER:
        paper["train_loss"] = paper_loss(cell.paper.curve)
        paper["train_error"] = paper_curve(cell.paper.curve, "train_error")
        paper["test_error"] = paper_curve(cell.paper.curve, "test_error")
    stop = end if plan.scale == "early" else None
    shown = {name: curve.loc[:stop] for name, curve in paper.items() if curve is not None}
    return Line(cell, label, end, ours, {name: curve for name, curve in shown.items() if len(curve)})


def _responses(cell: Cell, label: str, panel: Panel, plan: SweepPlan, results: Results) -> Line:
    runs = results.runs[~is_served(results.runs)]  # a longer run's responses are those at its own end
    runs = runs[runs["configuration"].isin([tally.configuration for tally in cell.tallies])]
    responses = results.responses[results.responses["key"].isin(runs["key"])]
    order: Callable[[pd.Series], pd.Series] = by_size if panel.sorted else pd.Series.sort_index
    found = [order(of_run.set_index("layer")["std"]) for _, of_run in responses.groupby("key")]
    ours: dict[Quantity, pd.DataFrame] = {"response": over_seeds(found)} if found else {}
    paper = None
    if cell.paper.curve is not None and plan.scale == "paper":
        paper = paper_responses(cell.paper.curve)
    return Line(cell, label, 0, ours, {} if paper is None else {"response": order(paper)})
