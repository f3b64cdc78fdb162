"""Tests and intervals for a few seeds, without a model of the noise; docs/statistics.md gives the reasons for them.

A diverged run is an infinite value: worse than any finished run. The tests use only the order of the values, never
their mean. A two-sided p-value is twice a one-sided one, so it can exceed 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats

from resnet_ablations.streams import Purpose, Stream

LEVEL = 0.05
"""The significance level of the two-sided tests."""
SIGN_LEVEL = 2 * 0.5**5
"""The level of the sign test and of a median's interval: 6.25 %, the smallest p-value of five runs."""
MOST = 200_000
"""The most permutations that a test with ties enumerates: enough for ten runs against ten."""
SHUFFLES = 10_000
"""The number of random permutations of `best_test`."""
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
    """Return the confidence interval of the median: the shortest [k-th smallest, k-th largest] that covers 93.75 %.

    With fewer than five values no interval covers as much; then it is the range of the values, with its lower coverage
    (0 for a single value). The coverage is exact for any distribution: 1 − 2·P(B < k) with B ~ binomial(n, ½).
    """
    n, ordered = len(values), sorted(values)
    uncovered = {k: sign_test(k - 1, n) for k in range(1, max(n // 2, 1) + 1)}
    k = max((k for k, share in uncovered.items() if share <= SIGN_LEVEL), default=1)
    return Interval(ordered[k - 1], ordered[-k], 1 - uncovered[k])


@lru_cache
def sign_test(against: int, n: int) -> float:
    """Return the p-value of the test that a median lies on one side of a bound: `against` of `n` runs do not."""
    return round(2 * float(stats.binom.cdf(against, n, 0.5)), 12)


def rank_test(first: Numbers, second: Numbers) -> tuple[float, float]:
    """Return two p-values of the exact permutation test on ranks (Wilcoxon's, midranks): `first` is higher, or lower.

    Both are 2 if values are tied and one side has a single run, because there is no such test. If values are tied and
    there are more permutations than `MOST`, the p-values are those of the normal approximation.
    """
    m, n, both = len(first), len(second), [*first, *second]
    if len(set(both)) == m + n:
        u, below = int(np.sum(np.asarray(first)[:, None] > np.asarray(second))), _chances_of_u(m, n)
        return 2 * below[m * n - u], 2 * below[u]
    if min(m, n) < 2:
        return 2, 2
    sides = ("greater", "less")
    if math.comb(m + n, m) > MOST:
        tests = [stats.mannwhitneyu(first, second, alternative=side, method="asymptotic") for side in sides]
    else:
        ranks = stats.rankdata(both)
        parts = ranks[:m], ranks[m:]
        tests = [
            stats.permutation_test(
                parts, lambda a, b, axis: a.sum(axis), vectorized=True, n_resamples=MOST, alternative=side
            )
            for side in sides
        ]
    higher, lower = (float(test.pvalue) for test in tests)
    return 2 * higher, 2 * lower


def shift_interval(first: Numbers, second: Numbers) -> Interval:
    """Return the confidence interval of first − second: the shifts that `rank_test` does not reject.

    Its ends are two of the sorted differences between values of `first` and values of `second`. It covers at least
    95 %; with too few values for that, it is the range of the differences. The coverage is exact for distributions that
    differ only by a shift, and 0 if a side has a single value. The difference of two infinite values counts as 0.
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

    For each other sample, take the share of pairs of runs in which this sample's run is higher. The statistic is the
    largest of these shares (Steel's many-to-one rank test); its distribution comes from random permutations of all
    values.
    """
    sizes = tuple(len(sample) for sample in samples)
    ranks = stats.rankdata(np.concatenate(samples))
    null, found = _shares_of_shuffles(tuple(np.sort(ranks)), sizes), _largest_shares(ranks, sizes)
    return [float(1 + np.sum(of_one >= share)) / (SHUFFLES + 1) for of_one, share in zip(null, found, strict=True)]


@lru_cache
def _shares_of_shuffles(ranks: tuple[float, ...], sizes: tuple[int, ...]) -> Any:
    """Return `_largest_shares` of shuffles of the ranks, samples × shuffles."""
    orders = np.argsort(Stream(0, Purpose.SHUFFLES).words((SHUFFLES, len(ranks))), axis=1, kind="stable")
    return _largest_shares(np.asarray(ranks)[orders], sizes)


def _largest_shares(ranks: Any, sizes: Sequence[int]) -> Any:
    """Return for each sample the largest share, over the other samples, of pairs in which its rank is the higher one.

    The last axis of `ranks` has the samples one after the other; the first axis of the result has the samples.
    """
    parts = [part[..., :, None] for part in np.split(ranks, np.cumsum(sizes)[:-1], axis=-1)]
    return np.max([[(a > b.swapaxes(-1, -2)).mean((-1, -2)) for b in parts] for a in parts], axis=1)


@lru_cache
def _chances_of_u(m: int, n: int) -> list[float]:
    """Return P(U ≤ k) for k = 0 … m·n under the null hypothesis (Mann–Whitney).

    U counts the pairs in which one of `m` values exceeds one of `n` values. The numbers of ways are the coefficients of
    ∏ (1 − q^(n+i)) / (1 − q^i), i from 1 to m.
    """
    ways = np.zeros(m * n + 1)
    ways[0] = 1
    for i in range(1, m + 1):
        ways[n + i :] -= ways[: -(n + i)].copy()
        for start in range(i):
            ways[start::i] = np.cumsum(ways[start::i])
    return [float(chance) for chance in np.cumsum(ways) / math.comb(m + n, m)]
