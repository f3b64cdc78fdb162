"""What a few seeds can say: intervals and tests without a model of the noise; docs/statistics.md says why these.

A value may be infinite, which is how a diverged run counts: worse than any finished one. Only the order of such values
is used, never their mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

LEVEL = 0.05
"""A difference counts if chance alone shows one as large, of either sign, in not more than this share of cases."""
CONFIDENCE = 0.9375
"""What the range of five runs covers, the most that the papers' five seeds can say of a median."""
MOST = 200_000
"""Permutations that are counted exactly, up to ten runs against ten; of more, so many are drawn at random."""


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`; `coverage` is the share of repetitions in which such an interval holds the truth.

    A coverage of 0 means that there are too few values for any interval.
    """

    low: float
    high: float
    coverage: float


def median_interval(values: Sequence[float]) -> Interval:
    """Return the interval of the median between two order statistics; a single value is its own, with a coverage of 0.

    It is the shortest [k-th smallest, k-th largest] that covers 93.75 % or more; below five values, which cannot, the
    range. Its exact coverage is 1 − 2·P(B < k) with B ~ binomial(n, ½), whatever the distribution.
    """
    n, ordered = len(values), sorted(values)
    coverages = {k: round(1 - 2 * float(stats.binom.cdf(k - 1, n, 0.5)), 12) for k in range(1, max(n // 2, 1) + 1)}
    k = max((k for k, coverage in coverages.items() if coverage >= CONFIDENCE), default=1)
    return Interval(ordered[k - 1], ordered[-k], coverages[k])


def can_differ(m: int, n: int, level: float = LEVEL) -> bool:
    """Return whether `m` runs against `n` can reach a p-value of `level`: 4 against 4 can, 3 against 3 cannot."""
    return min(m, n) > 1 and 2 / math.comb(m + n, m) <= level


def p_of_difference(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of the exact permutation test for a difference in mean rank (Wilcoxon's, midranks).

    It is 1 where a side has a single value, or none: nothing is known of its spread.
    """
    if min(len(first), len(second)) < 2:
        return 1.0
    ranks = stats.rankdata([*first, *second])
    return float(_rank_sums(ranks[: len(first)], ranks[len(first) :]).pvalue)


def shift_interval(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Return the interval of first − second that goes with `p_of_difference`: the shifts that the test does not reject.

    It lies between two of the ordered differences of each value of the first and each of the second and covers 95 % or
    more; where there are too few for that, it is the range of the differences. The coverage is exact for distributions
    that differ in a shift alone. It is 0 where a side has a single value. Two infinite values do not differ.
    """
    with np.errstate(invalid="ignore"):
        differences = np.subtract.outer(np.asarray(first, dtype=float), np.asarray(second, dtype=float)).ravel()
    differences = np.sort(np.where(np.isnan(differences), 0, differences))
    if min(len(first), len(second)) < 2:
        return Interval(float(differences[0]), float(differences[-1]), 0)
    below = _chances_of_u(len(first), len(second))
    k = max((k for k in range(differences.size // 2) if 2 * below[k] <= LEVEL), default=0)
    return Interval(float(differences[k]), float(differences[-1 - k]), 1 - 2 * below[k])


@lru_cache
def _chances_of_u(m: int, n: int) -> list[float]:
    """P(U ≤ k) for k from 0: U counts the pairs in which one of `m` values exceeds one of `n` of the same kind."""
    ranks = np.arange(1.0, m + n + 1)
    u = _rank_sums(ranks[:m], ranks[m:]).null_distribution - m * (m + 1) / 2
    return [float(np.mean(u <= k)) for k in range(m * n + 1)]


def _rank_sums(first: "np.ndarray[Any, Any]", second: "np.ndarray[Any, Any]") -> Any:
    return stats.permutation_test(
        (first, second), lambda a, b, axis: a.sum(axis), vectorized=True, n_resamples=MOST, random_state=0
    )
