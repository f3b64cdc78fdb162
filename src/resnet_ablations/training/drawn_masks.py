"""The masks of a network in training, drawn from the run's seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from resnet_ablations.config import RunConfig
from resnet_ablations.data.batches import Share
from resnet_ablations.network.masks import masks_of, numbers_of_masks
from resnet_ablations.streams import Purpose, Stream


class DrawnMasks:
    """The masks of a network: functions of seed, iteration, unit and the image's place in the whole batch.

    A rank with `share` of each batch takes it in `passes` passes.
    """

    def __init__(self, network: nn.Module, config: RunConfig, share: Share, passes: int, device: torch.device) -> None:
        self._masks = masks_of(network)
        self._seed, self._batch_size = config.seed, config.schedule.batch_size
        self._share, self._passes = share, passes
        self._numbers = numbers_of_masks(self._masks, self._batch_size // share.count // passes, device)

    def draw(self, iteration: int, number: int) -> None:
        """Set the masks of pass `number` of an iteration, both counted from 0."""
        if not self._masks:
            return
        batch = self._batch_size
        words = Stream(self._seed, Purpose.MASKS, iteration).words((len(self._masks), batch)).view(np.int64)
        own = words[:, self._share.places(number, self._passes, batch)].copy()
        shared = [mask.one_for_all for mask in self._masks]
        own[shared] = words[shared, :1]
        # A copy from pinned memory runs in the background, after the kernels that read the numbers before.
        numbers = torch.from_numpy(own)
        self._numbers.copy_(numbers.pin_memory() if self._numbers.is_cuda else numbers, non_blocking=True)

    @contextmanager
    def of_first_images(self, iteration: int, images: int) -> Iterator[None]:
        """Set the masks of the first images of an iteration, for a pass of these images alone, inside the context."""
        self.draw(iteration, 0)
        for mask, numbers in zip(self._masks, self._numbers, strict=True):
            mask.numbers = numbers[:images]
        yield
        for mask, numbers in zip(self._masks, self._numbers, strict=True):
            mask.numbers = numbers
