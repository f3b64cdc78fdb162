"""Which images are step t, and what they look like: a pure function of (seed, t)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

ORDER, AUGMENTATION, DROPOUT = 0, 1, 2
"""The streams of random numbers of a run."""


def counter_generator(seed: int, stream: int, counter: int) -> np.random.Generator:
    """Random numbers that depend on nothing but these three (Philox, a counter-based generator)."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream << 48 | counter], dtype=np.uint64)))


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    """The permutation of `size` images that makes up one epoch."""
    return counter_generator(seed, ORDER, epoch).permutation(size)


def batch_indices(seed: int, iteration: int, batch_size: int, size: int) -> np.ndarray:
    """The images of one step: a window of the endless sequence of epochs, so that none is ever left out."""
    positions = np.arange(iteration * batch_size, (iteration + 1) * batch_size)
    epochs, places = np.divmod(positions, size)
    indices = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        inside = epochs == epoch
        indices[inside] = epoch_order(seed, int(epoch), size)[places[inside]]
    return indices


@dataclass(frozen=True)
class Share:
    """One of `count` equal shares of every batch and of the test set: that of rank `rank`."""

    rank: int = 0
    count: int = 1

    def places(self, micro_batch: int, micro_batches: int, batch_size: int) -> slice:
        """The places of a step's images that make up one of the equal parts of this share."""
        number, count = self.rank * micro_batches + micro_batch, self.count * micro_batches
        return slice(number * batch_size // count, (number + 1) * batch_size // count)


WHOLE: Final = Share()
"""That of a run on one device."""


class Batches(ABC):
    """What a run trains and tests on: batches of normalised float32 images, channels-last, on the run's device.

    Of several devices, each has the batches of its `Share`.
    """

    top5: bool
    """Whether an image also counts as right where its class is among the five likeliest."""

    @abstractmethod
    def to(self, device: torch.device) -> Self:
        """Hand out batches on that device from now on."""

    @abstractmethod
    def train(self, iteration: int, micro_batch: int = 0, micro_batches: int = 1) -> tuple[Tensor, Tensor]:
        """One of the equal parts of the share of step `iteration`: images share/parts × C × H × W, labels share/parts.

        Raise `UserError` naming the file where an image cannot be read.
        """

    @abstractmethod
    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The share of the test set, in order, each image of the set in one share: images n × C × H × W, labels n."""

    @abstractmethod
    def protocols(self) -> dict[str, Callable[[], Iterator[tuple[Tensor, Tensor]]]]:
        """Further ways to test, by the prefix of their metrics: images n × crops × C × H × W, labels n."""

    @abstractmethod
    def close(self) -> None:
        """End what runs in the background; the batches can be asked for again afterwards."""
