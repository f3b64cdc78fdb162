"""The numbers from one sweep that are used to judge claims, indexed by configuration and seed."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from resnet_ablations.report.claims.wording import ERROR, RESPONSE, UNITS, Unit
from resnet_ablations.report.curves import train_points
from resnet_ablations.report.frame import ReportData, Run, Sweep, is_error

Quantity = Literal["value", "train_error", "train_loss", "early_train_error"]
"""The metric that a cell shows; at the end of training, the training error or the logarithm of the training loss; the
training error of the first iterations."""
PARTS = {"train_loss": (0.9, 1.0), "train_error": (0.9, 1.0), "early_train_error": (0.0, 1 / 3)}
"""The parts of the iterations over which a curve is averaged."""


class NotJudged(Exception):
    """Raised if a sweep cannot be used to judge a claim; the message gives the reason."""


@dataclass(frozen=True)
class Sample:
    """The results of one configuration: infinite where diverged, none without a result."""

    label: str
    """The cell's label in quotation marks, with how many configurations it has where these are several."""
    configuration: str
    metric: str
    numbers: list[float]
    unit: Unit
    printed: float = math.nan
    """The paper's error of the cell, NaN where it prints none."""

    @property
    def median(self) -> float:
        """The median result."""
        return statistics.median(self.numbers)


SamplesOf = Callable[[str, Quantity], list[Sample]]
"""Returns a sample of each configuration of a cell, which is named as claims name it."""


@dataclass(frozen=True)
class Evidence:
    """One sweep's numbers."""

    sweep: Sweep
    data: ReportData

    @property
    def overridden(self) -> list[str]:
        """The overrides of a sweep that is not simply the experiment at its scale, as its name says."""
        plan = self.sweep.plan
        return [] if plan.name == f"{plan.experiment}-{plan.scale}" else plan.overrides or [plan.name]

    @property
    def is_papers_setting(self) -> bool:
        """The sweep is the experiment as the paper ran it."""
        return self.sweep.plan.scale == "paper" and not self.overridden

    def samples(self, cell: str, quantity: Quantity) -> list[Sample]:
        """Return a sample of each configuration of a cell; raise `NotJudged` where it is not run at this scale."""
        rows = self.sweep.cell(cell)
        first = rows.iloc[0]
        label = f"“{first['label']}”"
        if (rows["configuration"] == "").any():
            raise NotJudged(f"{label} is not run")
        if (several := rows["configuration"].nunique()) > 1:
            label += f" (one of {several} configurations)"
        metric = str(first["metric"])
        unit = UNITS.get(quantity) or (ERROR if is_error(metric) else RESPONSE)
        printed = first["printed"] if isinstance(first["printed"], float) else math.nan
        found = []
        for configuration, of_one in rows.groupby("configuration", sort=False):
            numbers = [self._number(run, quantity) for run in of_one.to_dict("records")]
            known = [number for number in numbers if not math.isnan(number)]
            found.append(Sample(label, str(configuration), metric, known, unit, printed))
        return found

    def _number(self, run: Run, quantity: Quantity) -> float:
        """Return a run's number, infinite where it diverged, NaN where it has none."""
        if run["outcome"] == "diverged":
            # A diverged run's response is no number that others could be compared with.
            return math.inf if quantity != "value" or is_error(run["metric"]) else math.nan
        if math.isnan(run["value"]) or quantity in ("value", "train_error"):
            return float(run["value" if math.isnan(run["value"]) else quantity])
        curve = self.data.curves.get(run["key"])
        if curve is None:
            return math.nan
        return mean_of(
            quantity,
            train_points(curve, "train_loss" if quantity == "train_loss" else "train_error"),
            run["iterations"],
        )


def mean_of(quantity: Quantity, curve: pd.Series, iterations: int) -> float:
    """Return the mean of a curve over the quantity's part of the iterations; NaN where the curve has none of it."""
    first, last = PARTS[quantity]
    part = curve.loc[first * iterations : last * iterations]
    return float((np.log(part) if quantity == "train_loss" else part).mean()) if part.min() > 0 else math.nan
