"""Numbers, differences and intervals in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_ablations.report.claims.statistics import Interval
from resnet_ablations.report.tables.summary import signed

DIVERGED = "diverged"


@dataclass(frozen=True)
class Unit:
    """How numbers of one kind are written; of a logarithm, its exponential is written."""

    value: str = ""
    change: str = ""
    is_log: bool = False
    subject: str = ""
    """The quantity, where the cell's label does not name it."""

    def write(self, value: float) -> str:
        """Return a number in words."""
        if not math.isfinite(value):
            return DIVERGED
        return f"{math.exp(value):.3g}" if self.is_log else f"{value:.2f}{self.value}"

    def change_of(self, change: float) -> str:
        """Return a difference with its sign, or a ratio, without the unit."""
        if not math.isfinite(change):
            return DIVERGED
        return f"×{math.exp(change):.3g}" if self.is_log else signed(change)

    def span(self, values: Sequence[float]) -> str:
        """Return the smallest number and the largest."""
        low, high = self.write(min(values)), self.write(max(values))
        if low == high:
            return low
        return f"{low} to {high}" if high == DIVERGED else f"{low.removesuffix(self.value)}–{high}"


ERROR, RESPONSE = Unit(" %", " points"), Unit()
UNITS = {
    "train_loss": Unit(is_log=True, subject="training loss of "),
    "train_error": Unit(" %", " points", subject="training error of "),
    "early_train_error": Unit(" %", " points", subject="early training error of "),
}
"""The units of the quantities other than a cell's own metric."""


def runs(*counts: int) -> str:
    """Return `1 run`, `5 runs` or `5 runs against 3`."""
    first, *others = counts
    return " against ".join([f"{first} run{'s' * (first != 1)}", *map(str, others)])


def covered(interval: Interval, ends: str, *counts: int) -> str:
    """Return an interval as text: its ends and coverage, or `none` and the numbers of runs if its coverage is 0."""
    return f"{ends} ({100 * interval.coverage:.4g} %)" if interval.coverage else f"none: {runs(*counts)}"
