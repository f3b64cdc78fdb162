"""The data set ImageNet (ILSVRC 2012), and any other folder in ImageNet's layout."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, final

from annotated_types import Ge

from resnet_ablations.data.fingerprint import fingerprint
from resnet_ablations.data.images import ColourAugmentation, CropAugmentation, ImageFiles
from resnet_ablations.data.listing import Listing, list_images, wrong_classes
from resnet_ablations.data.sources import Folder, Source
from resnet_ablations.errors import UserError

COMPRESSED: Final = (".jpg", ".jpeg", ".png", ".webp")
"""The suffixes of images whose fingerprint is that of a sample of their bytes."""


@final
class ImageNet(Source):
    """Images of any size in `root/{train,val}/WNID/`; classes are numbered by sorted name.

    The class folders are listed once, and their fingerprint is computed once, by an object of this class. `cache` is
    the folder for computed fingerprints; if it is null, each object reads a sample of every image. Each use of an image
    in training decodes it again. Grey and CMYK images become RGB; EXIF data are ignored. `per_channel` normalises by
    the mean and the standard deviation of ImageNet's training images.
    """

    streams = True

    def __init__(
        self,
        *,
        root: Folder,
        cache: Folder | None = None,
        classes: Annotated[int, Ge(2)],
        crop: Annotated[int, Ge(1)],
        augmentation: CropAugmentation,
        colour: ColourAugmentation,
        normalisation: Literal["per_channel"],
    ) -> None:
        self.root = Path(root).expanduser()
        self.cache = None if cache is None else Path(cache).expanduser()
        self.classes = classes
        self.shape = (crop, crop, 3)
        self.augmentation: CropAugmentation = augmentation
        self.colour: ColourAugmentation = colour

    def check(self) -> None:
        self._checked()

    def fingerprint(self) -> str | None:
        """Return a digest of the paths of all images and of a sample of their bytes (`data.fingerprint`)."""
        return self._fingerprint

    def training_images(self) -> int:
        return len(self._listing.train.paths)

    def test_images(self) -> int:
        return len(self._listing.test.paths)

    def prepare(self) -> None:
        self.check()

    def load(self) -> ImageFiles:
        listing = self._checked()
        return ImageFiles(
            train=listing.train.paths,
            train_labels=listing.train.labels,
            test=listing.test.paths,
            test_labels=listing.test.labels,
            root=self.root,
            crop=self.shape[0],
            augmentation=self.augmentation,
            colour=self.colour,
        )

    def _checked(self) -> Listing:
        """Return the images below the root; raise `UserError` if the number of classes is not `classes`."""
        if problems := wrong_classes(self.root, self._listing, self.classes):
            raise UserError(*problems)
        return self._listing

    @cached_property
    def _listing(self) -> Listing:
        return list_images(self.root, "val")

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.root, self._listing.paths, self.cache, sampled=COMPRESSED)
