"""The rules by which runs decide a claim: functions on arrays of numbers; docs/statistics.md gives the reasons.

A diverged run is an infinite number. Each rule returns two p-values: a small first one supports the claim, a small
second one supports its opposite.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from resnet_ablations.report.claims.statistics import Numbers, best_test, rank_test, sign_test

VerdictOutcome = Literal["reproduced", "contradicted", "inconclusive", "not run"]


class PValues(NamedTuple):
    """The p-values of a claim and of its opposite."""

    claim: float
    opposite: float


def higher(first: Numbers, second: Numbers) -> PValues:
    """Test the claim that the first numbers are higher than the second."""
    return PValues(*rank_test(first, second))


def within(first: Numbers, second: Numbers, points: float) -> PValues:
    """Test the claim that the two differ by at most `points`: two one-sided tests, both of which must reject."""
    above, below = [value + points for value in first], [value - points for value in first]
    return PValues(
        max(higher(above, second).claim, higher(below, second).opposite),
        min(higher(below, second).claim, higher(above, second).opposite),
    )


def from_to(values: Numbers, low: float, high: float) -> PValues:
    """Test the claim that the median is between `low` and `high`; the test counts the runs below and above."""
    outside = max(sum(value < low for value in values), sum(value > high for value in values))
    return PValues(sign_test(outside, len(values)), sign_test(len(values) - outside, len(values)))


def lowest(first: Numbers, others: Sequence[Numbers]) -> PValues:
    """Test the claim that the first sample has the lowest values.

    The first p-value is for "some other sample may be the lowest", the second for "the first may be the lowest".
    """
    of_first, *of_others = best_test([first, *others])
    return PValues(max(of_others), of_first)


def every(tested: Sequence[PValues]) -> PValues:
    """Combine the tests of k claims: all must be significant; a single opposite at level / k contradicts them all."""
    return PValues(max(one.claim for one in tested), len(tested) * min(one.opposite for one in tested))


def decide(
    tested: Sequence[PValues], worst: PValues, level: float, fewest_runs: int, words: tuple[str, str]
) -> tuple[VerdictOutcome, str, str, float]:
    """Return the outcome, the direction of the worst comparison, its certainty in words, and p.

    All comparisons must hold. `words` describe runs that support the claim, and runs that contradict it. p is NaN if a
    sample has a single run, because one run decides nothing.
    """
    which = "neither way" if worst.claim == worst.opposite else words[worst.claim > worst.opposite]
    if fewest_runs < 2:
        return "inconclusive", which, ", but one run decides nothing", math.nan
    claim, opposite = every(tested)
    p = min(claim, opposite, 1.0)
    if p > level:
        return "inconclusive", which, f", but this can be chance (p = {p:.2g})", p
    return "reproduced" if claim <= level else "contradicted", which, f" (p = {p:.2g})", p
