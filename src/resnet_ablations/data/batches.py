"""The batch of step t, a pure function of (seed, t): images, crops and flips come from counters."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from resnet_ablations.streams import Purpose, Stream


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    """Return the order of `size` images in one epoch: a permutation of 0 … size-1."""
    return Stream(seed, Purpose.ORDER, epoch).order(size)


def batch_indices(seed: int, iteration: int, batch_size: int, size: int) -> np.ndarray:
    """Return the indices of one step's images: a window of the endless sequence of epochs, which omits no image."""
    positions = np.arange(iteration * batch_size, (iteration + 1) * batch_size)
    epochs, places = np.divmod(positions, size)
    indices = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        inside = epochs == epoch
        indices[inside] = epoch_order(seed, int(epoch), size)[places[inside]]
    return indices


@dataclass(frozen=True)
class Share:
    """Rank `rank`'s share of every batch and of the test set, where `count` ranks have equal shares."""

    rank: int = 0
    count: int = 1

    def places(self, micro_batch: int, micro_batches: int, batch_size: int) -> slice:
        """Return the positions in the batch of this share's micro-batch number `micro_batch`, of `micro_batches`."""
        number, count = self.rank * micro_batches + micro_batch, self.count * micro_batches
        return slice(number * batch_size // count, (number + 1) * batch_size // count)


Crops = Iterator[tuple[list[Tensor], Tensor]]
"""Test batches with several crops of each image: n × crops × C × H × W for each size of crops, and labels n."""

WHOLE: Final = Share()
"""The share of a run on one device: everything."""


class Batches(ABC):
    """A run's training and test batches: normalised float32 images, channels-last, on the run's device.

    If a run has several devices, each device has the batches of its `Share`.
    """

    top5: bool
    """True if the run also reports the top-5 error."""

    @abstractmethod
    def to(self, device: torch.device) -> Self:
        """Return batches on this device from now on."""

    @abstractmethod
    def train(self, iteration: int, micro_batch: int = 0, micro_batches: int = 1) -> tuple[Tensor, Tensor]:
        """Return one of this share's `micro_batches` micro-batches of step `iteration`.

        Images n × C × H × W and labels n, where n = batch size / (shares × micro_batches). Raise `UserError` with the
        file's name if an image cannot be read.
        """

    @abstractmethod
    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this share of the test set, in order: images n × C × H × W, labels n; each image is in one share."""

    @abstractmethod
    def protocols(self) -> dict[str, Callable[[], Crops]]:
        """Return the additional test protocols, by the prefix of their metrics."""

    @abstractmethod
    def close(self) -> None:
        """End background processes; a later call of `train` or `test` starts them again."""
