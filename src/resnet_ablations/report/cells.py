"""From runs to the cells of a table: statistics over seeds, nothing about how they look."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from resnet_ablations.experiments import Experiment, Row
from resnet_ablations.results.sweeps import SweepPlan

FAIL = 20.0
"""The paper's word "fail": a finished run whose test error (%) is above this."""
CLEAR = 1.0
"""Percentage points: where the paper's rows are this far apart, ours must be too, to have come out as in the paper."""


@dataclass(frozen=True)
class Tally:
    """What the seeds of one configuration came to: the finished ones' test errors (%), the others by name."""

    configuration: str
    errors: dict[int, float]
    train_errors: dict[int, float]
    diverged: tuple[int, ...]
    missing: tuple[int, ...]
    seconds: float
    """Training time of all its results together."""

    @property
    def n(self) -> int:
        """The finished seeds, those that the statistics are over."""
        return len(self.errors)

    @property
    def median(self) -> float | None:
        """The paper's statistic; None without a finished seed."""
        return statistics.median(self.errors.values()) if self.errors else None

    @property
    def mean(self) -> float | None:
        """None without a finished seed."""
        return statistics.fmean(self.errors.values()) if self.errors else None

    @property
    def std(self) -> float | None:
        """The sample standard deviation (n − 1); None below two finished seeds."""
        return statistics.stdev(self.errors.values()) if self.n >= 2 else None


@dataclass(frozen=True)
class Cell:
    """One number of a table: a row of the paper's and what each of its configurations came to."""

    row: Row
    tallies: tuple[Tally, ...]

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
    tallies = {name: _tally(name, plan.seeds, runs[runs["configuration"] == name]) for name in plan.configurations}
    return [Cell(row, tuple(tallies[name] for name in plan.rows.get(row.id, []))) for row in experiment.rows]


def _tally(configuration: str, seeds: Sequence[int], runs: pd.DataFrame) -> Tally:
    rows = {int(run["seed"]): run for run in runs.to_dict("records")}
    finished = {seed: rows[seed] for seed in seeds if seed in rows and rows[seed]["outcome"] == "finished"}
    return Tally(
        configuration,
        errors={seed: float(run["test_error"]) for seed, run in finished.items()},
        train_errors={seed: float(run["train_error"]) for seed, run in finished.items()},
        diverged=tuple(seed for seed in seeds if seed in rows and seed not in finished),
        missing=tuple(seed for seed in seeds if seed not in rows),
        seconds=float(sum(run["seconds"] for run in rows.values())),
    )


@dataclass(frozen=True)
class Ordering:
    """How a row stands to the baseline, ours and the paper's: differences in percentage points, positive is worse."""

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


def ordering(cell: Cell, baseline: Cell) -> Ordering | None:
    """The cell against the baseline of the same table; None while one of them has no finished run.

    Of several configurations, the one that stands least as the paper says.
    """
    ours_base, paper_base = baseline.medians, baseline.row.printed
    if not cell.medians or not ours_base or paper_base == "fail" or cell.row.id == baseline.row.id:
        return None
    printed = FAIL if cell.row.printed == "fail" else cell.row.printed
    paper = printed - paper_base
    ours = (cell.medians[0] if paper > 0 else cell.medians[-1]) - ours_base[0]
    return Ordering(round(ours, 6), round(paper, 6), paper_is_bound=cell.row.printed == "fail")
