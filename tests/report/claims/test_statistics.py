import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from resnet_ablations.report.claims.claim_file import load_claims
from resnet_ablations.report.claims.relations import AsPrinted, Bounded, LowerThan, Lowest, Within
from resnet_ablations.report.claims.rules import PValues, decide, every, from_to, higher, lowest, within
from resnet_ablations.report.claims.statistics import (
    LEVEL,
    SIGN_LEVEL,
    Numbers,
    best_test,
    median_interval,
    rank_test,
    shift_interval,
    sign_test,
)


def p_of_difference(first: Numbers, second: Numbers) -> float:
    """The two-sided p-value."""
    return min(*rank_test(first, second), 1)


def test_the_range_of_five_covers_the_median_in_93_75_percent() -> None:
    interval = median_interval([6.6, 6.4, 6.9, 6.5, 6.7])
    assert (interval.low, interval.high) == (6.4, 6.9)
    assert interval.coverage == pytest.approx(1 - 2 * 0.5**5) == pytest.approx(0.9375)


@pytest.mark.parametrize(
    ("n", "low", "high", "coverage"),
    [
        # the k-th smallest and the k-th largest of 1 … n, and 1 − 2·Σ C(n, i)/2ⁿ over i < k, by hand
        (2, 1, 2, 1 / 2),
        (3, 1, 3, 3 / 4),
        (4, 1, 4, 7 / 8),
        (6, 1, 6, 1 - 2 / 64),
        (8, 1, 8, 1 - 2 / 256),  # from the second on: 1 − 18/256 = 93.0 %, too little
        (9, 2, 8, 1 - 2 * (1 + 9) / 512),
        (15, 4, 12, 1 - 2 * (1 + 15 + 105 + 455) / 2**15),
    ],
)
def test_intervals_of_a_median_by_hand(n: int, low: int, high: int, coverage: float) -> None:
    interval = median_interval(range(1, n + 1))
    assert (interval.low, interval.high, interval.coverage) == (low, high, pytest.approx(coverage))


def test_one_run_gives_no_interval_and_no_verdict() -> None:
    assert median_interval([6.6]).coverage == 0
    assert rank_test([6.6], [6.6, 7.0]) == (2, 2)
    surest = higher([2_000.0], [float(i) for i in range(1_000)])
    assert surest.claim <= LEVEL
    outcome, which, how, p = decide([surest], surest, LEVEL, 1, ("as claimed", "against the claim"))
    assert (outcome, which, how) == ("inconclusive", "as claimed", ", but one run decides nothing")
    assert math.isnan(p)
    assert shift_interval([6.6], [8.7]).coverage == 0


def test_a_diverged_run_is_the_highest() -> None:
    interval = median_interval([math.inf, 6.4, 6.9, 6.5, 6.7])
    assert (interval.low, interval.high) == (6.4, math.inf)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], 2 / 252),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 2 / 252),
        ([5, 7, 8, 9, 10], [1, 2, 3, 4, 6], 2 * 2 / 252),
        ([4, 5, 6], [1, 2, 3], 2 / 20),
        ([5, 6, 7, 8], [1, 2, 3, 4], 2 / 70),
        ([6, 7, 8, 9, math.inf], [1, 2, 3, 4, 5], 2 / 252),
        ([1, 1], [1, 1], 1),
    ],
)
def test_p_values_by_counting(first: list[float], second: list[float], expected: float) -> None:
    assert p_of_difference(first, second) == pytest.approx(expected)


