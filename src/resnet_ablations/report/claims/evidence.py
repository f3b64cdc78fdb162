"""The numbers from one sweep that are used to judge claims, indexed by configuration and seed."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from resnet_ablations.report.claims.wording import ERROR, RESPONSE, UNITS, Unit
from resnet_ablations.report.curves import mean_of, train_points
from resnet_ablations.report.frame import ReportData, Run, Sweep, is_error
from resnet_ablations.report.theory.recorded_signals import Moment, first_kept_unit, values

ClaimQuantity = Literal[
    "value",
    "train_error",
    "train_loss",
    "early_train_error",
    "direct_term",
    "direct_term_in_stage",
    "negative",
    "negative_before",
]
"""`value`: the metric that the cell shows. `train_error`, `train_loss`: at the end of training; the loss as its
logarithm. `early_train_error`: the training error of the first third of the iterations. The others are recorded
signals, in %. `direct_term`: the logarithm of the direct term of the gradient at the first unit, of the gradient at the
output of the last unit, at the end of training; `direct_term_in_stage`: of that at the second unit of the last stage,
from which on no unit changes the shape of x. `negative`: the share of negative values after the addition, the mean
over the units, at the end of training; `negative_before`: before training."""
SIGNALS: dict[str, tuple[str, Moment]] = {
    "direct_term": ("direct", "end"),
    "direct_term_in_stage": ("direct", "end"),
    "negative": ("negative", "end"),
    "negative_before": ("negative", "start"),
}
"""The column and the moment of the recorded signals."""


class NotJudged(Exception):
    """Raised if a sweep cannot be used to judge a claim; the message gives the reason."""


@dataclass(frozen=True)
class Sample:
    """The results of one configuration: one number for each run with a result, infinite if the run diverged."""

    label: str
    """The cell's label in quotation marks, with the number of the cell's configurations if there are several."""
    configuration: str
    metric: str
    numbers: list[float]
    unit: Unit
    printed: float = math.nan
    """The error that the paper prints for the cell, NaN if it prints none."""

    @property
    def median(self) -> float:
        """The median result."""
        return statistics.median(self.numbers)


SamplesOf = Callable[[str, ClaimQuantity], list[Sample]]
"""A function of a cell's name and a quantity; it returns a sample of each configuration of the cell."""


@dataclass(frozen=True)
class Evidence:
    """The numbers of one sweep."""

    sweep: Sweep
    data: ReportData

    @property
    def overridden(self) -> list[str]:
        """The sweep's overrides, or its name if it lists none; empty if the sweep is the unchanged experiment."""
        plan = self.sweep.plan
        return [] if plan.name == f"{plan.experiment}-{plan.scale}" else plan.overrides or [plan.name]

    @property
    def is_papers_setting(self) -> bool:
        """True for the unchanged experiment at scale `paper`."""
        return self.sweep.plan.scale == "paper" and not self.overridden

    def samples(self, cell: str, quantity: ClaimQuantity) -> list[Sample]:
        """Return a sample of each configuration of a cell; raise `NotJudged` if the cell is not run at this scale."""
        rows = self.sweep.cell(cell)
        first = rows.iloc[0]
        label = f"“{first['label']}”"
        if (rows["configuration"] == "").any():
            raise NotJudged(f"{label} is not run")
        if first["redeclared"]:
            raise NotJudged(f"{label} is declared differently since its runs")
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

    def _number(self, run: Run, quantity: ClaimQuantity) -> float:
        """Return the run's number; infinite if the run diverged, NaN if the run has no such number."""
        if quantity in SIGNALS:
            column, moment = SIGNALS[quantity]
            found = values(self.sweep, pd.DataFrame([run]), self.data, column, moment)
            if not found:
                return math.nan
            if column != "direct":
                return 100 * float(found[0][1].mean())
            config = self.sweep.plan.configurations[run["configuration"]].config
            unit = first_kept_unit(config, len(found[0][1]) - 1) if quantity == "direct_term_in_stage" else 1
            term = 100 * float(found[0][1].loc[unit])
            return math.log(term) if term > 0 else -math.inf if term == 0 else math.nan
        if run["outcome"] == "diverged":
            # The response of a diverged run cannot be compared with other responses.
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
