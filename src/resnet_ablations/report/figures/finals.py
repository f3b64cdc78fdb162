"""Beyond the papers' figures: the final errors of all rows beside one another, and what they cost."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from resnet_ablations.experiments import METRICS, Experiment
from resnet_ablations.report.cells.cell import FAIL, Cell, Tally, has_number, is_error
from resnet_ablations.report.cells.labels import cell_label, row_label
from resnet_ablations.report.cells.plans import is_served
from resnet_ablations.report.figures.axes import Axis, amounts_axis, final_errors_axis
from resnet_ablations.results.sweeps import SweepPlan


@dataclass(frozen=True)
class StripRow:
    """A row's final errors (%), one a seed and configuration, and the paper's."""

    cell: Cell
    label: str
    paper: float | None
    """What it prints or shows; where it prints "fail", the least that this means."""

    @property
    def runs(self) -> dict[str, float]:
        """What each finished run came to, by key."""
        return {
            tally.keys[seed]: error
            for tally in self.cell.tallies
            for seed, error in tally.values.items()  # noqa: PD011
        }

    @property
    def diverged(self) -> list[str]:
        """The keys of the diverged runs."""
        return [tally.keys[seed] for tally in self.cell.tallies for seed in tally.diverged]

    @property
    def paper_fails(self) -> bool:
        """The paper's number is at least `paper`."""
        return self.paper is not None and self.cell.paper.printed == "fail"


@dataclass(frozen=True)
class Strip:
    """Every final error of a table's sole column."""

    axis: Axis
    rows: tuple[StripRow, ...]


@dataclass(frozen=True)
class CostPoint:
    """One configuration: the median final error (%) over its seeds, the least and the largest."""

    number: int
    """Of its cell, as in the key."""
    column: int
    cell: Cell
    keys: tuple[str, ...]
    """Of its runs."""
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class CostPanel:
    """The configurations against one amount of what they cost, for those that say."""

    axis: Axis
    points: tuple[tuple[float, CostPoint], ...]


@dataclass(frozen=True)
class Costs:
    """The configurations of a table against what they cost, and the names of their cells, numbered from 1."""

    axis: Axis
    """Of the errors."""
    names: tuple[str, ...]
    points: tuple[CostPoint, ...]
    panels: tuple[CostPanel, ...]
    """Not empty."""


def strip_of(plan: SweepPlan, experiment: Experiment, cells: Sequence[Cell]) -> Strip | None:
    """The strip of an experiment with one column of errors that the paper prints; None without a run.

    At scale `early` without the paper's numbers, which are those at the end of training.
    """
    metrics = {cell.metric for cell in cells}
    if len(experiment.columns) > 1 or len(metrics) > 1 or not is_error(min(metrics)):
        return None
    if not any(has_number(cell.paper) for cell in cells) or not any(cell.n + cell.diverged for cell in cells):
        return None
    compared = plan.scale != "early"
    rows = [StripRow(cell, row_label(cell.row, experiment), _printed(cell) if compared else None) for cell in cells]
    numbers = [*(row.paper for row in rows if row.paper is not None), *(e for row in rows for e in row.runs.values())]
    axis = final_errors_axis(f"{METRICS[min(metrics)]}, ours at scale {plan.scale}", numbers or [FAIL])
    return Strip(axis, tuple(rows))


def _printed(cell: Cell) -> float | None:
    printed = cell.paper.digitised if cell.paper.printed is None else cell.paper.printed
    return FAIL if printed == "fail" else printed


def costs_of(plan: SweepPlan, experiment: Experiment, cells: Sequence[Cell], runs: pd.DataFrame) -> Costs | None:
    """What the networks cost that are trained for the table, from `runs_of` its plan; None with less than two.

    The error is the one that the experiment shows first, on test images. A longer run that serves has other costs.
    Seconds are compared where all the runs are of one machine, multiply-adds where they differ at all.
    """
    metric = next((cell.metric for cell in cells if is_error(cell.metric) and cell.metric != "train_error"), None)
    own = runs[~is_served(runs) & (runs["outcome"] == "finished")]
    columns = [column.id for column in experiment.columns]
    names: list[str] = []
    points: dict[str, CostPoint] = {}
    for cell in cells:
        if cell.metric != metric:
            continue
        new = [tally for tally in cell.tallies if tally.configuration not in points]
        place = len(names) + 1, columns.index(cell.column.id)
        made = {tally.configuration: point for tally in new if (point := _point(*place, cell, tally, own))}
        if made:
            names.append(cell_label(cell, experiment))
            points |= made
    medians = own.groupby("configuration")[["seconds", "multiply_adds"]].median()
    seconds = medians["seconds"] if len(set(own["machine"])) == 1 else medians["seconds"].head(0)
    counts = medians["multiply_adds"].dropna() / 1e6
    panels = [
        _panel("seconds of training", seconds, points),
        _panel("million multiply-adds an image", counts if len(set(counts)) > 1 else counts.head(0), points),
    ]
    if metric is None or not any(panels):
        return None
    axis = final_errors_axis(f"{METRICS[metric]}, scale {plan.scale}", _ends(points.values()))
    return Costs(axis, tuple(names), tuple(points.values()), tuple(filter(None, panels)))


def _point(number: int, column: int, cell: Cell, tally: Tally, own: pd.DataFrame) -> CostPoint | None:
    of_tally = own[(own["configuration"] == tally.configuration) & own["seed"].isin(list(tally.values))]
    errors = [tally.values[seed] for seed in of_tally["seed"]]  # noqa: PD011
    if not errors:
        return None
    keys = tuple(of_tally["key"].astype(str))
    return CostPoint(number, column, cell, keys, statistics.median(errors), min(errors), max(errors))


def _panel(label: str, amounts: pd.Series, points: dict[str, CostPoint]) -> CostPanel | None:
    """The points whose configuration has an amount; None where these are less than two."""
    there = [(float(amounts[name]), point) for name, point in points.items() if name in amounts]
    if len(there) < 2:
        return None
    return CostPanel(amounts_axis(label, [amount for amount, _ in there]), tuple(there))


def _ends(points: Iterable[CostPoint]) -> list[float]:
    return [end for point in points for end in (point.low, point.high)]
