"""Beyond the papers' figures: the final errors of all rows beside one another, and what they cost."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from resnet_ablations.experiments import Experiment
from resnet_ablations.report.cells.cell import FAIL, Cell, has_number, is_error
from resnet_ablations.report.cells.labels import cell_label, row_label
from resnet_ablations.report.cells.plans import is_served


@dataclass(frozen=True)
class StripRow:
    """A row's final errors (%), one a seed and configuration, and the paper's."""

    label: str
    errors: tuple[float, ...]
    diverged: int
    paper: float | None
    """What it prints or shows; where it prints "fail", the least that this means."""
    paper_fails: bool


@dataclass(frozen=True)
class Strip:
    """Every final error of a table's sole column."""

    metric: str
    rows: tuple[StripRow, ...]


Amount = Literal["seconds", "multiply_adds"]
"""What a network costs: of training, and of one image forward."""


@dataclass(frozen=True)
class CostPoint:
    """One configuration: the median final error (%) over its seeds, the least and the largest, and what it cost."""

    number: int
    """Of its cell, as in the key."""
    column: int
    error: float
    low: float
    high: float
    seconds: float
    """Of training, the median over the seeds."""
    multiply_adds: int | None
    """Of one image forward; None where no run says."""


@dataclass(frozen=True)
class Costs:
    """The configurations of a table, and the names of their cells, numbered from 1."""

    metric: str
    names: tuple[str, ...]
    points: tuple[CostPoint, ...]
    amounts: tuple[Amount, ...]
    """Those that tell the configurations apart."""


def strip_of(experiment: Experiment, cells: Sequence[Cell]) -> Strip | None:
    """The strip of an experiment with one column of errors that the paper prints; None without a run."""
    metrics = {cell.metric for cell in cells}
    if len(experiment.columns) > 1 or len(metrics) > 1 or not is_error(min(metrics)):
        return None
    if not any(has_number(cell.paper) for cell in cells) or not any(cell.n + cell.diverged for cell in cells):
        return None
    return Strip(min(metrics), tuple(_strip_row(cell, experiment) for cell in cells))


def _strip_row(cell: Cell, experiment: Experiment) -> StripRow:
    errors = tuple(error for tally in cell.tallies for error in tally.values.values())  # noqa: PD011
    fails = cell.paper.printed == "fail"
    printed = cell.paper.digitised if cell.paper.printed is None else cell.paper.printed
    paper = FAIL if printed == "fail" else printed
    return StripRow(row_label(cell.row, experiment), errors, cell.diverged, paper, fails)


def costs_of(experiment: Experiment, cells: Sequence[Cell], runs: pd.DataFrame) -> Costs | None:
    """What the networks cost that are trained for the table, from `runs_of` its plan; None where nothing of it differs.

    The error is the one that the experiment shows first, on test images. A longer run that serves has other costs.
    Seconds are compared where all the runs are of one machine.
    """
    metric = next((cell.metric for cell in cells if is_error(cell.metric) and cell.metric != "train_error"), None)
    own = runs[~is_served(runs) & (runs["outcome"] == "finished")]
    columns = [column.id for column in experiment.columns]
    names: list[str] = []
    points: dict[str, CostPoint] = {}
    for cell in cells:
        new = [tally for tally in cell.tallies if tally.configuration not in points]
        if cell.metric != metric:
            continue
        made = {}
        for tally in new:
            of_tally = own[(own["configuration"] == tally.configuration) & own["seed"].isin(list(tally.values))]
            if of_tally.empty:
                continue
            errors = [tally.values[seed] for seed in of_tally["seed"]]  # noqa: PD011
            made[tally.configuration] = CostPoint(
                len(names) + 1,
                columns.index(cell.column.id),
                *(statistics.median(errors), min(errors), max(errors)),
                seconds=float(of_tally["seconds"].median()),
                multiply_adds=next(map(int, of_tally["multiply_adds"].dropna()), None),
            )
        if made:
            names.append(cell_label(cell, experiment))
            points |= made
    amounts: dict[Amount, set[float]] = {
        "seconds": {point.seconds for point in points.values()} if len(set(own["machine"])) == 1 else set(),
        "multiply_adds": {point.multiply_adds for point in points.values() if point.multiply_adds is not None},
    }
    compared = tuple(name for name, values in amounts.items() if len(values) > 1)
    return Costs(metric, tuple(names), tuple(points.values()), compared) if metric is not None and compared else None
