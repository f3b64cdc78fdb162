"""Batches of a data set that is in memory."""

from collections.abc import Callable, Iterator
from typing import Final, Literal, Self, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_ablations.data.batches import WHOLE, Batches, Crops, Share, batch_indices
from resnet_ablations.data.images import Images
from resnet_ablations.errors import UserError
from resnet_ablations.streams import Purpose, Stream

ROUNDING: Final = 1e-10
"""A variance of 8-bit values that is smaller than this is zero: the rest is the rounding of `_statistics`."""


@final
class ArrayBatches(Batches):
    """Batches of uint8 images in memory: channels-last float32.

    A training image is normalised, padded with `pad` zeros on each side, cropped at random to its original size, and
    mirrored at random if `flip`, as in v1, section 4.2. `per_pixel_mean` subtracts the training set's mean image and
    divides by one number, the standard deviation over all pixels; `per_channel` uses the mean and the standard
    deviation of each channel.
    """

    top5 = False

    def __init__(
        self,
        images: Images,
        *,
        pad: int,
        flip: bool,
        normalisation: Literal["per_pixel_mean", "per_channel"],
        batch_size: int,
        seed: int,
        share: Share = WHOLE,
    ) -> None:
        self.pad, self.flip, self.batch_size, self.seed, self.share = pad, flip, batch_size, seed, share
        self.normalisation = normalisation
        mean, deviation = _statistics(images.train, normalisation)
        self.mean = torch.from_numpy(mean)
        self.deviation = torch.from_numpy(deviation)
        self.images, self.labels = torch.from_numpy(images.train), torch.from_numpy(images.train_labels)
        self.test_images, self.test_labels = torch.from_numpy(images.test), torch.from_numpy(images.test_labels)
        self._draws: tuple[int, Tensor] | None = None
        """The last argument of `_drawn`, and its result."""

    def check(self) -> None:
        """Raise `UserError` if the images cannot be normalised, or have values that are not finite."""
        if not all(_finite(images) for images in (self.images, self.test_images)):
            raise UserError("data: its images have values that are not finite; repair or remove these images")
        constant = (self.deviation <= ROUNDING**0.5).flatten().tolist()
        if not any(constant):
            return
        count = f"{len(self.images):,} training images"
        if self.normalisation == "per_channel":
            raise UserError(
                f"data.normalisation=per_channel: channel {constant.index(True)} (counted from 0) has one value in all "
                f"pixels of the {count}, so that its standard deviation is 0; use data.normalisation=per_pixel_mean or "
                "other images"
            )
        raise UserError(
            f"data.normalisation=per_pixel_mean: the {count} are all the same, so that their standard deviation is 0; "
            "use other images, or hold out fewer (data.held_out)"
        )

    def to(self, device: torch.device) -> Self:
        for name in ("mean", "deviation", "images", "labels", "test_images", "test_labels"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def train(self, iteration: int, micro_batch: int = 0, micro_batches: int = 1) -> tuple[Tensor, Tensor]:
        places = self.share.places(micro_batch, micro_batches, self.batch_size)
        chosen, rows, columns, mirrored = self._drawn(iteration)[:, places]
        images = crop_and_flip(self._normalised(self.images[chosen]), self.pad, rows, columns, mirrored)
        return images.permute(0, 3, 1, 2), self.labels[chosen]

    def test(self, size: int = 1000) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this share of the test set in order, `size` images at a time."""
        for start in range(0, len(self.test_images), size)[self.share.rank :: self.share.count]:
            images = self._normalised(self.test_images[start : start + size])
            yield images.permute(0, 3, 1, 2), self.test_labels[start : start + size]

    def protocols(self) -> dict[str, Callable[[], Crops]]:
        return {}

    def close(self) -> None:
        pass

    def _drawn(self, iteration: int) -> Tensor:
        """Return the iteration's indices of images and their `_shifts`, 4 × batch, on the device."""
        if self._draws is None or self._draws[0] != iteration:
            indices = batch_indices(self.seed, iteration, self.batch_size, len(self.images))
            drawn = torch.from_numpy(np.concatenate([indices[None], self._shifts(iteration)]))
            if self.images.is_cuda:
                # A copy from pinned memory runs in the background; torch keeps the memory until the copy is done.
                drawn = drawn.pin_memory().to(self.images.device, non_blocking=True)
            self._draws = iteration, drawn
        return self._draws[1]

    def _shifts(self, iteration: int) -> np.ndarray:
        """Return a 3 × batch array: the crop's first row and column in the padded image, and 1 if it is mirrored."""
        stream = Stream(self.seed, Purpose.AUGMENTATION, iteration)
        offsets = stream.integers(0, 2 * self.pad + 1, (2, self.batch_size))
        mirrored = stream.integers(0, 2, (1, self.batch_size)) * self.flip
        return np.concatenate([offsets, mirrored])

    def _normalised(self, images: Tensor) -> Tensor:
        return (images.float() - self.mean) / self.deviation


def crop_and_flip(images: Tensor, pad: int, rows: Tensor, columns: Tensor, mirrored: Tensor) -> Tensor:
    """Pad N × H × W × C images with zeros, and return the H × W window of each at (row, column).

    `rows`, `columns` and `mirrored` have N values; where `mirrored` is 1, the window is mirrored horizontally.
    """
    height, width = images.shape[1:3]
    padded = F.pad(images, (0, 0, pad, pad, pad, pad))
    across = torch.arange(width, device=images.device).expand(len(images), width)
    across = torch.where(mirrored[:, None] > 0, across.flip(1), across) + columns[:, None]
    down = torch.arange(height, device=images.device) + rows[:, None]
    each = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[each, down[:, :, None], across[:, None, :]]


def _statistics(images: np.ndarray, normalisation: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of N × H × W × C images, in shapes that broadcast over one image."""
    # In chunks: a float64 copy of all images would take eight times their memory.
    total, squares = np.zeros(images.shape[1:]), np.zeros(images.shape[1:])
    for start in range(0, len(images), 1000):
        chunk = images[start : start + 1000].astype(np.float64)
        total += chunk.sum(axis=0)
        squares += (chunk**2).sum(axis=0)
    if normalisation == "per_pixel_mean":
        mean = total / len(images)
        variance = (squares / len(images) - mean**2).mean()
    else:
        pixels = len(images) * images.shape[1] * images.shape[2]
        mean = total.sum(axis=(0, 1)) / pixels
        variance = squares.sum(axis=(0, 1)) / pixels - mean**2
    deviation = np.sqrt(np.maximum(variance, 0))  # rounding can make the variance of equal values negative
    return mean.astype(np.float32), np.asarray(deviation, dtype=np.float32)


def _finite(images: Tensor) -> bool:
    """Return whether all values are finite, as integers always are."""
    return not images.is_floating_point() or all(bool(chunk.isfinite().all()) for chunk in torch.split(images, 1000))
