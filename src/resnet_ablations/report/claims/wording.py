"""Numbers, differences and intervals as text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_ablations.report.claims.statistics import Interval
from resnet_ablations.report.tables.summary import signed

DIVERGED = "diverged"


@dataclass(frozen=True)
class Unit:
    """The units in which a quantity is written; with `is_log`, its numbers are logarithms, written as exponentials."""

    value: str = ""
    change: str = ""
    is_log: bool = False
    subject: str = ""
    """The name of the quantity if it is not the metric that the cell shows."""
    has: str = "has a result"
    """The end of a sentence on the runs that have the quantity."""

    def write(self, value: float) -> str:
        """Return a number as text."""
        if not self._is_known(value):
            return DIVERGED
        if self.is_log:
            return f"{math.exp(value):.3g}{self.value}"
        return f"{value:.2f}{self.value}"

    def change_of(self, change: float) -> str:
        """Return a difference with its sign, or a ratio, without the unit."""
        return f"×{math.exp(change):.3g}" if self.is_log else signed(change)

    def changes(self, low: float, high: float) -> str:
        """Return an interval of differences or ratios; it is open where a run diverged, or a ratio is one to zero."""
        ends = [self.change_of(end) for end in (low, high) if self._is_known(end)]
        if not ends:
            return "unbounded"
        text = " to ".join(ends) + self.change
        return text if len(ends) == 2 else f"{text} and {'more' if self._is_known(low) else 'less'}"

    def _is_known(self, value: float) -> bool:
        """Return whether a value is finite; the logarithm −∞ is that of zero."""
        return math.isfinite(value) or (self.is_log and value < 0)

    def span(self, values: Sequence[float]) -> str:
        """Return the smallest and the largest number as text."""
        low, high = self.write(min(values)), self.write(max(values))
        if low == high:
            return low
        return f"{low} to {high}" if high == DIVERGED else f"{low.removesuffix(self.value)}–{high}"


RECORDED = "has recorded its signals"
ERROR, RESPONSE = Unit(" %", " points"), Unit()
UNITS = {
    "train_loss": Unit(is_log=True, subject="training loss of "),
    "train_error": Unit(" %", " points", subject="training error of "),
    "early_train_error": Unit(" %", " points", subject="early training error of "),
    "direct_term": Unit(" %", "", True, "direct term of the gradient at the first unit of ", RECORDED),
    "direct_term_in_stage": Unit(
        " %", "", True, "direct term of the gradient at the second unit of the last stage of ", RECORDED
    ),
    "negative": Unit(" %", " points", False, "negative values after training in ", RECORDED),
    "negative_before": Unit(" %", " points", False, "negative values before training in ", RECORDED),
}
"""The units of the quantities other than a cell's own metric."""


def runs(count: int) -> str:
    """Return `1 run` or `5 runs`."""
    return f"{count} run{'s' * (count != 1)}"


def covered(interval: Interval, ends: str) -> str:
    """Return an interval as text: its ends and its coverage, or `none (too few runs)` if its coverage is 0."""
    return f"{ends} ({100 * interval.coverage:.4g} %)" if interval.coverage else "none (too few runs)"
