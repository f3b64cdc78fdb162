"""The numbers of one sweep that claims are judged by, by configuration and seed."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from resnet_ablations.report.claims.wording import ERROR, RESPONSE, UNITS, Unit
from resnet_ablations.report.curves import train_points
from resnet_ablations.report.frame import ReportData, Run, Sweep, is_error
from resnet_ablations.report.tables.summary import listed

END_OF_TRAINING = 0.9
"""The share of the iterations from which on a curve is averaged to the training loss at the end."""

Quantity = Literal["value", "train_error", "train_loss"]
"""The metric that a cell shows, the training error, or the logarithm of the training loss at the end."""


class NotJudged(Exception):
    """The reason why a sweep says nothing about a claim."""


@dataclass(frozen=True)
class Sample:
    """The results of one configuration by seed: infinite where diverged, no entry without a result."""

    label: str
    """The cell's label in quotation marks, with how many configurations it has where these are several."""
    configuration: str
    by_seed: Mapping[int, float]
    unit: Unit

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

    def samples(self, *names: str, quantity: Quantity = "value") -> list[Sample]:
        """Return a sample of each configuration of the cells; raise `NotJudged` where none has a result."""
        found = []
        for name in names:
            rows = self.sweep.cell(name)
            label = f"“{rows['label'].iloc[0]}”"
            if (rows["configuration"] == "").any():
                raise NotJudged(f"{label} is not run")
            if several := rows["configuration"].nunique() - 1:
                label += f" (one of {several + 1} configurations)"
            unit = UNITS.get(quantity) or (ERROR if is_error(rows["metric"].iloc[0]) else RESPONSE)
            for configuration, of_one in rows.groupby("configuration", sort=False):
                numbers = {int(run["seed"]): self._number(run, quantity) for run in of_one.to_dict("records")}
                known = {seed: number for seed, number in numbers.items() if not math.isnan(number)}
                found.append(Sample(label, str(configuration), known, unit))
        if any(sample.by_seed for sample in found):
            return found
        raise NotJudged(f"no run of {listed(list(dict.fromkeys(one.label for one in found)))} has a result")

    def sample(self, name: str, quantity: Quantity = "value") -> Sample:
        """Return the sample of a cell's sole configuration; raise `NotJudged` where it has several, or no result."""
        first, *others = self.samples(name, quantity=quantity)
        if others:
            raise NotJudged(f"{first.label.partition(' (')[0]} has {1 + len(others)} configurations")
        return first

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
