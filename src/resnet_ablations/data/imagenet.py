"""The data set ImageNet (ILSVRC 2012), and any other folder in ImageNet's layout."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, final

from annotated_types import Ge

from resnet_ablations.data.images import ColourAugmentation, CropAugmentation, ImageFiles
from resnet_ablations.data.listing import Listing, list_images, wrong_classes
from resnet_ablations.data.sources import Folder, Source
from resnet_ablations.errors import UserError


@final
class ImageNet(Source):
    """Images of any size in `root/{train,val}/WNID/*.{JPEG,jpg,png}`; classes are numbered by sorted name.

    Each use of an image in training decodes it again. Grey and CMYK images become RGB; EXIF data are ignored.
    `per_channel` normalises by the mean and the standard deviation of ImageNet's training images.
    """

    def __init__(
        self,
        *,
        root: Folder,
        classes: Annotated[int, Ge(2)],
        crop: Annotated[int, Ge(1)],
        augmentation: CropAugmentation,
        colour: ColourAugmentation,
        normalisation: Literal["per_channel"],
    ) -> None:
        self.root = Path(root).expanduser()
        self.classes = classes
        self.shape = (crop, crop, 3)
        self.augmentation: CropAugmentation = augmentation
        self.colour: ColourAugmentation = colour

    def check(self) -> None:
        self._listing()

    def fingerprint(self) -> str | None:
        """Return a digest of the relative paths of all images."""
        listing = self._listing()
        paths = "\0".join([*listing.train.paths.tolist(), *listing.test.paths.tolist()])
        return hashlib.sha256(paths.encode(errors="surrogateescape")).hexdigest()[:16]

    def training_images(self) -> int:
        return len(self._listing().train.paths)

    def test_images(self) -> int:
        return len(self._listing().test.paths)

    def prepare(self) -> None:
        self.check()

    def load(self) -> ImageFiles:
        listing = self._listing()
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

    def _listing(self) -> Listing:
        """Return the images below the root; raise `UserError` if the number of classes is not `classes`."""
        listing = _listed(self.root.absolute())
        if problems := wrong_classes(self.root, listing, self.classes):
            raise UserError(*problems)
        return listing


@lru_cache(maxsize=1)
def _listed(root: Path) -> Listing:
    """Return the images below the root. Cached, because listing takes seconds."""
    return list_images(root, "val")
