"""What two groups of runs say of each other, as an outcome and in words."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from resnet_ablations.report.tables.summary import signed
from resnet_ablations.report.verdicts.statistics import (
    CONFIDENCE,
    LEVEL,
    Interval,
    can_differ,
    median_interval,
    p_of_difference,
    shift_interval,
)

Outcome = Literal["reproduced", "contradicted", "inconclusive", "not run"]
DIVERGED = "diverged"


@dataclass(frozen=True)
class Finding:
    """What a sweep says of a claim; `sentence` is without its beginning and its full stop."""

    outcome: Outcome
    effect: str
    interval: str
    sentence: str


@dataclass(frozen=True)
class Unit:
    """How numbers of one kind are compared, after `transform`, and written."""

    transform: Callable[[float], float]
    value: Callable[[float], str]
    change: Callable[[float], str]
    """With its sign and without the unit's name."""
    distance: Callable[[float], str]
    """Of a first thing from a second: the first lies … the second."""
    name: str = ""
    subject: str = ""
    """What of a cell the numbers are, where its label does not say so."""


ERROR = Unit(
    transform=float,
    value=lambda error: f"{error:.2f} %",
    change=signed,
    distance=lambda points: _side(points, " points"),
    name=" points",
)
TRAIN_ERROR = replace(ERROR, subject="the training error of ")
RESPONSE = replace(ERROR, value=lambda std: f"{std:.2f}", distance=lambda change: _side(change, ""), name="")
LOSS = Unit(
    transform=lambda loss: math.log(loss),
    value=lambda log: f"{math.exp(log):.3g}",
    change=lambda log: f"×{math.exp(log):.3g}",
    distance=lambda log: f"at {math.exp(log):.3g} times that of",
    subject="the training loss of ",
)


def _side(change: float, unit: str) -> str:
    if abs(change) < 0.005:
        return "level with"
    return f"{abs(change):.2f}{unit} {'above' if change > 0 else 'below'}"


@dataclass(frozen=True)
class Pair:
    """Two groups of runs, transformed, infinite where diverged: is the first higher, or not far off?"""

    first: Sequence[float]
    second: Sequence[float]
    names: tuple[str, str]
    unit: Unit

    @property
    def order(self) -> float:
        """From −1, each of the first is lower than each of the second, to 1, each is higher."""
        signs = [(a > b) - (a < b) for a in self.first for b in self.second]
        return sum(signs) / len(signs)

    @property
    def shift(self) -> Interval | None:
        """The interval of the difference."""
        return shift_interval(self.first, self.second)

    @property
    def way(self) -> str:
        """Which way the runs point, for a claim that the first is higher; no verdict."""
        return "as claimed" if self.order > 0 else "against the claim" if self.order < 0 else "neither way"

    @property
    def is_too_small(self) -> bool:
        """No difference of so few runs could be told from chance."""
        return not can_differ(len(self.first), len(self.second))

    @property
    def numbers(self) -> str:
        """How many runs are against how many."""
        return f"{runs(len(self.first))} against {len(self.second)}"

    @property
    def difference(self) -> float:
        """Of the medians; two infinite ones do not differ."""
        a, b = statistics.median(self.first), statistics.median(self.second)
        return 0.0 if a == b else a - b

    @property
    def effect(self) -> str:
        """The difference of the medians, or the two where one has diverged."""
        if math.isfinite(self.difference) and math.isfinite(statistics.median(self.first)):
            return self.unit.change(self.difference) + self.unit.name
        return self._medians

    @property
    def sentence(self) -> str:
        """How the medians lie to each other."""
        far = "above" if self.difference > 0 else "below"
        lies = self.unit.distance(self.difference) if math.isfinite(self.difference) else far
        return f"{self.unit.subject}{self.names[0]} lies {lies} {self.names[1]} ({self._medians})"

    @property
    def _medians(self) -> str:
        return f"{self._value(statistics.median(self.first))} against {self._value(statistics.median(self.second))}"

    @property
    def interval(self) -> str:
        """The interval of the difference, with its coverage."""
        shift = self.shift
        if shift is None:
            return f"none: {self.numbers}"
        ends = [self.unit.change(end) if math.isfinite(end) else DIVERGED for end in (shift.low, shift.high)]
        return f"{' to '.join(ends)}{self.unit.name} ({_percent(shift.coverage)})"

    def _value(self, value: float) -> str:
        return self.unit.value(value) if math.isfinite(value) else DIVERGED

    def higher(self, contradicted_at: float = LEVEL) -> tuple[Outcome, str]:
        """Whether the first is higher, and how sure that is; the opposite needs a p-value of `contradicted_at`."""
        p = p_of_difference(self.first, self.second)
        if p is None or self.is_too_small:
            return "inconclusive", f"{self.way}, but {self.numbers} cannot be told from chance"
        if self.order > 0 and p <= LEVEL:
            return "reproduced", f"{self.way} (p = {p:.2g})"
        if self.order < 0 and p <= contradicted_at:
            return "contradicted", f"{self.way} (p = {p:.2g})"
        return "inconclusive", f"{self.way}, but this can be chance (p = {p:.2g})"

    def within(self, points: float) -> tuple[Outcome, str]:
        """Whether the two differ by `points` at most, and how sure that is."""
        shift = self.shift
        if shift is None or self.is_too_small:
            return "inconclusive", f"and {self.numbers} cannot tell whether that is within {points:g} points"
        return in_range(shift, -points, points, f"{points:g} points")


