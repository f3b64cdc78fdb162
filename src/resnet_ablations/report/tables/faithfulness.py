"""Faithfulness: our training loss over the paper's digitised one, at the same iterations of the same setting."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from resnet_ablations.experiments import Experiment
from resnet_ablations.report.cells.cell import Cell
from resnet_ablations.report.cells.curves import CUT_OFF, finished_curves, paper_loss, train_points
from resnet_ablations.report.cells.labels import cell_label
from resnet_ablations.report.cells.plans import iterations
from resnet_ablations.report.tables.table import Column, Table
from resnet_ablations.results.sweeps import SweepPlan

CHECKPOINTS = {"early": (500, 1_000, 1_500, 2_000), "paper": (10_000, 30_000, 34_000, 46_000, 62_000)}
"""The iterations to compare at, for the scales that share the paper's setting."""
WINDOWS = {"early": 100, "paper": 500}
"""Iterations to each side of a checkpoint that are averaged."""
DIGITISING = 0.05
"""How far the paper's digitised loss may be from what it printed, either way."""

Course = Literal["leads", "lags", "follows", "mixed"]
COURSES: tuple[Course, ...] = ("leads", "lags", "follows")
"""Those of a checkpoint; in a cell an earlier one stands before a later one."""


@dataclass(frozen=True)
class Comparison:
    """A cell's training loss at one checkpoint, ours and the paper's; None where there is no point to average."""

    cell: Cell
    iteration: int
    losses: tuple[float, ...]
    """Ours, of the finished seeds, smallest first."""
    paper: float | None
    paper_is_cut_off: bool
    """The paper's curve touches the end of its axis: the true loss is `paper` or more."""

    @property
    def n(self) -> int:
        """Our finished seeds."""
        return len(self.losses)

    @property
    def ours(self) -> float | None:
        """The median over our seeds."""
        return statistics.median(self.losses) if self.losses else None

    @property
    def ratio(self) -> float | None:
        """Ours over the paper's; an upper bound where the paper's is cut off."""
        return None if self.ours is None or self.paper is None else self.ours / self.paper

    @property
    def ratios(self) -> tuple[float, float] | None:
        """The smallest and the largest of our seeds; upper bounds where the paper's is cut off."""
        return (
            None
            if not self.losses or self.paper is None
            else (self.losses[0] / self.paper, self.losses[-1] / self.paper)
        )

    @property
    def course(self) -> Course | None:
        """Whether we are ahead of the paper, with each seed's loss lower by more than the digitising error, or behind.

        None where there is nothing to compare, or a bound that does not tell.
        """
        if self.ratios is None:
            return None
        if self.ratios[1] < 1 - DIGITISING:
            return "leads"
        if self.paper_is_cut_off:
            return None
        return "lags" if self.ratios[0] > 1 + DIGITISING else "follows"


def compare(plan: SweepPlan, cells: list[Cell], runs: pd.DataFrame, curves: pd.DataFrame) -> list[Comparison]:
    """Every cell with a digitised loss at every checkpoint of the plan's scale; nothing at other scales."""
    comparisons = []
    for cell in cells:
        paper = paper_loss(cell.paper.curve) if cell.paper.curve is not None else None
        if paper is None or not cell.tallies or plan.scale not in CHECKPOINTS:
            continue
        configurations = [tally.configuration for tally in cell.tallies]
        end = max(iterations(plan, configurations))
        ours = [train_points(curve, "train_loss") for curve in finished_curves(configurations, runs, curves)]
        for iteration in CHECKPOINTS[plan.scale]:
            # Both curves over the same span: where ours ends at a checkpoint, the paper's later half would be lower.
            low, high = iteration - WINDOWS[plan.scale], min(iteration + WINDOWS[plan.scale], end)
            losses = [loss for curve in ours if (loss := _geometric_mean(curve, low, high)) is not None]
            comparisons.append(
                Comparison(
                    cell,
                    iteration,
                    losses=tuple(sorted(losses)),
                    paper=_geometric_mean(paper.clip(upper=CUT_OFF), low, high),
                    paper_is_cut_off=bool((_between(paper, low, high) > CUT_OFF).any()),
                )
            )
    return comparisons


