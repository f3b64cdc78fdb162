"""Random numbers that last: pure functions of (seed, purpose, counter), the same with every version of NumPy.

NumPy guarantees the raw words of its counter-based bit generator Philox, but not the numbers that `Generator` makes of
them (NEP 19). So the rules are stated here. A word w is a random integer below 2⁶⁴.

- An integer below n ≤ 2³²: ⌊⌊w / 2³²⌋ · n / 2³²⌋. Its probability differs from 1/n by less than 2⁻³², a relative error
  below n · 2⁻³²: 2 · 10⁻⁹ for a crop of CIFAR.
- A number between 0 and 1: (⌊w / 2¹²⌋ + ½) / 2⁵², which is exact in float64 and never 0 or 1.
- A normal number: Φ⁻¹ of such a number, in float64, whose last digits depend on SciPy.
- An order of n things: the stable argsort of n words.
"""

from enum import IntEnum
from typing import Any, final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

Shape = int | tuple[int, ...]


class Purpose(IntEnum):
    """The purposes of random numbers, with the counter of each."""

    ORDER = 0
    """The order of the training images in an epoch; the counter is the epoch."""
    AUGMENTATION = 1
    """Crops, flips and colours; the counter is the iteration or the image's place in the sequence of epochs."""
    MASKS = 2
    """The masks of dropout, unit by unit and image by image; the counter is the iteration."""
    WEIGHTS = 3
    """The initial weights; the counter is 0."""
    DRAWING = 4
    """The images of `data.generated`; the counter is the image's number."""
    SHUFFLES = 5
    """The shuffles of a permutation test; the counter is 0."""
    SIMULATIONS = 6
    """The simulated runs of a claim's power; the counter is the number of seeds."""
    LESIONS = 7
    """The units that are deleted and swapped in a trained network; the counter is the draw."""
    PATHS = 8
    """The units whose residual branch a path takes, image by image; the counter is the path's length."""


@final
class Stream:
    """The random numbers of one seed, purpose and counter, in a fixed sequence.

    A method returns an array of the shape, or one number for the shape ().
    """

    def __init__(self, seed: int, purpose: Purpose, counter: int = 0) -> None:
        key = np.array([seed, purpose << 48 | counter], dtype=np.uint64)
        self._philox = np.random.Philox(key=key)

    def words(self, shape: Shape = ()) -> Any:
        """Return the next words."""
        return np.asarray(self._philox.random_raw(shape))

    def integers(self, low: int, high: int, shape: Shape = ()) -> Any:
        """Return integers from `low` to `high` − 1, equally likely but for a relative error below (high − low) · 2⁻³².

        Raise `ValueError` for more than 2³² integers.
        """
        if high - low > 2**32:
            raise ValueError(f"integers from {low} to {high - 1}: must be at most 2³² = {2**32:,}, not {high - low:,}")
        return low + ((self.words(shape) >> 32) * (high - low) >> 32).astype(np.int64)

    def uniform(self, low: float = 0, high: float = 1, shape: Shape = ()) -> Any:
        """Return numbers between `low` and `high`."""
        return low + (high - low) * (((self.words(shape) >> 12) + 0.5) * 2.0**-52)

    def normal(self, mean: float, deviation: float, shape: Shape = ()) -> Any:
        """Return normal numbers."""
        return mean + deviation * np.asarray(ndtri(self.uniform(shape=shape)))

    def order(self, size: int) -> npt.NDArray[np.int64]:
        """Return a permutation of 0 … `size` − 1."""
        return np.argsort(self.words(size), kind="stable")
