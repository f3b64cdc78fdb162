"""Batches of image files, decoded and cropped by worker processes while the network trains."""

import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from resnet_ablations.data.batches import WHOLE, Batches, Crops, Share, batch_indices
from resnet_ablations.data.colours import NO_JITTER, NO_SHIFT, colour_jitter, colour_shift, jittered
from resnet_ablations.data.decoding import decode_rgb
from resnet_ablations.data.images import ColourAugmentation, CropAugmentation, ImageFiles
from resnet_ablations.data.views import DRAWN, Size, View, central, cut, scaled, ten, whole
from resnet_ablations.data.waiting import POLL_SECONDS, Waiting, out_of_shared_memory
from resnet_ablations.errors import UserError
from resnet_ablations.streams import Purpose, Stream

MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's training images: red, green, blue, in 0 … 1, from FB."""

TEST_CROPS: Final = 100
"""Crops in one test batch."""

MULTI_SCALE_SIDES: Final = (224, 256, 384, 480, 640)
"""The shorter sides of the images in v1's multi-scale test, for a crop of 224; v1, section 3.4."""

Asked = tuple[int, int]
"""A place in the endless sequence of epochs, and the index of the image at that place."""


class Recipe(NamedTuple):
    """The inputs to make of an image: groups of views, each of one size, and the change of the image's colours."""

    views: list[list[View]]
    shift: npt.NDArray[np.float32] = NO_SHIFT
    jitter: npt.NDArray[np.float32] = NO_JITTER


Recipes = Callable[[Size, int], Recipe]
"""A function of an image's size and its place in the sequence of epochs."""


class DecodedImage(NamedTuple):
    """The inputs made of one image: views × height × width × 3 for each group, and its later changes of colour.

    The device applies `shift` and `jitter`.
    """

    views: list[npt.NDArray[np.uint8]]
    label: int
    shift: npt.NDArray[np.float32]
    jitter: npt.NDArray[np.float32]


class Collated(NamedTuple):
    """A batch of decoded images.

    n × views × height × width × 3 for each group, labels n, shifts n × 3, jitters n × c × 2.
    """

    views: list[Tensor]
    labels: Tensor
    shifts: Tensor
    jitters: Tensor


