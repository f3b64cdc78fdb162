"""Batches of image files, decoded and cut by worker processes while the network trains."""

import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resnet_ablations.data.batches import AUGMENTATION, WHOLE, Batches, Share, batch_indices, counter_generator
from resnet_ablations.data.decoding import decode_rgb
from resnet_ablations.data.images import ColourAugmentation, CropAugmentation, ImageFiles
from resnet_ablations.data.views import DRAWN, Size, View, central, cut, scaled, ten
from resnet_ablations.errors import UserError

MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)
"""Of ImageNet's training images, red, green and blue from 0 to 1, as in the authors' released code."""

COLOUR_AXES: Final = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
COLOUR_VARIANCES: Final = np.array([0.2175, 0.0188, 0.0045])
"""Principal components (columns) of ImageNet's colours and their eigenvalues, from the same place."""

TEST_CROPS: Final = 100
"""Crops of one batch of a test."""

Asked = tuple[int, int]
"""A place in the endless sequence of epochs, and the image that stands there."""
Sample = tuple[npt.NDArray[np.uint8], int, npt.NDArray[np.float32]]
"""Views crop × crop × 3 of one image, its label, and what is added to its colours."""
Collated = tuple[Tensor, Tensor, Tensor]
Recipe = Callable[[Size, int], tuple[list[View], npt.NDArray[np.float32]]]
"""From an image's size and its place in the sequence to its views and the shift of its colours."""


