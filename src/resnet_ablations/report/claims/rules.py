"""The rules by which runs decide a claim: functions on arrays of numbers; docs/statistics.md gives the reasons.

A diverged run is an infinite number. Each function that judges returns an outcome and the reason for it in words.
"""

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
from resnet_ablations.report.claims.wording import runs
from resnet_ablations.report.frame import FAIL

Outcome = Literal["reproduced", "contradicted", "inconclusive", "not run"]
Numbers = Sequence[float]
Judged = tuple[Outcome, str]


def higher(first: Numbers, second: Numbers, contradicted_at: float = LEVEL) -> Judged:
    """Judge that the first is higher; the opposite needs a p-value of `contradicted_at`."""
    p, sign, which = p_of_difference(first, second), order(first, second), direction(first, second)
    if not can_differ(len(first), len(second)):
        return "inconclusive", f"{which}, but {runs(len(first), len(second))} cannot be told from chance"
    if sign > 0 and p <= LEVEL:
        return "reproduced", f"{which} (p = {p:.2g})"
    if sign < 0 and p <= contradicted_at:
        return "contradicted", f"{which} (p = {p:.2g})"
    return "inconclusive", f"{which}, but this can be chance (p = {p:.2g})"


def within(first: Numbers, second: Numbers, points: float) -> Judged:
    """Judge that the two differ by `points` at most."""
    if can_differ(len(first), len(second)):
        return _in_range(shift_interval(first, second), -points, points, f"{points:g} points")
    return "inconclusive", f"{runs(len(first), len(second))} cannot tell whether that is within {points:g} points"


def near(values: Numbers, printed: float, points: float) -> Judged:
    """Judge that the median is within `points` of a printed number."""
    interval, around = median_interval(values), f"{points:g} points around the printed {printed:.2f} %"
    if interval.coverage < CONFIDENCE:
        return "inconclusive", f"{runs(len(values))} cannot tell whether that is within {around}"
    return _in_range(interval, printed - points, printed + points, around)


def fails(values: Numbers) -> bool | None:
    """Return whether a configuration fails; None without runs, or where the interval does not tell."""
    if not values:
        return None
    interval = median_interval(values)
    return True if interval.low > FAIL else False if interval.high <= FAIL else None


def all_fail(failing: Sequence[bool | None], never: bool) -> Outcome:
    """Judge that every configuration fails, or with `never` that none does."""
    if never in failing:
        return "contradicted"
    return "inconclusive" if None in failing else "reproduced"


def grows(gaps: Sequence[Numbers]) -> Judged:
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


def _in_range(interval: Interval, low: float, high: float, range_: str) -> Judged:
    if low <= interval.low and interval.high <= high:
        return "reproduced", f"with the whole interval within {range_}"
    if interval.high < low or high < interval.low:
        return "contradicted", f"with the whole interval beyond {range_}"
    return "inconclusive", f"but the interval reaches beyond {range_}"
