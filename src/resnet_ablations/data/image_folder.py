"""The data set of a folder of equal-sized images, `root/{train,test}/CLASS/*.{png,jpg,jpeg}`."""

import functools
import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal, final

import numpy.typing as npt
from annotated_types import Ge
from filelock import FileLock

from resnet_ablations.data.array_file import read_arrays, write_arrays
from resnet_ablations.data.decoding import decode, image_size
from resnet_ablations.data.images import Images
from resnet_ablations.data.listing import Listing, list_images, wrong_classes
from resnet_ablations.data.sources import Folder, Source
from resnet_ablations.errors import UserError

DECODING: Final = 1
"""The version of the decoding; a new version does not use caches of an older one."""


@final
class ImageFolder(Source):
    """Equal-sized images in `root/{train,test}/CLASS/*.{png,jpg,jpeg}`; classes are numbered by sorted name.

    The images are decoded once into a cache file in `cache`. Its name is a digest of `shape` and of the relative paths,
    sizes and modification times of all files. Cache files with other digests stay; every cache file may be deleted.
    Grey images become RGB if `shape` has three channels; colour images become grey if it has one.
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
        file = self._cache_file(self._listing())
        if not _writable(self.cache) and read_arrays(file) is None:
            raise UserError(
                f"data.cache={self.cache}: cannot be written; make it writable or point data.cache at another folder"
            )

    def fingerprint(self) -> str | None:
        """Return a digest of the relative paths and sizes of all images; a copy of the folder has the same digest.

        Cached: a process computes the digest of a root once.
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
                    arrays = read_arrays(file)  # another process may have written the file while this one waited
                    if arrays is None:
                        arrays = self._decode(listing)
                        write_arrays(file, arrays)
            except (OSError, NotImplementedError) as error:  # NotImplementedError: a file system without locks
                reason = getattr(error, "strerror", None) or str(error)
                raise UserError(
                    f"data.cache={self.cache}: cannot be written ({reason}); "
                    "make room or make it writable, or point data.cache at another folder"
                ) from None
        return Images(**arrays)

    def training_images(self) -> int:
        return len(self._listing().train.paths)

    def test_images(self) -> int:
        return len(self._listing().test.paths)

    def _listing(self) -> Listing:
        """Return the images below the root; raise `UserError` if they do not fit `classes` or `shape`.

        Only the size of the first image is compared with `shape`.
        """
        listing = list_images(self.root)
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

    def _cache_file(self, listing: Listing) -> Path:
        digest = hashlib.sha256(repr((DECODING, self.shape)).encode())
        for path, size, modified in _stamps(self.root, listing):
            digest.update(f"{path}\0{size}\0{modified}\0".encode(errors="surrogateescape"))
        return self.cache / f"{digest.hexdigest()[:32]}.npz"

    def _decode(self, listing: Listing) -> dict[str, npt.NDArray[Any]]:
        train, test = listing.train, listing.test
        pixels = decode(self.root, [*train.paths.tolist(), *test.paths.tolist()], self.shape)
        split = len(train.paths)
        return {
            "train": pixels[:split],
            "train_labels": train.labels,
            "test": pixels[split:],
            "test_labels": test.labels,
        }


@functools.cache
def _fingerprint(root: Path) -> str:
    digest = hashlib.sha256()
    for path, size, _ in _stamps(root, list_images(root)):
        digest.update(f"{path}\0{size}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _stamps(root: Path, listing: Listing) -> list[tuple[str, int, int]]:
    """Return each image's path below the root, its size in bytes and its modification time in ns.

    Raise `UserError` with up to five files that cannot be read.
    """
    stamps: list[tuple[str, int, int]] = []
    problems: list[str] = []
    for path in [*listing.train.paths.tolist(), *listing.test.paths.tolist()]:
        try:
            status = (root / path).stat()
        except OSError as error:
            problems.append(f"{error.filename}: cannot be read ({error.strerror}); repair or remove it")
        else:
            stamps.append((path, status.st_size, status.st_mtime_ns))
    if problems:
        raise UserError(*problems[:5])
    return stamps


def _writable(folder: Path) -> bool:
    """Return whether files can be created in the folder, or the folder itself with its missing parents."""
    folder = folder.absolute()
    existing = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    return os.access(existing, os.W_OK | os.X_OK) and existing.is_dir()