def in_range(interval: Interval, low: float, high: float, range_: str) -> tuple[Outcome, str]:
    """Whether an interval lies in a range, beyond it or neither."""
    if low <= interval.low and interval.high <= high:
        return "reproduced", f"with the whole interval within {range_}"
    if interval.high < low or high < interval.low:
        return "contradicted", f"with the whole interval beyond {range_}"
    return "inconclusive", f"but the interval reaches beyond {range_}"


def median_range(values: Sequence[float]) -> Interval:
    """The interval of the median, of a single value that value, with a coverage of 0."""
    return median_interval(values) or Interval(values[0], values[0], 0)


def covers_enough(interval: Interval) -> bool:
    """Whether the interval of a median has the coverage that verdicts rest on."""
    return interval.coverage >= CONFIDENCE - 1e-9  # rounding: five runs are to do


def of_median(values: Sequence[float]) -> str:
    """The interval of the median of errors, with its coverage."""
    interval = median_interval(values)
    if interval is None:
        return f"none: {runs(len(values))}"
    return f"{span([interval.low, interval.high])} ({_percent(interval.coverage)})"


def weakest(findings: Sequence[Finding]) -> Finding:
    """Of the parts of a claim that says them all: one that decides, the first of its kind."""
    for finding in findings:
        if finding.outcome == "contradicted":
            return finding
    undecided = [finding for finding in findings if finding.outcome != "reproduced"]
    if not undecided:
        return findings[0]
    not_run = all(finding.outcome == "not run" for finding in findings)
    return undecided[0] if not_run else replace(undecided[0], outcome="inconclusive")


def span(errors: Iterable[float]) -> str:
    """From the smallest error (%) to the largest."""
    ends = sorted(errors)
    texts = [f"{end:.2f}" if math.isfinite(end) else DIVERGED for end in (ends[0], ends[-1])]
    unit = " %" if math.isfinite(ends[0]) else ""
    if texts[0] == texts[1]:
        return texts[0] + unit
    return f"{texts[0]}–{texts[1]}{unit}" if math.isfinite(ends[-1]) else f"{texts[0]} % to {texts[1]}"


def runs(count: int) -> str:
    """`1 run`, `5 runs`."""
    return f"{count} run{'s' * (count != 1)}"


def listed(texts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = texts
    return f"{', '.join(most)} and {last}" if most else last


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
