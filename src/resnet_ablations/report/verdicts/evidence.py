"""What one sweep has to say on claims: of each cell the runs' values, by configuration and seed."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pandas as pd

from resnet_ablations.experiments import Experiment
from resnet_ablations.report.cells.cell import Cell, Tally, is_error
from resnet_ablations.report.cells.curves import train_points
from resnet_ablations.report.cells.labels import cell_label
from resnet_ablations.results.keys import run_key
from resnet_ablations.results.sweeps import SweepPlan

END_OF_TRAINING = 0.9
"""From this share of its iterations on, the points of a run's curve are averaged to its training loss at the end."""

Quantity = Literal["metric", "train_error", "train_loss"]
"""The metric that a cell shows, or what every run has besides."""


class NotJudged(Exception):
    """Why a sweep says nothing on a claim, as the end of a sentence."""


@dataclass(frozen=True)
class Sample:
    """What the planned seeds of one configuration came to; infinite where diverged, no entry without a result."""

    configuration: str
    by_seed: Mapping[int, float]

    @property
    def numbers(self) -> list[float]:
        """By seed, without their seeds."""
        return list(self.by_seed.values())


@dataclass(frozen=True)
class Evidence:
    """A sweep's plan, the runs that fill it, and the cells that these come to."""

    plan: SweepPlan
    experiment: Experiment
    runs: pd.DataFrame
    """As `runs_of` the plan."""
    cells: Sequence[Cell]
    """Every cell of the experiment."""
    curves: Mapping[str, pd.DataFrame]
    """By run."""

    @cached_property
    def _by_name(self) -> dict[str, Cell]:
        return {f"{cell.row.id}/{cell.column.id}": cell for cell in self.cells}

    @property
    def is_papers_setting(self) -> bool:
        """The paper's own network, data and schedule, nothing of them overridden."""
        return self.plan.scale == "paper" and not self.overridden

    @property
    def overridden(self) -> list[str]:
        """The overrides of a sweep that is not simply the experiment at its scale, as its name says."""
        plain = f"{self.plan.experiment}-{self.plan.scale}"
        return [] if self.plan.name == plain else self.plan.overrides or [self.plan.name]

    def cell(self, cell_id: str) -> Cell:
        """A cell that a claim names; a sole column need not be named."""
        return self._by_name[self.experiment.full_cell_id(cell_id)]

    def label(self, cell_id: str) -> str:
        """What a cell is called in a sentence, in quotation marks."""
        return f"“{cell_label(self.cell(cell_id), self.experiment)}”"

    def samples(self, cell_id: str, quantity: Quantity = "metric") -> list[Sample]:
        """One of each configuration of the cell; raise `NotJudged` where it has none at this scale."""
        cell = self.cell(cell_id)
        if not cell.tallies:
            raise NotJudged(f"{self.label(cell_id)} is not run")
        return [Sample(tally.configuration, self._values(tally, cell.metric, quantity)) for tally in cell.tallies]

    def sample(self, cell_id: str, quantity: Quantity = "metric") -> Sample:
        """Of a cell's sole configuration; raise `NotJudged` where it is not run, or no run of it has a result."""
        samples = self.samples(cell_id, quantity)
        if len(samples) > 1:
            raise NotJudged(f"{self.label(cell_id)} has {len(samples)} configurations")
        if not samples[0].by_seed:
            raise NotJudged(f"no run of {self.label(cell_id)} has a result")
        return samples[0]

    def depth(self, cell_id: str) -> int:
        """Of the networks of a cell; raise `NotJudged` where it is not run."""
        name = self.samples(cell_id)[0].configuration
        return int(self.plan.configurations[name].config["network"]["depth"])

    def _values(self, tally: Tally, metric: str, quantity: Quantity) -> dict[int, float]:
        finished = {
            "metric": dict(tally.values),
            "train_error": tally.train_errors,
            "train_loss": self._losses(tally),
        }[quantity]
        # A response of a diverged run is no number that others could be held against.
        worst = quantity != "metric" or is_error(metric)
        diverged = dict.fromkeys(tally.diverged, math.inf) if worst else {}
        return dict(sorted({**finished, **diverged}.items()))

    def _losses(self, tally: Tally) -> dict[int, float]:
        """Of the finished runs that have a curve, the geometric mean of the last points of the training loss."""
        start = END_OF_TRAINING * self.plan.configurations[tally.configuration].iterations
        losses = {}
        for seed in tally.train_errors:
            curve = self.curves.get(run_key(tally.configuration, seed))
            points = None if curve is None else train_points(curve, "train_loss")[lambda of: of.index >= start]
            if points is not None and len(points) and points.min() > 0:
                losses[seed] = statistics.geometric_mean(points)
        return losses
