"""From runs to the cells of a table: statistics over seeds, nothing about how they look."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from resnet_ablations.experiments import Cell as PaperCell
from resnet_ablations.experiments import Column, Experiment, Row
from resnet_ablations.results.sweeps import SweepPlan

FAIL = 20.0
"""The paper's word "fail": a finished run whose test error (%) is above this."""
CLEAR = 1.0
"""Percentage points: where the paper's rows are this far apart, ours must be too, to have come out as in the paper."""

Run = dict[Any, Any]
"""A row of `runs_of` a plan."""


@dataclass(frozen=True)
class Tally:
    """What the seeds of one configuration came to: the finished ones' values of a metric, the others by name."""

    configuration: str
    values: dict[int, float]
    train_errors: dict[int, float]
    diverged: tuple[int, ...]
    missing: tuple[int, ...]
    """Without a result, or with one that lacks the metric."""
    lacking: tuple[int, ...]
    """Those of the missing ones that have finished."""
    keys: dict[int, str]
    """The run that each seed's result comes from."""
    seconds: float
    """Training time of all its results together."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """All planned ones."""
        return (*self.values, *self.diverged, *self.missing)

    @property
    def n(self) -> int:
        """The finished seeds, those that the statistics are over."""
        return len(self.values)

    @property
    def median(self) -> float | None:
        """The paper's statistic; None without a finished seed."""
        return statistics.median(self.values.values()) if self.values else None

    @property
    def mean(self) -> float | None:
        """None without a finished seed."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def std(self) -> float | None:
        """The sample standard deviation (n − 1); None below two finished seeds."""
        return statistics.stdev(self.values.values()) if self.n >= 2 else None


@dataclass(frozen=True)
class Cell:
    """One number of a table: what the paper says of it, and what each of its configurations came to."""

    row: Row
    column: Column
    paper: PaperCell
    metric: str
    tallies: tuple[Tally, ...]
    in_plan: bool
    """The plan knows the cell; if it has no configurations all the same, it is not run at that scale."""
    baseline: "Cell | None"
    """What it is held against; None for a baseline itself, and where that shows another metric."""

    @property
    def is_not_run(self) -> bool:
        """Our own row, but nothing stands for it at the plan's scale."""
        return self.in_plan and bool(self.row.configurations) and not self.tallies

    @property
    def n(self) -> int:
        """Finished runs."""
        return sum(tally.n for tally in self.tallies)

    @property
    def diverged(self) -> int:
        """Diverged runs."""
        return sum(len(tally.diverged) for tally in self.tallies)

    @property
    def missing(self) -> int:
        """Planned runs without a result."""
        return sum(len(tally.missing) for tally in self.tallies)

    @property
    def planned(self) -> int:
        """All runs that the plan has for this cell."""
        return self.n + self.diverged + self.missing

    @property
    def medians(self) -> list[float]:
        """The medians of the configurations that have one, smallest first."""
        return sorted(tally.median for tally in self.tallies if tally.median is not None)


def cells_of(plan: SweepPlan, experiment: Experiment, runs: pd.DataFrame) -> list[Cell]:
    """The cells of the experiment in the paper's order, from `runs_of` the plan."""
    by_configuration: dict[str, dict[int, Run]] = {name: {} for name in plan.configurations}
    for run in runs.to_dict("records"):
        by_configuration[run["configuration"]][int(run["seed"])] = run
    cells: dict[tuple[str, str], Cell] = {}
    for row, column, paper in experiment.cells():
        metric = paper.metric or column.metric
        first = {"first_row": (experiment.rows[0].id, column.id), "first_column": (row.id, experiment.columns[0].id)}
        baseline = cells.get(first[experiment.baseline]) if experiment.baseline else None
        names = plan.cells.get(row.id, {}).get(column.id)
        cells[row.id, column.id] = Cell(
            row,
            column,
            paper,
            metric,
            tallies=tuple(_tally(name, metric, plan.seeds, by_configuration[name]) for name in names or ()),
            in_plan=names is not None,
            baseline=baseline if baseline is not None and baseline.metric == metric else None,
        )
    return list(cells.values())


def _tally(configuration: str, metric: str, seeds: Sequence[int], rows: Mapping[int, Run]) -> Tally:
    finished = {seed: rows[seed] for seed in seeds if seed in rows and rows[seed]["outcome"] == "finished"}
    values = {seed: float(run[metric]) for seed, run in finished.items() if not math.isnan(run[metric])}
    return Tally(
        configuration,
        values=values,
        train_errors={seed: float(finished[seed]["train_error"]) for seed in values},
        diverged=tuple(seed for seed in seeds if seed in rows and seed not in finished),
        missing=tuple(seed for seed in seeds if seed not in rows or seed in finished.keys() - values.keys()),
        lacking=tuple(seed for seed in finished if seed not in values),
        keys={seed: str(rows[seed]["key"]) for seed in seeds if seed in rows},
        seconds=float(sum(run["seconds"] for run in rows.values())),
    )


def runs_in(cells: Sequence[Cell]) -> tuple[int, int]:
    """How many runs the cells have, each counted once: those that are finished for all of them, and those planned."""
    tallies = [tally for cell in cells for tally in cell.tallies]
    planned = {(tally.configuration, seed) for tally in tallies for seed in tally.seeds}
    unfinished = {(tally.configuration, seed) for tally in tallies for seed in (*tally.diverged, *tally.missing)}
    return len(planned - unfinished), len(planned)


def has_number(paper: PaperCell) -> bool:
    """Whether the paper prints something for the cell, or shows it in a figure."""
    return paper.printed is not None or paper.digitised is not None


def is_error(metric: str) -> bool:
    """Whether a metric is an error in %, of which less is better."""
    return metric.endswith("_error")


@dataclass(frozen=True)
class Ordering:
    """How a cell stands to its baseline, ours and the paper's: differences in percentage points, positive is worse."""

    ours: float
    paper: float
    paper_is_bound: bool
    """The paper prints "fail", so that its difference is at least this."""

    @property
    def agrees(self) -> bool:
        """The same sign, and a clear difference where the paper has one."""
        if self.paper == 0:
            return True
        ours = self.ours if self.paper > 0 else -self.ours
        return ours > 0 and ours >= (CLEAR if abs(self.paper) >= CLEAR else 0)


def ordering(cell: Cell) -> Ordering | None:
    """An error against its baseline's; None while one has no finished run, and where the paper has no number of one.

    Of several configurations, the one that stands least as the paper says.
    """
    baseline = cell.baseline
    if baseline is None or not is_error(cell.metric) or not cell.medians or not baseline.medians:
        return None
    number, paper_base = _paper_error(cell.paper), _paper_error(baseline.paper)
    if number is None or paper_base is None or baseline.paper.printed == "fail":
        return None
    paper = number - paper_base
    ours = (cell.medians[0] if paper > 0 else cell.medians[-1]) - baseline.medians[0]
    return Ordering(round(ours, 6), round(paper, 6), paper_is_bound=cell.paper.printed == "fail")


def _paper_error(paper: PaperCell) -> float | None:
    if paper.printed == "fail":
        return FAIL
    return paper.digitised if paper.printed is None else paper.printed
