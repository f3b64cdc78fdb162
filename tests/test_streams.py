"""Random numbers that last: stored numbers, and the stated rules against plain arithmetic.

The numbers are the same with the oldest and the newest NumPy that is allowed. A change of one of them changes all runs.
"""

from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from resnet_ablations.streams import Purpose, Stream


def stream(counter: int = 0) -> Stream:
    return Stream(7, Purpose.AUGMENTATION, counter)


def test_words() -> None:
    assert stream().words(3).tolist() == [16837541480647853296, 4133907819081966339, 2067856820781304966]
    assert stream(2**48 - 1).words(2).tolist() == [14935439321470809985, 2611583434350823830]
    assert Stream(2**32 - 1, Purpose.WEIGHTS).words(2).tolist() == [12493794831827644817, 5693949984020574725]


def test_numbers_made_of_words() -> None:
    assert stream().integers(0, 9, 12).tolist() == [8, 2, 1, 6, 6, 5, 5, 6, 3, 0, 5, 6]
    assert stream().uniform(-1, 3, 3).tolist() == [2.65105981052664, -0.10360163233930342, -0.5516050285039884]
    normal = [1.3579797974387784, -0.758420676267857, -1.2154421879256763]
    np.testing.assert_allclose(stream().normal(0, 1, 3), normal, rtol=1e-12)
    assert stream().order(12).tolist() == [9, 2, 1, 8, 6, 5, 10, 4, 11, 7, 3, 0]


def test_the_rules_are_those_stated() -> None:
    words = [int(word) for word in stream().words(1000)]
    assert stream().integers(-3, 97, 1000).tolist() == [-3 + ((word >> 32) * 100 >> 32) for word in words]
    fractions = [((word >> 12) + 0.5) / 2**52 for word in words]
    assert stream().uniform(shape=1000).tolist() == fractions
    normal = [NormalDist(2, 5).inv_cdf(fraction) for fraction in fractions]
    np.testing.assert_allclose(stream().normal(2, 5, 1000), normal, rtol=1e-9)
    assert stream().order(1000).tolist() == sorted(range(1000), key=words.__getitem__)


def test_integers_are_at_most_as_many_as_half_a_word_tells() -> None:
    assert 0 <= stream().integers(-(2**31), 2**31) + 2**31 < 2**32
    with pytest.raises(ValueError, match=r"integers from 0 to 4294967296: must be at most 2³² = 4,294,967,296"):
        stream().integers(0, 2**32 + 1, 3)


def test_the_bias_of_integers_is_below_the_stated_one() -> None:
    """Each integer below n comes from ⌊2³²/n⌋ or ⌈2³²/n⌉ of the 2³² possible halves of a word."""
    for n in (3, 9, 50_000):
        firsts = [-(-(k << 32) // n) for k in (0, 1, n // 2, n // 2 + 1, n - 1, n)]
        counts = {end - start for start, end in zip(firsts[::2], firsts[1::2], strict=True)}
        assert counts <= {2**32 // n, 2**32 // n + 1}


def test_equal_words_keep_their_order() -> None:
    class Equal:
        def random_raw(self, shape: int) -> np.ndarray:
            return np.zeros(shape, np.uint64)

    equal = stream()
    equal._philox = Equal()  # type: ignore[assignment]
    assert equal.order(40).tolist() == list(range(40))


def test_no_number_is_an_end_of_its_interval() -> None:
    """The normal number of 0 or 1 would be infinite."""
    for word in (0, 2**64 - 1):
        ends = stream()
        ends.words = lambda shape, word=word: np.full(shape, word, np.uint64)  # type: ignore[method-assign]
        (fraction,), (integer,) = ends.uniform(shape=(1,)), ends.integers(0, 2**32, (1,))
        assert 0 < fraction < 1
        assert integer == word >> 32
        assert np.isfinite(ends.normal(0, 1, (1,)))


@pytest.mark.parametrize("purpose", Purpose)
def test_numbers_have_their_distributions(purpose: Purpose) -> None:
    numbers = Stream(0, purpose)
    assert chisquare(np.bincount(numbers.integers(0, 9, 9_000), minlength=9)).pvalue > 1e-4
    assert kstest((numbers.uniform(-1, 1, 9_000) + 1) / 2, "uniform").pvalue > 1e-4
    assert kstest((numbers.normal(3, 2, 9_000) - 3) / 2, "norm").pvalue > 1e-4
    orders = [tuple(numbers.order(3)) for _ in range(6_000)]
    assert chisquare([orders.count(order) for order in set(orders)]).pvalue > 1e-4


def test_seeds_purposes_and_counters_have_different_words() -> None:
    streams = [Stream(seed, purpose, counter) for seed in range(3) for purpose in Purpose for counter in range(3)]
    words = np.array([stream.words(50) for stream in streams])
    assert len(np.unique(words)) == words.size