def test_p_values_of_others_methods() -> None:
    """Wilcoxon's exact test without ties; with ties, every way to choose the first group, one by one."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        first, second = rng.normal(size=5), rng.normal(0.8, size=4)
        expected = stats.mannwhitneyu(first, second, method="exact").pvalue
        assert p_of_difference(list(first), list(second)) == pytest.approx(expected)
    first, second = [1.0, 2.0, 2.0, 4.0], [2.0, 3.0, 4.0, 4.0]
    ranks = stats.rankdata(first + second)
    sums = [sum(ranks[list(chosen)]) for chosen in combinations(range(8), 4)]
    observed = sum(ranks[:4])
    below = sum(s <= observed + 1e-9 for s in sums) / len(sums)
    assert p_of_difference(first, second) == pytest.approx(2 * below)


def test_p_values_of_many_tied_runs_are_approximated() -> None:
    """Eleven against eleven; one diverged run has the last rank."""
    first, second = [1.0 + i % 4 for i in range(11)], [0.5 * (i % 6) for i in range(10)] + [math.inf]
    ranks = stats.rankdata([*first, *second])
    tests = [stats.mannwhitneyu(ranks[:11], ranks[11:], alternative=side) for side in ("greater", "less")]
    assert rank_test(first, second) == pytest.approx([2 * test.pvalue for test in tests])
    assert rank_test(second, first) == pytest.approx(rank_test(first, second)[::-1])


def test_how_many_seeds_can_tell_a_difference() -> None:
    sizes = [(m, n) for m in range(1, 7) for n in range(m, 7)]
    can = {(m, n) for m, n in sizes if p_of_difference(range(m), range(100, 100 + n)) <= LEVEL}
    assert can == {(3, 5), (3, 6), (4, 4), (4, 5), (4, 6), (5, 5), (5, 6), (6, 6)}
    assert p_of_difference(range(4), range(100, 104)) == pytest.approx(2 / math.comb(8, 4))
    assert p_of_difference(range(12), range(100, 113)) == pytest.approx(2 / math.comb(25, 12))


def test_the_interval_of_a_difference_by_hand() -> None:
    # 5 against 5: P(U ≤ 2) = (1 + 1 + 2)/252, so from the third of the 25 differences to the third from the end.
    first, second = [10.0, 11.0, 12.0, 13.0, 14.0], [0.0, 0.1, 0.2, 0.3, 0.4]
    differences = sorted(a - b for a in first for b in second)
    interval = shift_interval(first, second)
    assert (interval.low, interval.high) == (differences[2], differences[-3])
    assert interval.coverage == pytest.approx(1 - 2 * 4 / 252)


def test_too_few_for_95_percent_give_the_range_and_what_it_covers() -> None:
    interval = shift_interval([4.0, 5.0, 7.0], [1.0, 2.0, 3.0])
    assert (interval.low, interval.high) == (1.0, 6.0)
    assert interval.coverage == pytest.approx(1 - 2 / 20)


def test_infinite_differences() -> None:
    interval = shift_interval([math.inf] * 5, [1.0, 2.0, 3.0, 4.0, math.inf])
    assert (interval.low, interval.high) == (0, math.inf)


def test_the_interval_goes_with_the_test() -> None:
    """It holds zero just where the test does not reject, when no two values are the same."""
    rng = np.random.default_rng(2)
    rejected = 0
    for _ in range(60):
        first, second = list(rng.normal(1.5, size=5)), list(rng.normal(size=5))
        interval, p = shift_interval(first, second), p_of_difference(first, second)
        assert (interval.low > 0 or interval.high < 0) == (p <= LEVEL)
        rejected += p <= LEVEL
    assert 10 < rejected < 50


@pytest.mark.parametrize("noise", ["normal", "standard_cauchy", "rounded"])
def test_equal_samples_get_a_verdict_in_at_most_five_percent(noise: str) -> None:
    """Five seeds against five of the same distribution: p ≤ 0.05 in 8 of 252 cases, half of them either way."""
    rng, trials = np.random.default_rng(3), 300
    outcomes: list[str] = []
    for _ in range(trials):
        values = rng.normal(size=10).round() if noise == "rounded" else getattr(rng, noise)(size=10)
        claim, opposite = higher(values[:5].tolist(), values[5:].tolist())
        outcomes.append("reproduced" if claim <= LEVEL else "contradicted" if opposite <= LEVEL else "inconclusive")
    wrong = {outcome: outcomes.count(outcome) for outcome in ("reproduced", "contradicted")}
    allowed = stats.binom.ppf(0.999, trials, 4 / 252)
    assert all(count <= allowed for count in wrong.values()), wrong
    if noise != "rounded":  # the test is exact, and not merely careful
        assert stats.binom.cdf(sum(wrong.values()), trials, 8 / 252) > 0.001
        assert min(wrong.values()) > 0


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng, trials = np.random.default_rng(4), 1_000
    held_median = held_shift = 0
    for _ in range(trials):
        first, second = rng.exponential(size=5), rng.exponential(size=5) + 3
        of_median, of_shift = median_interval(list(first)), shift_interval(list(first), list(second))
        assert of_median is not None
        assert of_shift is not None
        held_median += of_median.low <= math.log(2) <= of_median.high
        held_shift += of_shift.low <= -3 <= of_shift.high
    for held, coverage in ((held_median, (1 - SIGN_LEVEL)), (held_shift, 1 - 8 / 252)):
        low, high = stats.binom.ppf([0.001, 0.999], trials, coverage)
        assert low <= held <= high


@pytest.mark.parametrize(("against", "n"), [(0, 5), (0, 4), (1, 8), (1, 9), (3, 15)])
def test_the_sign_test_goes_with_the_interval_of_the_median(against: int, n: int) -> None:
    values = [1.0] * against + [3.0] * (n - against)
    assert sign_test(against, n) == pytest.approx(stats.binomtest(against, n).pvalue)
    assert (sign_test(against, n) <= SIGN_LEVEL) == (
        median_interval(values).low > 2 and median_interval(values).coverage >= 1 - SIGN_LEVEL
    )


def test_the_best_of_many_is_one_test_at_its_level() -> None:
    """Eleven configurations without a difference: each is rejected as the best in at most 5 %, whatever the noise."""
    rng, trials = np.random.default_rng(5), 60
    rejected = [best_test(rng.standard_cauchy((11, 5)).tolist())[0] <= LEVEL for _ in range(trials)]
    assert sum(rejected) <= stats.binom.ppf(0.999, trials, LEVEL)


def test_the_best_of_many_by_simulation() -> None:
    """Five runs all above those of one of ten others: the share of complete separations among fresh draws."""
    draws = np.random.default_rng(6).random((100_000, 11, 5))
    chance = (draws[:, 1:].max(2).min(1) < draws[:, 0].min(1)).mean()
    values = [[100.0 + i for i in range(5)], *([200.0 * k + i + 0.5 for i in range(5)] for k in range(10))]
    assert best_test(values)[0] == pytest.approx(chance, abs=0.006)
    assert chance < LEVEL


def test_the_lowest_of_eleven() -> None:
    best = [8.5, 8.6, 8.7, 8.8, 8.9]
    others = [[10.0 + k + i / 10 for i in range(5)] for k in range(10)]
    claim, opposite = lowest(best, others)
    assert claim <= LEVEL < opposite
    claim, opposite = lowest(others[3], [best, *others[:3], *others[4:]])
    assert opposite <= LEVEL < claim
    # One other configuration is as good: neither is shown to be the best, and neither is shown not to be.
    claim, opposite = lowest(best, [[8.55, 8.65, 8.75, 8.85, 8.95], *others[1:]])
    assert min(claim, opposite) > LEVEL


def test_a_difference_within_a_tolerance() -> None:
    """Two one-sided tests decide just as the interval of the difference does, when no two values are the same."""
    rng, inside = np.random.default_rng(7), 0
    for _ in range(60):
        first, second = list(rng.normal(0.2, 0.2, 5)), list(rng.normal(0, 0.2, 5))
        interval = shift_interval(first, second)
        claim, opposite = within(first, second, 0.5)
        assert (claim <= LEVEL) == (interval.low > -0.5 and interval.high < 0.5)
        assert (opposite <= LEVEL) == (interval.low > 0.5 or interval.high < -0.5)
        inside += claim <= LEVEL
    assert 5 < inside < 55


def test_all_of_k_comparisons_support_and_one_contradicts_at_level_over_k() -> None:
    assert every([PValues(0.01, 2.0), PValues(0.04, 1.9)]) == (0.04, 3.8)
    assert every([PValues(0.01, 2.0), PValues(1.99, 0.02), PValues(0.01, 2.0)]) == (1.99, 0.06)


@pytest.mark.parametrize("relation", [LowerThan, Lowest, Within, AsPrinted, Bounded])
def test_the_seeds_that_a_relation_needs(relation: type) -> None:
    """So many seeds decide the most favourable numbers, one less does not."""

    def tested(n: int) -> float:
        low = [float(i) for i in range(n)]
        if relation is LowerThan:
            return higher([100 + i for i in low], low).claim
        if relation is Lowest:
            most = max(len(claim.relation.cells) for claim in load_claims() if isinstance(claim.relation, Lowest))
            return lowest(low, [[100.0 * k + i for i in low] for k in range(1, most)]).claim
        return within(low, low, 1_000).claim if relation is Within else from_to(low, -1, 1_000).claim

    needed, level = relation.seeds, relation.level  # type: ignore[attr-defined]
    assert tested(needed) <= level < tested(needed - 1)
