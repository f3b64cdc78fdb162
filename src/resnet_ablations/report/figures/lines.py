"""What is drawn of a cell: its runs' curves over their seeds, and the paper's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pandas as pd

from resnet_ablations.experiments import Experiment, paper_curve, paper_responses
from resnet_ablations.experiments import Figure as Panel
from resnet_ablations.report.cells.cell import Cell
from resnet_ablations.report.cells.curves import (
    by_size,
    coarser,
    error_points,
    finished_curves,
    over_seeds,
    paper_loss,
    train_points,
)
from resnet_ablations.report.cells.folder import Results
from resnet_ablations.report.cells.labels import line_labels
from resnet_ablations.report.cells.plans import is_served, iterations
from resnet_ablations.results.sweeps import SweepPlan

MOST_POINTS = 120
"""Of a training curve: with more of them, its noise would fill the gaps between the dashes."""
SCALES_OF_THE_PAPER = ("early", "paper")
"""The scales that share the paper's setting, so that its curves may lie behind ours."""

Quantity = Literal["train_loss", "train_error", "test_error", "response"]
DRAWN: tuple[Quantity, ...] = ("train_loss", "train_error", "test_error")
"""Of a curve."""


@dataclass(frozen=True)
class Line:
    """One cell in a panel: each quantity of its runs, by their keys, and the paper's, where there is anything."""

    cell: Cell
    label: str
    end: float
    """The last iteration that there may be."""
    runs: dict[Quantity, dict[str, pd.Series]]
    paper: dict[Quantity, pd.Series]

    @cached_property
    def ours(self) -> dict[Quantity, pd.DataFrame]:
        """Each quantity `over_seeds`."""
        return {quantity: over_seeds(of_runs.values()) for quantity, of_runs in self.runs.items()}

    @property
    def legend(self) -> str:
        """Its name, and how many runs there are."""
        if self.cell.n:
            return f"{self.label}, n = {self.cell.n}/{self.cell.planned}"
        if self.cell.is_not_run:
            return f"{self.label}: not at this scale"
        return f"{self.label}: {'diverged' if self.cell.diverged else 'no run yet'}"


@dataclass(frozen=True)
class Figure:
    """A figure of the paper's: its panels, `lines` those of each; `fig3` has fig3a … fig3d."""

    name: str
    panels: tuple[Panel, ...]
    lines: tuple[tuple[Line, ...], ...]


def figures_of(plan: SweepPlan, experiment: Experiment, cells: Sequence[Cell], results: Results) -> tuple[Figure, ...]:
    """All figures of the experiment, from `runs_of` the plan."""
    of_panels = [tuple(lines_of(panel, plan, experiment, cells, results)) for panel in experiment.figures]
    drawn = list(zip(experiment.figures, of_panels, strict=True))
    figures = []
    for name in dict.fromkeys(panel.whole for panel in experiment.figures):
        panels, lines = zip(*((panel, lines) for panel, lines in drawn if panel.whole == name), strict=True)
        figures.append(Figure(name, panels, lines))
    return tuple(figures)


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
    by_key = {curve["key"].iloc[0]: points_of(curve[curve["iteration"] <= end]) for curve in found}
    runs = {name: {key: points[name] for key, points in by_key.items()} for name in DRAWN} if found else {}
    paper: dict[Quantity, pd.Series | None] = {}
    if cell.paper.curve is not None and plan.scale in SCALES_OF_THE_PAPER:
        paper["train_loss"] = paper_loss(cell.paper.curve)
        paper["train_error"] = paper_curve(cell.paper.curve, "train_error")
        paper["test_error"] = paper_curve(cell.paper.curve, "test_error")
    stop = end if plan.scale == "early" else None
    shown = {name: curve.loc[:stop] for name, curve in paper.items() if curve is not None}
    return Line(cell, label, end, runs, {name: curve for name, curve in shown.items() if len(curve)})


def points_of(curve: pd.DataFrame) -> dict[Quantity, pd.Series]:
    """What is drawn of one run's curve."""
    return {
        "train_loss": coarser(train_points(curve, "train_loss"), MOST_POINTS),
        "train_error": coarser(train_points(curve, "train_error"), MOST_POINTS),
        "test_error": error_points(curve),
    }


def _responses(cell: Cell, label: str, panel: Panel, plan: SweepPlan, results: Results) -> Line:
    runs = results.runs[~is_served(results.runs)]  # a longer run's responses are those at its own end
    runs = runs[runs["configuration"].isin([tally.configuration for tally in cell.tallies])]
    responses = results.responses[results.responses["key"].isin(runs["key"])]
    order: Callable[[pd.Series], pd.Series] = by_size if panel.sorted else pd.Series.sort_index
    found = {str(key): order(of_run.set_index("layer")["std"]) for key, of_run in responses.groupby("key")}
    ours: dict[Quantity, dict[str, pd.Series]] = {"response": found} if found else {}
    paper = None
    if cell.paper.curve is not None and plan.scale == "paper":
        paper = paper_responses(cell.paper.curve)
    return Line(cell, label, 0, ours, {} if paper is None else {"response": order(paper)})
