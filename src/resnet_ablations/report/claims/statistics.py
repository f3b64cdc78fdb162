"""Tests and intervals for a few seeds, without a model of the noise; docs/statistics.md gives the reasons for them.

A value may be infinite, which is how a diverged run counts: worse than any finished one. Only the order of such values
is used, never their mean. p-values are two-sided, each twice a one-sided one, so that they can exceed 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

LEVEL = 0.05
"""A difference counts if chance alone shows one as large, of either sign, in not more than this share of cases."""
SIGN_LEVEL = 2 * 0.5**5
"""6.25 %: the level of a sign test and of a median's interval, which five runs, the papers' number, just reach."""
MOST = 200_000
"""Permutations that are counted exactly, up to ten runs against ten; of more, so many are drawn at random."""
SHUFFLES = 10_000
Numbers = Sequence[float]


@dataclass(frozen=True)
class Interval:
    """An interval from `low` to `high`; `coverage` is the share of repetitions in which it contains the true value.

    A coverage of 0 means that there are too few values for any interval.
    """

    low: float
    high: float
    coverage: float


def median_interval(values: Numbers) -> Interval:
    """Return the interval of the median between two order statistics; a single value is its own, with a coverage of 0.

    It is the shortest [k-th smallest, k-th largest] that covers 93.75 % or more; below five values, which cannot, the
    range. Its exact coverage is 1 − 2·P(B < k) with B ~ binomial(n, ½), whatever the distribution.
    """
    n, ordered = len(values), sorted(values)
    uncovered = {k: sign_test(k - 1, n) for k in range(1, max(n // 2, 1) + 1)}
    k = max((k for k, share in uncovered.items() if share <= SIGN_LEVEL), default=1)
    return Interval(ordered[k - 1], ordered[-k], 1 - uncovered[k])


@lru_cache
def sign_test(against: int, n: int) -> float:
    """Return the p-value of a median on one side of a bound, where `against` of `n` runs are on the other side."""
    return round(2 * float(stats.binom.cdf(against, n, 0.5)), 12)


def rank_test(first: Numbers, second: Numbers) -> tuple[float, float]:
    """Return the p-values of the exact permutation test on ranks (Wilcoxon's, midranks): first higher, first lower.

    Both are 2 where values are tied and one side has a single run: there is no such test.
    """
    m, n, both = len(first), len(second), [*first, *second]
    if len(set(both)) == m + n:
        u, below = int(np.sum(np.asarray(first)[:, None] > np.asarray(second))), _chances_of_u(m, n)
        return 2 * below[m * n - u], 2 * below[u]
    if min(m, n) < 2:
        return 2, 2
    ranks = stats.rankdata(both)
    higher, lower = (
        stats.permutation_test(
            (ranks[:m], ranks[m:]),
            lambda a, b, axis: a.sum(axis),
            vectorized=True,
            n_resamples=MOST,
            random_state=0,
            alternative=alternative,
        ).pvalue
        for alternative in ("greater", "less")
    )
    return 2 * float(higher), 2 * float(lower)


def shift_interval(first: Numbers, second: Numbers) -> Interval:
    """Return the interval of first − second that goes with `rank_test`: the shifts that the test does not reject.

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


def best_test(samples: Sequence[Numbers]) -> list[float]:
    """Return for each sample the p-value of the hypothesis that none of the others is lower, one-sided.

    The statistic is the largest share, over the others, of pairs in which this sample's run is the higher one (Steel's
    many-to-one rank test, one test for all the comparisons); its distribution comes from shuffles of all values.
    """
    ends = np.cumsum([len(sample) for sample in samples])[:-1]
    ranks = stats.rankdata(np.concatenate(samples))
    shuffled = np.random.default_rng(0).permuted(np.tile(ranks, (SHUFFLES, 1)), axis=1)
    largest = []
    for values in (shuffled, ranks):
        parts = [part[..., :, None] for part in np.split(values, ends, axis=-1)]
        shares = [[(a > b.swapaxes(-1, -2)).mean((-1, -2)) for b in parts] for a in parts]
        largest.append(np.max(shares, axis=1))
    null, found = largest
    return [float(1 + np.sum(of_one >= share)) / (SHUFFLES + 1) for of_one, share in zip(null, found, strict=True)]


@lru_cache
def _chances_of_u(m: int, n: int) -> list[float]:
    """Return P(U ≤ k) for k = 0 … m·n; U counts the pairs in which one of `m` values exceeds one of `n` of one kind.

    The numbers of ways are the coefficients of ∏ (1 − q^(n+i)) / (1 − q^i), i from 1 to m.
    """
    ways = np.zeros(m * n + 1)
    ways[0] = 1
    for i in range(1, m + 1):
        ways[n + i :] -= ways[: -(n + i)].copy()
        for start in range(i):
            ways[start::i] = np.cumsum(ways[start::i])
    return [float(chance) for chance in np.cumsum(ways) / math.comb(m + n, m)]
