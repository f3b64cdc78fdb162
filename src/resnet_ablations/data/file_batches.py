"""Batches of image files, decoded and cropped by worker processes while the network trains."""

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

from resnet_ablations.data.batches import WHOLE, Batches, Share, batch_indices
from resnet_ablations.data.decoding import decode_rgb
from resnet_ablations.data.images import ColourAugmentation, CropAugmentation, ImageFiles
from resnet_ablations.data.views import DRAWN, Size, View, central, cut, scaled, ten
from resnet_ablations.errors import UserError
from resnet_ablations.streams import Purpose, Stream

MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's training images: red, green, blue, in 0 … 1, from the authors' code."""

COLOUR_AXES: Final = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
COLOUR_VARIANCES: Final = np.array([0.2175, 0.0188, 0.0045])
"""Principal components (columns) of ImageNet's colours and their eigenvalues, from the authors' code."""

TEST_CROPS: Final = 100
"""Crops in one test batch."""

Asked = tuple[int, int]
"""A place in the endless sequence of epochs, and the index of the image at that place."""
Sample = tuple[npt.NDArray[np.uint8], int, npt.NDArray[np.float32]]
"""Views crop × crop × 3 of one image, its label, and the shift of its colours."""
Collated = tuple[Tensor, Tensor, Tensor]
Recipe = Callable[[Size, int], tuple[list[View], npt.NDArray[np.float32]]]
"""A function of an image's size and its place in the sequence: its views, and the shift of its colours."""


@final
class FileBatches(Batches):
    """Batches of image files; every use of an image decodes it again and cuts new views.

    The random views of an image depend only on the seed and on the image's place in the sequence of epochs, not on
    `workers`, the number of decoding processes (0: decode in this process), and not on the iteration at which training
    starts. The workers read ahead of `train` in order, up to `iterations`; a step out of order restarts them there.
    """

    top5 = True

    def __init__(
        self, files: ImageFiles, *, batch_size: int, seed: int, iterations: int, workers: int, share: Share = WHOLE
    ) -> None:
        self.files = files
        self.batch_size, self.seed, self.iterations, self.workers = batch_size, seed, iterations, workers
        self.share = share
        self._device = torch.device("cpu")
        self._mean, self._deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
        self._ahead: Iterator[Collated | UserError] | None = None
        self._next = (0, 0)

    def to(self, device: torch.device) -> Self:
        self._device = device
        self._mean, self._deviation = self._mean.to(device), self._deviation.to(device)
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
        """Yield central crops of images with a shorter side of 256 (for a crop of 224; else in proportion)."""
        crop = self.files.crop
        for views, labels in self._tested(crop, 1, partial(_centre, scaled(crop, 256), crop)):
            yield views[:, 0], labels

    def protocols(self) -> dict[str, Callable[[], Iterator[tuple[Tensor, Tensor]]]]:
        """Return `crop320`, the central 320 × 320 crop, and `crops10`, ten crops: corners, centre, and all mirrored.

        The shorter side is 320 for `crop320` and 256 for `crops10`, for a crop of 224; else in proportion.
        """
        crop = self.files.crop
        larger = scaled(crop, 320)
        return {
            "crop320": partial(self._tested, larger, 1, partial(_centre, larger, larger)),
            "crops10": partial(self._tested, crop, 10, partial(_ten, scaled(crop, 256), crop)),
        }

    def close(self) -> None:
        self._ahead = None  # garbage collection of the loader's iterator ends its processes

    def _asked(self, place: int, micro_batches: int) -> list[Asked]:
        """Return the images of this share's micro-batch `place`, counted from the start of training."""
        iteration, micro_batch = divmod(place, micro_batches)
        share = self.share.places(micro_batch, micro_batches, self.batch_size)
        indices = batch_indices(self.seed, iteration, self.batch_size, len(self.files.train))
        positions = range(iteration * self.batch_size, (iteration + 1) * self.batch_size)
        return list(zip(positions[share], indices[share].tolist(), strict=True))

    def _tested(self, crop: int, crops: int, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this share of the test set in order: images n × crops × C × H × W, labels n."""
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
            # Forked workers are children of this process and end with it; children of a fork server would not.
            multiprocessing_context="fork" if self.workers else None,
            collate_fn=_collated,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_quiet,
            generator=torch.Generator(),  # the loader would otherwise draw from the global one
        )
        return iter(loader)

    def _ready(self, batch: Collated | UserError) -> tuple[Tensor, Tensor]:
        """Return normalised images n × crops × C × H × W and labels n, on the device; raise a worker's `UserError`."""
        if isinstance(batch, UserError):
            raise batch
        pixels, labels, shifts = (tensor.to(self._device, non_blocking=True) for tensor in batch)
        images = (pixels.float() / 255 + (shifts - self._mean)[:, None, None, None]) / self._deviation
        return images.permute(0, 1, 4, 2, 3), labels


def colour_shift(stream: Stream) -> npt.NDArray[np.float32]:
    """Return the random shift of an image's red, green and blue (0 … 1): AlexNet's augmentation, v1, section 3.4.

    The shift along each principal component of ImageNet's colours is its eigenvalue times a draw from N(0, 0.1²).
    """
    shift: npt.NDArray[np.float64] = COLOUR_AXES @ (COLOUR_VARIANCES * stream.normal(0, 0.1, 3))
    return shift.astype(np.float32)


NO_SHIFT: Final = np.zeros(3, np.float32)


def _drawn(
    seed: int, augmentation: CropAugmentation, colour: ColourAugmentation, crop: int, size: Size, place: int
) -> tuple[list[View], npt.NDArray[np.float32]]:
    stream = Stream(seed, Purpose.AUGMENTATION, place)
    view = DRAWN[augmentation](size, crop, stream)
    return [view], colour_shift(stream) if colour == "pca" else NO_SHIFT


def _centre(shorter: int, crop: int, size: Size, place: int) -> tuple[list[View], npt.NDArray[np.float32]]:
    return [central(size, shorter, crop)], NO_SHIFT


def _ten(shorter: int, crop: int, size: Size, place: int) -> tuple[list[View], npt.NDArray[np.float32]]:
    return ten(size, shorter, crop), NO_SHIFT


@dataclass(frozen=True)
class _Decoded(Dataset[Sample | UserError]):
    """The data set that the workers read: an item is an image's views, or the `UserError` that decoding raised."""

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
    """Return one batch: uint8 images n × views × crop × crop × 3, labels n, shifts n × 3; or the first error."""
    whole: list[Sample] = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        whole.append(sample)
    views, labels, shifts = zip(*whole, strict=True)
    return torch.from_numpy(np.stack(views)), torch.tensor(labels), torch.from_numpy(np.stack(shifts))


def _quiet(worker: int) -> None:
    """Suppress warnings of libraries about a file's metadata in a worker process, and ignore SIGTERM.

    A scheduler sends SIGTERM to all processes of a run. The run needs its workers until its last step, and ends them
    itself without a signal.
    """
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
