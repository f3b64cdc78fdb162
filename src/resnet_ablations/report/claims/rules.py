"""The rules by which runs decide a claim: functions on arrays of numbers; docs/statistics.md gives the reasons.

A diverged run is an infinite number. Each rule returns two p-values: a small first one shows the claim, a small second
one its opposite.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from resnet_ablations.report.claims.statistics import Numbers, best_test, rank_test, sign_test

Outcome = Literal["reproduced", "contradicted", "inconclusive", "not run"]


class PValues(NamedTuple):
    """The p-values of a claim and of its opposite."""

    claim: float
    opposite: float


def higher(first: Numbers, second: Numbers) -> PValues:
    """Test that the first is higher than the second."""
    return PValues(*rank_test(first, second))


def within(first: Numbers, second: Numbers, points: float) -> PValues:
    """Test that the two differ by `points` at most: two one-sided tests, of which both have to reject."""
    above, below = [value + points for value in first], [value - points for value in first]
    return PValues(
        max(higher(above, second).claim, higher(below, second).opposite),
        min(higher(below, second).claim, higher(above, second).opposite),
    )


def from_to(values: Numbers, low: float, high: float) -> PValues:
    """Test that the median is from `low` to `high`, by the numbers of runs below and above."""
    outside = max(sum(value < low for value in values), sum(value > high for value in values))
    return PValues(sign_test(outside, len(values)), sign_test(len(values) - outside, len(values)))


def lowest(first: Numbers, others: Sequence[Numbers]) -> PValues:
    """Test that the first is lower than all others: none of them is the best; the opposite: the first is not."""
    of_first, *of_others = best_test([first, *others])
    return PValues(max(of_others), of_first)


def every(tested: Sequence[PValues]) -> PValues:
    """Test that all k claims hold: each has to be shown, and any contradicts them all at a k-th of the level."""
    return PValues(max(one.claim for one in tested), len(tested) * min(one.opposite for one in tested))


def decide(
    tested: Sequence[PValues], worst: PValues, level: float, fewest_runs: int, words: tuple[str, str]
) -> tuple[Outcome, str, str, float]:
    """Return the outcome of comparisons that all have to hold, which way the worst points, how sure that is, and p.

    `words` are for and against the claim. p is NaN where a single run takes part, for it decides nothing.
    """
    which = "neither way" if worst.claim == worst.opposite else words[worst.claim > worst.opposite]
    if fewest_runs < 2:
        return "inconclusive", which, ", but one run decides nothing", math.nan
    claim, opposite = every(tested)
    p = min(claim, opposite, 1.0)
    if p > level:
        return "inconclusive", which, f", but this can be chance (p = {p:.2g})", p
    return "reproduced" if claim <= level else "contradicted", which, f" (p = {p:.2g})", p