@final
class FileBatches(Batches):
    """Image files, decoded and cut anew whenever they are asked for.

    What is drawn for an image depends on the seed and on its place in the sequence of epochs alone, neither on
    `workers`, the number of processes that decode (0: this one), nor on where training starts. They read ahead of
    `train` up to the end of `iterations`, in order; a step asked for out of order starts them anew from there.
    """

    top5 = True

    def __init__(
        self, files: ImageFiles, *, batch_size: int, seed: int, iterations: int, workers: int, share: Share = WHOLE
    ) -> None:
        self.files = files
        self.batch_size, self.seed, self.iterations, self.workers = batch_size, seed, iterations, workers
        self.share = share
        self._device = torch.device("cpu")
        self._ahead: Iterator[Collated | UserError] | None = None
        self._next = (0, 0)

    def to(self, device: torch.device) -> Self:
        self._device = device
        return self

    def train(self, iteration: int, micro_batch: int = 0, micro_batches: int = 1) -> tuple[Tensor, Tensor]:
        place, end = iteration * micro_batches + micro_batch, max(self.iterations, iteration + 1) * micro_batches
        if self._ahead is None or self._next != (place, micro_batches):
            files = self.files
            recipe = partial(_drawn, self.seed, files.augmentation, files.colour, files.crop)
            images = _Decoded(files.root, files.train, files.train_labels, files.crop, recipe)
            self.close()
            self._ahead = self._stream(images, (self._asked(place, micro_batches) for place in range(place, end)))
        batch = next(self._ahead)
        self._next = (place + 1, micro_batches)
        if place + 1 == end or isinstance(batch, UserError):
            self.close()
        views, labels = self._ready(batch)
        return views[:, 0], labels

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The centre of the image whose shorter side is 256 (for a crop of 224)."""
        crop = self.files.crop
        for views, labels in self._tested(crop, 1, partial(_centre, scaled(crop, 256), crop)):
            yield views[:, 0], labels

    def protocols(self) -> dict[str, Callable[[], Iterator[tuple[Tensor, Tensor]]]]:
        """`crop320`: the centre at 320 (for a crop of 224); `crops10`: corners, centre, all also mirrored, at 256."""
        crop = self.files.crop
        larger = scaled(crop, 320)
        return {
            "crop320": partial(self._tested, larger, 1, partial(_centre, larger, larger)),
            "crops10": partial(self._tested, crop, 10, partial(_ten, scaled(crop, 256), crop)),
        }

    def close(self) -> None:
        self._ahead = None  # the loader's iterator ends its processes when nobody holds it

    def _asked(self, place: int, micro_batches: int) -> list[Asked]:
        """The images of the share's micro-batch `place`."""
        iteration, micro_batch = divmod(place, micro_batches)
        share = self.share.places(micro_batch, micro_batches, self.batch_size)
        indices = batch_indices(self.seed, iteration, self.batch_size, len(self.files.train))
        positions = range(iteration * self.batch_size, (iteration + 1) * self.batch_size)
        return list(zip(positions[share], indices[share].tolist(), strict=True))

    def _tested(self, crop: int, crops: int, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
        """The share of the test set in order."""
        files = self.files
        count = TEST_CROPS // crops
        places = [(place, place) for place in range(len(files.test))]
        starts = range(0, len(places), count)[self.share.rank :: self.share.count]
        chunks = [places[start : start + count] for start in starts]
        images = _Decoded(files.root, files.test, files.test_labels, crop, recipe)
        for batch in self._stream(images, chunks):
            yield self._ready(batch)

    def _stream(self, images: "_Decoded", batches: Iterable[list[Asked]]) -> Iterator[Collated | UserError]:
        loader: DataLoader[Sample | UserError] = DataLoader(
            images,
            batch_sampler=batches,
            num_workers=min(self.workers, len(images)),
            # They end with this process, whose children they are; those of a fork server would not.
            multiprocessing_context="fork" if self.workers else None,
            collate_fn=_collated,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_quiet,
            generator=torch.Generator(),  # the global one, which the loader would draw from, belongs to dropout
        )
        return iter(loader)

    def _ready(self, batch: Collated | UserError) -> tuple[Tensor, Tensor]:
        """Images n × crops × C × H × W, normalised, on the device, and labels."""
        if isinstance(batch, UserError):
            raise batch
        pixels, labels, shifts = (tensor.to(self._device, non_blocking=True) for tensor in batch)
        mean, deviation = (torch.tensor(values, device=self._device) for values in (MEAN, DEVIATION))
        images = (pixels.float() / 255 + (shifts - mean)[:, None, None, None]) / deviation
        return images.permute(0, 1, 4, 2, 3), labels


def colour_shift(generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """What is added to red, green and blue (0 to 1) of a whole image: AlexNet's augmentation, v1, section 3.4.

    Along each principal component of ImageNet's colours its eigenvalue times a draw from N(0, 0.1²).
    """
    shift: npt.NDArray[np.float64] = COLOUR_AXES @ (COLOUR_VARIANCES * generator.normal(0, 0.1, 3))
    return shift.astype(np.float32)


NO_SHIFT: Final = np.zeros(3, np.float32)


def _drawn(
    seed: int, augmentation: CropAugmentation, colour: ColourAugmentation, crop: int, size: Size, place: int
) -> tuple[list[View], npt.NDArray[np.float32]]:
    generator = counter_generator(seed, AUGMENTATION, place)
    view = DRAWN[augmentation](size, crop, generator)
    return [view], colour_shift(generator) if colour == "pca" else NO_SHIFT


def _centre(shorter: int, crop: int, size: Size, place: int) -> tuple[list[View], npt.NDArray[np.float32]]:
    return [central(size, shorter, crop)], NO_SHIFT


def _ten(shorter: int, crop: int, size: Size, place: int) -> tuple[list[View], npt.NDArray[np.float32]]:
    return ten(size, shorter, crop), NO_SHIFT


@dataclass(frozen=True)
class _Decoded(Dataset[Sample | UserError]):
    """What the worker processes do: decode an image and cut its views; an error travels back as a value."""

    root: Path
    paths: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int64]
    crop: int
    recipe: Recipe

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, asked: Asked) -> Sample | UserError:
        place, index = asked
        try:
            image = decode_rgb(self.root / str(self.paths[index]))
        except UserError as error:
            return error
        views, shift = self.recipe(image.size, place)
        return np.stack([cut(image, view, self.crop) for view in views]), int(self.labels[index]), shift


def _collated(samples: list[Sample | UserError]) -> Collated | UserError:
    """One batch: views n × views × crop × crop × 3 in uint8, labels, shifts; or the first error."""
    whole: list[Sample] = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        whole.append(sample)
    views, labels, shifts = zip(*whole, strict=True)
    return torch.from_numpy(np.stack(views)), torch.tensor(labels), torch.from_numpy(np.stack(shifts))


def _quiet(worker: int) -> None:
    """Keep a worker process from printing what libraries think of some file's metadata, and from ending before its run.

    A scheduler sends SIGTERM to all processes of a run at once; the run ends its workers itself, without a signal.
    """
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
