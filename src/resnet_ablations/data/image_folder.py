"""A folder of image files, `root/{train,test}/CLASS/*.{png,jpg,jpeg}`, as a source."""

import functools
import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal, final

import numpy as np
import numpy.typing as npt
from annotated_types import Ge
from filelock import FileLock

from resnet_ablations.data.array_file import read_arrays, write_arrays
from resnet_ablations.data.decoding import decode, image_size
from resnet_ablations.data.listing import Listing, list_images
from resnet_ablations.data.sources import Folder, Images, Source
from resnet_ablations.errors import UserError

DECODING: Final = 1
"""The version of the decoding: with a new one, caches made before are not used."""


@final
class ImageFolder(Source):
    """Equal-sized images in `root/{train,test}/CLASS/*.{png,jpg,jpeg}`; classes are numbered by sorted name.

    They are decoded once into a file in `cache`, named by a digest of what it was made from: the relative paths, sizes
    and times of change of all files, and `shape`. Files of other digests stay; any of them may be deleted. Grey
    images become RGB where `shape` says three channels, colour images grey where it says one.
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
        listing = self._listing()
        if not _writable(self.cache) and read_arrays(self._cache_file(listing)) is None:
            raise UserError(
                f"data.cache={self.cache}: cannot be written; make it writable or point data.cache at a folder that is"
            )

    def fingerprint(self) -> str | None:
        """Digest of the relative paths and sizes of all images, so that a copy elsewhere has the same.

        Taken once in a process for each root.
        """
        return _fingerprint(self.root.absolute())

    def prepare(self) -> None:
        self.load()

    def load(self) -> Images:
        listing = self._listing()
        file = self._cache_file(listing)
        arrays = read_arrays(file)
        if arrays is None:
            try:
                self.cache.mkdir(parents=True, exist_ok=True)
                with FileLock(file.with_suffix(".lock")):
                    arrays = read_arrays(file)  # perhaps another process was quicker
                    if arrays is None:
                        arrays = self._decode(listing)
                        write_arrays(file, arrays)
            except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
                reason = getattr(error, "strerror", None) or str(error)
                raise UserError(
                    f"data.cache={self.cache}: cannot be written ({reason}); "
                    "make room or make it writable, or point data.cache at another folder"
                ) from None
        return Images(**arrays)

    def _listing(self) -> Listing:
        """What there is; raise `UserError` if `classes` or, by the first image, `shape` says otherwise."""
        listing = list_images(self.root)
        problems = []
        if len(listing.classes) != self.classes:
            names = ", ".join(listing.classes[:5]) + (", …" if len(listing.classes) > 5 else "")
            problems.append(
                f"data.classes={self.classes}: {self.root}/train has {len(listing.classes)} class folders "
                f"({names}); set data.classes={len(listing.classes)}"
            )
        first = self.root / listing.train[0].path
        try:
            height, width = image_size(first)
        except UserError as error:
            problems += error.messages
        else:
            if (height, width) != self.shape[:2]:
                problems.append(
                    f"data.shape={list(self.shape)}: {first} is {height}×{width} (height×width); "
                    f"set data.shape=[{height},{width},{self.shape[2]}] if the others are too, else resize or remove it"
                )
        if problems:
            raise UserError(*problems)
        return listing

    def _cache_file(self, listing: Listing) -> Path:
        digest = hashlib.sha256(repr((DECODING, self.shape)).encode())
        for path, size, modified, _ in listing.train + listing.test:
            digest.update(f"{path}\0{size}\0{modified}\0".encode(errors="surrogateescape"))
        return self.cache / f"{digest.hexdigest()[:32]}.npz"

    def _decode(self, listing: Listing) -> dict[str, npt.NDArray[Any]]:
        files = listing.train + listing.test
        pixels = decode(self.root, [file.path for file in files], self.shape)
        labels = np.array([file.label for file in files], np.int64)
        split = len(listing.train)
        return {
            "train": pixels[:split],
            "train_labels": labels[:split],
            "test": pixels[split:],
            "test_labels": labels[split:],
        }


@functools.cache
def _fingerprint(root: Path) -> str:
    listing = list_images(root)
    digest = hashlib.sha256()
    for path, size, _, _ in listing.train + listing.test:
        digest.update(f"{path}\0{size}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _writable(folder: Path) -> bool:
    """Whether files can be made in the folder, or it and its missing parents can be made."""
    folder = folder.absolute()
    existing = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    return os.access(existing, os.W_OK | os.X_OK) and existing.is_dir()