def course(comparisons: Iterable[Comparison]) -> Course | None:
    """Of one cell over its checkpoints: follows unless it leads or lags at one; mixed where it does both."""
    courses = {comparison.course for comparison in comparisons} - {None}
    if courses >= {"leads", "lags"}:
        return "mixed"
    return next((name for name in COURSES if name in courses), None)


def faithfulness_table(plan: SweepPlan, experiment: Experiment, comparisons: list[Comparison]) -> Table:
    """The comparisons as a table: three lines a cell, a column a checkpoint."""
    window = WINDOWS[plan.scale]
    ends = " or ".join(f"{end:,}" for end in iterations(plan))
    by_cell: dict[tuple[str, str], list[Comparison]] = {}
    for comparison in comparisons:
        by_cell.setdefault((comparison.cell.row.id, comparison.cell.column.id), []).append(comparison)
    lines = []
    for of_cell in by_cell.values():
        label = cell_label(of_cell[0].cell, experiment)
        lines.append((label, "ours", *(_number(c.ours) for c in of_cell), ""))
        lines.append(("", "paper", *(_number(c.paper, "≥ " if c.paper_is_cut_off else "") for c in of_cell), ""))
        lines.append(("", "ratio", *(_ratio(c) for c in of_cell), ""))
        if any(c.n > 1 for c in of_cell):
            lines.append(("", "seeds", *(_ratios(c) for c in of_cell), ""))
        lines.append(("", "course", *(c.course or "–" for c in of_cell), course(of_cell) or "–"))
    cut_off = any(c.paper_is_cut_off or c.paper is None for c in comparisons)
    return Table(
        name=f"{plan.name}-faithfulness",
        title=f"Faithfulness: {experiment.title}, scale {plan.scale}",
        caption=(
            f"Training loss at an iteration, ours and the paper’s: geometric mean of the points within ±{window} "
            f"iterations (never past iteration {ends}), ours the median over the finished seeds. The "
            "paper’s is digitised from its figure (±5 %), so a ratio within 0.95–1.05 cannot be told from 1. Ours "
            "leads where each seed’s ratio is below 0.95, lags where each is above 1.05, and follows otherwise; "
            "in all it follows unless it leads or lags somewhere, and is mixed where it does both."
        ),
        columns=(
            Column("row"),
            Column("training loss"),
            *(Column(f"{iteration:,}", right=True) for iteration in CHECKPOINTS[plan.scale]),
            Column("in all", right=True),
        ),
        rows=tuple(lines),
        notes=("The paper’s curves are cut off at 2, the end of its axis (≥, or no value).",) * cut_off,
    )


def tidy(plan: SweepPlan, comparisons: list[Comparison]) -> pd.DataFrame:
    """One line a cell and checkpoint."""
    return pd.DataFrame(
        [
            {
                "experiment": plan.experiment,
                "scale": plan.scale,
                "sweep": plan.name,
                "row": c.cell.row.id,
                "column": c.cell.column.id,
                "iteration": c.iteration,
                "window": WINDOWS[plan.scale],
                "ours": c.ours,
                "paper": c.paper,
                "ratio": c.ratio,
                "lowest_ratio": None if c.ratios is None else c.ratios[0],
                "highest_ratio": None if c.ratios is None else c.ratios[1],
                "course": c.course,
                "paper_is_cut_off": c.paper_is_cut_off,
                "n": c.n,
            }
            for c in comparisons
        ]
    )


def _between(curve: pd.Series, low: float, high: float) -> pd.Series:
    return curve[(curve.index >= low) & (curve.index <= high)]


def _geometric_mean(curve: pd.Series, low: float, high: float) -> float | None:
    points = [float(loss) for loss in _between(curve, low, high) if loss > 0]
    return statistics.geometric_mean(points) if points else None


def _number(loss: float | None, prefix: str = "") -> str:
    return "–" if loss is None else f"{prefix}{loss:#.3g}"


def _ratio(comparison: Comparison) -> str:
    if comparison.ratio is None:
        return "–"
    return f"{'≤ ' if comparison.paper_is_cut_off else ''}{comparison.ratio:.2f}"


def _ratios(comparison: Comparison) -> str:
    if comparison.ratios is None:
        return "–"
    low, high = comparison.ratios
    return f"{'≤ ' if comparison.paper_is_cut_off else ''}{low:.2f}–{high:.2f}"