@final
class FileBatches(Batches):
    """Batches of image files; every use of an image decodes it again and cuts new views.

    The random views of an image depend only on the seed and on the image's place in the sequence of epochs, not on
    `workers`, the number of decoding processes (0: decode in this process), and not on the iteration at which training
    starts. The workers read ahead of `train` in order, up to `iterations`; a step out of order restarts them there.
    `stopped` returns whether a stop signal has come; `train` raises the errors of `Waiting`.
    """

    top5 = True

    def __init__(
        self,
        files: ImageFiles,
        *,
        batch_size: int,
        seed: int,
        iterations: int,
        workers: int,
        share: Share = WHOLE,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.files = files
        self._stopped = stopped
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
            images = _Decoded(files.root, files.train, files.train_labels, recipe)
            self.close()
            self._ahead = self._stream(images, (self._asked(place, micro_batches) for place in range(place, end)))
        batch = next(self._ahead)
        self._next = (place + 1, micro_batches)
        if place + 1 == end or isinstance(batch, UserError):
            self.close()
        (views,), labels = self._ready(batch)
        return views[:, 0], labels

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield central crops of images with a shorter side of 256 (for a crop of 224; else in proportion)."""
        crop = self.files.crop
        for (views,), labels in self._tested(TEST_CROPS, partial(_centre, scaled(crop, 256), crop)):
            yield views[:, 0], labels

    def protocols(self) -> dict[str, Callable[[], Crops]]:
        """Return the papers' other tests; sizes are for a crop of 224, else in proportion.

        - `crop320`: the central 320 × 320 crop of the image with a shorter side of 320.
        - `crops10`: ten crops of the image with a shorter side of 256: corners, centre, and all mirrored.
        - `multi_scale`: the whole image and its mirror image, with a shorter side of each of `MULTI_SCALE_SIDES`.
        """
        crop = self.files.crop
        larger = scaled(crop, 320)
        return {
            "crop320": partial(self._tested, TEST_CROPS, partial(_centre, larger, larger)),
            "crops10": partial(self._tested, TEST_CROPS // 10, partial(_ten, scaled(crop, 256), crop)),
            "multi_scale": partial(
                self._tested, 1, partial(_scales, [scaled(crop, shorter) for shorter in MULTI_SCALE_SIDES])
            ),
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

    def _tested(self, count: int, recipe: Recipes) -> Crops:
        """Yield this share of the test set in order, `count` images at a time."""
        files = self.files
        places = [(place, place) for place in range(len(files.test))]
        starts = range(0, len(places), count)[self.share.rank :: self.share.count]
        chunks = [places[start : start + count] for start in starts]
        images = _Decoded(files.root, files.test, files.test_labels, recipe)
        for batch in self._stream(images, chunks):
            yield self._ready(batch)

    def _stream(self, images: "_Decoded", batches: Iterable[list[Asked]]) -> Iterator[Collated | UserError]:
        loader: DataLoader[DecodedImage | UserError] = DataLoader(
            images,
            batch_sampler=batches,
            num_workers=min(self.workers, len(images)),
            # Forked workers are children of this process and end with it; children of a fork server would not.
            multiprocessing_context="fork" if self.workers else None,
            collate_fn=_collated,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_quiet,
            generator=torch.Generator(),  # the loader would otherwise draw from the global one
            timeout=POLL_SECONDS if self.workers else 0,
        )
        return Waiting(loader, self._stopped) if self.workers else iter(loader)

    def _ready(self, batch: Collated | UserError) -> tuple[list[Tensor], Tensor]:
        """Return normalised images n × crops × C × H × W and labels n, on the device; raise a worker's `UserError`."""
        if isinstance(batch, UserError):
            raise batch
        *groups, labels, shifts, jitters = (
            tensor.to(self._device, non_blocking=True) for tensor in (*batch.views, *batch[1:])
        )
        shifts = (shifts - self._mean)[:, None, None, None]
        return [
            ((jittered(pixels.float() / 255, jitters) + shifts) / self._deviation).permute(0, 1, 4, 2, 3)
            for pixels in groups
        ], labels


def _drawn(
    seed: int, augmentation: CropAugmentation, colour: ColourAugmentation, crop: int, size: Size, place: int
) -> Recipe:
    stream = Stream(seed, Purpose.AUGMENTATION, place)
    view = DRAWN[augmentation](size, crop, stream)
    jitter = colour_jitter(stream) if colour == "jitter_and_pca" else NO_JITTER
    return Recipe([[view]], NO_SHIFT if colour == "none" else colour_shift(stream), jitter)


def _centre(shorter: int, crop: int, size: Size, place: int) -> Recipe:
    return Recipe([[central(size, shorter, crop)]])


def _ten(shorter: int, crop: int, size: Size, place: int) -> Recipe:
    return Recipe([ten(size, shorter, crop)])


def _scales(shorter: Sequence[int], size: Size, place: int) -> Recipe:
    return Recipe([whole(size, side) for side in shorter])


@dataclass(frozen=True)
class _Decoded(Dataset[DecodedImage | UserError]):
    """The data set that the workers read: an item is an image's views, or the `UserError` that decoding raised."""

    root: Path
    paths: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int64]
    recipe: Recipes

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, asked: Asked) -> DecodedImage | UserError:
        place, index = asked
        try:
            image = decode_rgb(self.root / str(self.paths[index]))
        except UserError as error:
            return error
        groups, shift, jitter = self.recipe(image.size, place)
        views = [np.stack([cut(image, view) for view in group]) for group in groups]
        return DecodedImage(views, int(self.labels[index]), shift, jitter)


def _collated(images: list[DecodedImage | UserError]) -> Collated | UserError:
    """Return the images as one batch, or the first error."""
    decoded: list[DecodedImage] = []
    for image in images:
        if isinstance(image, UserError):
            return image
        decoded.append(image)
    views, labels, shifts, jitters = zip(*decoded, strict=True)
    groups = [torch.from_numpy(np.stack(group)) for group in zip(*views, strict=True)]
    rest = torch.tensor(labels), torch.from_numpy(np.stack(shifts)), torch.from_numpy(np.stack(jitters))
    if get_worker_info() is not None:
        try:
            # The queue's thread would do it, and print an error without sending anything.
            for tensor in (*groups, *rest):
                tensor.share_memory_()
        except (RuntimeError, OSError) as error:
            return out_of_shared_memory(str(error))
    return Collated(groups, *rest)


def _quiet(worker: int) -> None:
    """Suppress warnings of libraries about a file's metadata in a worker process, and ignore SIGTERM and SIGHUP.

    A scheduler or a lost terminal sends them to all processes of a run. The run needs its workers until its last step,
    and ends them itself without a signal.
    """
    warnings.simplefilter("ignore")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
