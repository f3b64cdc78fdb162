"""The numbers of one sweep that claims are judged by, by configuration and seed."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from resnet_ablations.report.curves import train_points
from resnet_ablations.report.frame import ReportData, Run, Sweep, is_error

END_OF_TRAINING = 0.9
"""The share of the iterations from which on a curve is averaged to the training loss at the end."""

Quantity = Literal["value", "train_error", "train_loss"]
"""The metric that a cell shows, the training error, or the logarithm of the training loss at the end."""


class NotJudged(Exception):
    """The reason why a sweep says nothing about a claim."""


@dataclass(frozen=True)
class Sample:
    """The results of one configuration by seed: infinite where diverged, no entry without a result."""

    cell: str
    """The cell's label in quotation marks."""
    label: str
    """The cell's label, with how many configurations it has where these are several."""
    configuration: str
    by_seed: Mapping[int, float]

    @property
    def numbers(self) -> list[float]:
        """The results without their seeds."""
        return list(self.by_seed.values())

    @property
    def median(self) -> float:
        """The median result."""
        return statistics.median(self.numbers)


@dataclass(frozen=True)
class Evidence:
    """One sweep's numbers; cells are named as claims name them."""

    sweep: Sweep
    data: ReportData

    @property
    def overridden(self) -> list[str]:
        """The overrides of a sweep that is not simply the experiment at its scale, as its name says."""
        plan = self.sweep.plan
        return [] if plan.name == f"{plan.experiment}-{plan.scale}" else plan.overrides or [plan.name]

    def is_error(self, name: str) -> bool:
        """Return whether a cell shows an error."""
        return is_error(self.sweep.cell(name)["metric"].iloc[0])

    def samples(self, name: str, quantity: Quantity = "value") -> list[Sample]:
        """Return a sample of each configuration of a cell; raise `NotJudged` where it has none at this scale."""
        rows = self.sweep.cell(name).to_dict("records")
        cell = f"“{rows[0]['label']}”"
        results: dict[str, dict[int, float]] = {}
        for run in rows:
            of_configuration = results.setdefault(run["configuration"], {})
            if not math.isnan(number := self._number(run, quantity)):
                of_configuration[int(run["seed"])] = number
        if "" in results:
            raise NotJudged(f"{cell} is not run")
        label = cell if len(results) == 1 else f"{cell} (one of {len(results)} configurations)"
        return [Sample(cell, label, one, by_seed) for one, by_seed in results.items()]

    def sample(self, name: str, quantity: Quantity = "value") -> Sample:
        """Return the sample of a cell's sole configuration; raise `NotJudged` where it has several, or no result."""
        samples = self.samples(name, quantity)
        if len(samples) > 1:
            raise NotJudged(f"{samples[0].cell} has {len(samples)} configurations")
        if not samples[0].by_seed:
            raise NotJudged(f"no run of {samples[0].cell} has a result")
        return samples[0]

    def depth(self, name: str) -> int:
        """Return the depth of a cell's networks; raise `NotJudged` where it is not run."""
        configuration = self.samples(name)[0].configuration
        return int(self.sweep.plan.configurations[configuration].config["network"]["depth"])

    def _number(self, run: Run, quantity: Quantity) -> float:
        """Return a run's number, infinite where it diverged, NaN where it has none."""
        if run["outcome"] == "diverged":
            # A diverged run's response is no number that others could be compared with.
            return math.inf if quantity != "value" or is_error(run["metric"]) else math.nan
        if math.isnan(run["value"]) or quantity != "train_loss":
            return float(run["value" if math.isnan(run["value"]) else quantity])
        curve = self.data.curves.get(run["key"])
        if curve is None:
            return math.nan
        points = train_points(curve, "train_loss").loc[END_OF_TRAINING * run["iterations"] :]
        return float(np.log(points).mean()) if points.min() > 0 else math.nan
