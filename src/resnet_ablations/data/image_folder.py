"""A folder of image files, `root/{train,test}/CLASS/*.{png,jpg,jpeg}`, as a source."""

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
        file = self._cache_file(self._listing())
        if not _writable(self.cache) and read_arrays(file) is None:
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

    def training_images(self) -> int:
        return len(self._listing().train.paths)

    def test_images(self) -> int:
        return len(self._listing().test.paths)

    def _listing(self) -> Listing:
        """What there is; raise `UserError` if `classes` or, by the first image, `shape` says otherwise."""
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
                    f"set data.shape=[{height},{width},{self.shape[2]}] if the others are too, else resize or remove it"
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
    """Path below the root, size in bytes and time of change in ns of each image; raise `UserError` if it has none."""
    stamps: list[tuple[str, int, int]] = []
    problems: list[str] = []
    for path in [*listing.train.paths.tolist(), *listing.test.paths.tolist()]:
        try:
            status = (root / path).stat()
        except OSError as error:
            problems.append(f"{error.filename}: cannot be read ({error.strerror}); mend or remove it")
        else:
            stamps.append((path, status.st_size, status.st_mtime_ns))
    if problems:
        raise UserError(*problems[:5])
    return stamps


def _writable(folder: Path) -> bool:
    """Whether files can be made in the folder, or it and its missing parents can be made."""
    folder = folder.absolute()
    existing = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    return os.access(existing, os.W_OK | os.X_OK) and existing.is_dir()
