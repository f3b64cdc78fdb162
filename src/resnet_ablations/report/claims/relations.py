"""The rules by which runs decide a relation: functions on arrays of numbers; docs/statistics.md gives the reasons.

A diverged run is an infinite number. Each function returns an outcome and the reason for it in words.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from resnet_ablations.report.claims.statistics import (
    CONFIDENCE,
    LEVEL,
    Interval,
    can_differ,
    median_interval,
    p_of_difference,
    shift_interval,
)
from resnet_ablations.report.frame import FAIL

Outcome = Literal["reproduced", "contradicted", "inconclusive", "not run"]
Numbers = Sequence[float]


def higher(first: Numbers, second: Numbers, contradicted_at: float = LEVEL) -> tuple[Outcome, str]:
    """Judge that the first is higher; the opposite needs a p-value of `contradicted_at`."""
    p, sign, which = p_of_difference(first, second), order(first, second), direction(first, second)
    if p is None or not can_differ(len(first), len(second)):
        return "inconclusive", f"{which}, but {sizes(first, second)} cannot be told from chance"
    if sign > 0 and p <= LEVEL:
        return "reproduced", f"{which} (p = {p:.2g})"
    if sign < 0 and p <= contradicted_at:
        return "contradicted", f"{which} (p = {p:.2g})"
    return "inconclusive", f"{which}, but this can be chance (p = {p:.2g})"


def within(first: Numbers, second: Numbers, points: float) -> tuple[Outcome, str]:
    """Judge that the two differ by `points` at most."""
    shift = shift_interval(first, second)
    if shift is None or not can_differ(len(first), len(second)):
        return "inconclusive", f"{sizes(first, second)} cannot tell whether that is within {points:g} points"
    return _in_range(shift, -points, points, f"{points:g} points")


def near(values: Numbers, printed: float, points: float) -> tuple[Outcome, str]:
    """Judge that the median is within `points` of a printed number."""
    interval, around = median_range(values), f"{points:g} points around the printed {printed:.2f} %"
    if interval.coverage < CONFIDENCE - 1e-9:  # rounding: five runs suffice
        return "inconclusive", f"{runs(len(values))} cannot tell whether that is within {around}"
    return _in_range(interval, printed - points, printed + points, around)


def fails(values: Numbers) -> bool | None:
    """Return whether a configuration fails; None without runs, or where the interval does not tell."""
    interval = median_range(values) if values else Interval(-math.inf, math.inf, 1)
    return True if interval.low > FAIL else False if interval.high <= FAIL else None


def all_fail(failing: Sequence[bool | None], never: bool) -> Outcome:
    """Judge that every configuration fails, or with `never` that none does."""
    if never in failing:
        return "contradicted"
    return "inconclusive" if None in failing else "reproduced"


def gap_grows(gaps: Sequence[Numbers]) -> tuple[Outcome, str]:
    """Judge that the last gap is larger than the first, and that the median gap grows at every step."""
    outcome, how = higher(gaps[-1], gaps[0])
    medians = [float(np.median(values)) for values in gaps]
    if outcome == "reproduced" and sorted(set(medians)) != medians:
        return "inconclusive", f"larger at the end {how.removeprefix('as claimed ')} but not at every step"
    return outcome, how


def order(first: Numbers, second: Numbers) -> float:
    """Return from −1 (each of the first is lower than each of the second) to 1 (each is higher)."""
    a, b = np.asarray(first, dtype=float)[:, None], np.asarray(second, dtype=float)
    return float(np.mean(a > b) - np.mean(a < b))


def direction(first: Numbers, second: Numbers) -> str:
    """Return which way the runs point, for a claim that the first is higher; no verdict."""
    sign = order(first, second)
    return "as claimed" if sign > 0 else "against the claim" if sign < 0 else "neither way"


def median_range(values: Numbers) -> Interval:
    """Return the interval of the median; for a single value that value, with a coverage of 0."""
    return median_interval(values) or Interval(values[0], values[0], 0)


def runs(count: int) -> str:
    """Return `1 run`, `5 runs`."""
    return f"{count} run{'s' * (count != 1)}"


def sizes(first: Numbers, second: Numbers) -> str:
    """Return how many runs are compared with how many."""
    return f"{runs(len(first))} against {len(second)}"


def _in_range(interval: Interval, low: float, high: float, range_: str) -> tuple[Outcome, str]:
    if low <= interval.low and interval.high <= high:
        return "reproduced", f"with the whole interval within {range_}"
    if interval.high < low or high < interval.low:
        return "contradicted", f"with the whole interval beyond {range_}"
    return "inconclusive", f"but the interval reaches beyond {range_}"
