"""A data set's training and test images, in memory or as files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, final

import numpy as np
import numpy.typing as npt

from resnet_ablations.errors import UserError

CropAugmentation = Literal["scale", "scale_aspect_ratio"]
"""The crop augmentations of v2, Table 5; see `data.views`."""

ColourAugmentation = Literal["pca", "jitter_and_pca", "none"]
"""The colour augmentation of training images; see `data.colours`."""


@dataclass(frozen=True)
class Split:
    """A training set and a test set."""

    train: npt.NDArray[Any]
    """N images, or the paths of N images."""
    train_labels: npt.NDArray[np.int64]
    """N labels in 0 … classes-1."""
    test: npt.NDArray[Any]
    """M images, or the paths of M images."""
    test_labels: npt.NDArray[np.int64]
    """M labels."""

    def hold_out(self, count: int) -> Self:
        """Return a split that tests on `count` training images instead of the test set, and trains on the others.

        The choice is a rule without randomness: sort the training images by class (stable), and take evenly spaced
        ones, so that each class has its share. Both parts keep their order.
        """
        check_held_out(count, len(self.train))
        places = (2 * np.arange(count) + 1) * len(self.train) // (2 * count)
        held_out = np.zeros(len(self.train), bool)
        held_out[np.argsort(self.train_labels, kind="stable")[places]] = True
        return replace(
            self,
            train=self.train[~held_out],
            train_labels=self.train_labels[~held_out],
            test=self.train[held_out],
            test_labels=self.train_labels[held_out],
        )


@final
@dataclass(frozen=True)
class Images(Split):
    """A whole data set in memory: `train` is N × H × W × C, `test` is M × H × W × C."""

    train: npt.NDArray[np.uint8]
    test: npt.NDArray[np.uint8]


@final
@dataclass(frozen=True)
class ImageFiles(Split):
    """Image files of any size and the way to cut inputs out of them; `train` and `test` are paths below `root`."""

    train: npt.NDArray[np.str_]
    test: npt.NDArray[np.str_]
    root: Path
    crop: int
    """The height and width of an input."""
    augmentation: CropAugmentation
    colour: ColourAugmentation


def check_held_out(count: int, training_images: int, classes: int = 1) -> None:
    """Raise `UserError` unless an image of each class can be left when `count` images are held out."""
    if count >= training_images:
        raise UserError(f"data.held_out={count}: must be smaller than the training set of {training_images:,} images")
    if count > (most := training_images - classes):
        raise UserError(
            f"data.held_out={count}: leaves {training_images - count} of {training_images:,} training images, fewer "
            f"than the {classes} classes; allowed: {f'1 to {most}' if most > 0 else 'null'}"
        )


def check_classes(split: Split, whole: Split, count: int) -> None:
    """Raise `UserError` if `split`, which holds out `count` images of `whole`, trains on no image of some class."""
    if len(gone := np.setdiff1d(whole.train_labels, split.train_labels)):
        raise UserError(
            f"data.held_out={count}: leaves no image to train on of {len(gone)} classes, such as class {gone[0]} "
            "(counted from 0); hold out fewer images, or add images of these classes"
        )
