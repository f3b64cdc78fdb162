"""The data set of a folder of equal-sized images, `root/{train,test}/CLASS/`."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, final

import numpy.typing as npt
from annotated_types import Ge

from resnet_ablations.data.array_file import read_arrays, write_arrays
from resnet_ablations.data.decoding import decode, image_size
from resnet_ablations.data.fingerprint import changed_while_read, fingerprint
from resnet_ablations.data.images import Images
from resnet_ablations.data.listing import Listing, list_images, wrong_classes
from resnet_ablations.data.progress import shared_work
from resnet_ablations.data.room import check_memory, check_room
from resnet_ablations.data.sources import Folder, Source
from resnet_ablations.errors import UserError, reason_of

DECODING: Final = 2
"""The version of the decoding; a new version does not use caches of an older one."""


@final
class ImageFolder(Source):
    """Equal-sized images in `root/{train,test}/CLASS/`; classes are numbered by sorted name.

    The images are decoded once into a cache file in `cache`. Its name is a digest of `shape` and of the fingerprint of
    the images, so that it holds the pixels of these files and of no others. Cache files of other images stay; every
    cache file may be deleted. The class folders are listed once, and their fingerprint is computed once, by an object
    of this class. Grey images become RGB if `shape` has three channels; colour images become grey if it has one.
    """

    def __init__(
        self,
        *,
        root: Folder,
        cache: Folder,
        classes: Annotated[int, Ge(2)],
        shape: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)], Literal[1, 3]],
    ) -> None:
        self.root = Path(root).expanduser()
        self.cache = Path(cache).expanduser()
        self.classes = classes
        height, width, channels = shape
        self.shape = (height, width, channels)

    def check(self) -> None:
        self._checked()
        if not _writable(self.cache) and read_arrays(self._cache_file) is None:
            raise UserError(
                f"data.cache={self.cache}: cannot be written; make it writable or point data.cache at another folder"
            )

    def fingerprint(self) -> str | None:
        """Return a digest of the paths and the content of all images; a copy of the folder has the same digest."""
        return self._fingerprint

    def prepare(self) -> None:
        self.load()

    def load(self) -> Images:
        listing = self._checked()
        file = self._cache_file
        check_memory(self.root, (len(listing.paths), *self.shape))
        arrays = read_arrays(file)
        if arrays is None:
            try:
                self.cache.mkdir(parents=True, exist_ok=True)
                with shared_work(file.with_suffix(".lock"), f"decoding {self.root}"):
                    arrays = read_arrays(file)  # another process may have written the file while this one waited
                    if arrays is None:
                        arrays = self._decode(listing)
                        write_arrays(file, arrays)
            except (OSError, NotImplementedError) as error:  # NotImplementedError: a file system without locks
                raise UserError(
                    f"data.cache={self.cache}: cannot be written ({reason_of(error)}); "
                    "make room or make it writable, or point data.cache at another folder"
                ) from None
        return Images(**arrays)

    def training_images(self) -> int:
        return len(self._listing.train.paths)

    def test_images(self) -> int:
        return len(self._listing.test.paths)

    def _checked(self) -> Listing:
        """Return the images below the root; raise `UserError` if they do not fit `classes` or `shape`.

        Only the size of the first image is compared with `shape`.
        """
        listing = self._listing
        problems = wrong_classes(self.root, listing, self.classes)
        first = self.root / str(listing.train.paths[0])
        try:
            height, width = image_size(first)
        except UserError as error:
            problems += error.messages
        else:
            if (height, width) != self.shape[:2]:
                problems.append(
                    f"data.shape={list(self.shape)}: {first} is {height}×{width} (height×width); "
                    f"set data.shape=[{height},{width},{self.shape[2]}] if all images have this size, "
                    "else resize or remove the image"
                )
        if problems:
            raise UserError(*problems)
        return listing

    @cached_property
    def _listing(self) -> Listing:
        return list_images(self.root)

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.root, self._listing.paths, self.cache)

    @property
    def _cache_file(self) -> Path:
        digest = hashlib.sha256(repr((DECODING, self.shape, self._fingerprint)).encode())
        return self.cache / f"{digest.hexdigest()[:32]}.npz"

    def _decode(self, listing: Listing) -> dict[str, npt.NDArray[Any]]:
        """Return the decoded images; raise `UserError` if the files changed after their fingerprint was computed."""
        train, test = listing.train, listing.test
        check_room(self.cache, (len(listing.paths), *self.shape))
        pixels = decode(self.root, listing.paths, self.shape)
        if fingerprint(self.root, listing.paths, self.cache) != self._fingerprint:
            raise changed_while_read(self.root)
        split = len(train.paths)
        return {
            "train": pixels[:split],
            "train_labels": train.labels,
            "test": pixels[split:],
            "test_labels": test.labels,
        }


def _writable(folder: Path) -> bool:
    """Return whether files can be created in the folder, or the folder itself with its missing parents."""
    folder = folder.absolute()
    existing = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    return os.access(existing, os.W_OK | os.X_OK) and existing.is_dir()
