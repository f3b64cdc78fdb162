"""Data sets: the abstract `Source`, the digits, CIFAR and Fashion-MNIST."""

import gzip
import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, final

import numpy as np
import numpy.typing as npt
from annotated_types import MinLen
from pydantic import AfterValidator

from resnet_ablations.data.downloads import check_root, fetch, missing, staging, unpack
from resnet_ablations.data.images import ImageFiles, Images
from resnet_ablations.data.layouts import hint_for_downloads
from resnet_ablations.errors import UserError
from resnet_ablations.paths import with_home

Folder = Annotated[str, MinLen(1), AfterValidator(with_home)]
"""The path of a folder; `~` is the home folder, a relative path starts at the current folder."""


class Source(ABC):
    """A data set. The constructor reads nothing; every method raises `UserError` for a problem that a user can fix."""

    shape: tuple[int, int, int]
    """The height, width and channels of a network's input."""
    classes: int
    streams: bool = False
    """True if training decodes images each time it uses them, so that they are not all in memory."""

    @abstractmethod
    def check(self) -> None:
        """Raise `UserError` if the data are not available. Fast: downloads nothing, decodes nothing, writes nothing."""

    @abstractmethod
    def fingerprint(self) -> str | None:
        """Return the data's digest for a run's key; None if the data set's name and checksums identify the data."""

    @abstractmethod
    def training_images(self) -> int:
        """Return the number of training images. Fast: the check of `held_out` calls it before anything starts."""

    @abstractmethod
    def test_images(self) -> int:
        """Return the number of test images. Fast, like `training_images`."""

    @abstractmethod
    def prepare(self) -> None:
        """Download or decode the missing data, and verify them. Several processes may call this at once."""

    @abstractmethod
    def load(self) -> Images | ImageFiles:
        """Return all images; call `prepare` first if needed. After `prepare`, fast and without network access."""


@final
class Digits(Source):
    """scikit-learn's 1,797 handwritten digits: 8×8, grey values 0 … 16 unchanged, no download.

    The split is a rule without randomness: sort the images by class (stable); every fifth image, starting with the
    first, is a test image. This gives 360 test images, 35 to 37 of each class, and 1,437 training images. Both parts
    keep the data set's order. Each writer has digits in both parts.
    """

    shape = (8, 8, 1)
    classes = 10
    _SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"

    def __init__(self) -> None:
        pass

    def check(self) -> None:
        pass

    def fingerprint(self) -> str | None:
        return None

    def training_images(self) -> int:
        return 1437

    def test_images(self) -> int:
        return 360

    def prepare(self) -> None:
        self.load()

    def load(self) -> Images:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = digits.images.astype(np.uint8)[..., None]
        labels = digits.target.astype(np.int64)
        if hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest() != self._SHA256:
            raise UserError(
                "data=digits: the images of the installed scikit-learn are not the known 1,797 digits; "
                "reinstall scikit-learn"
            )
        is_test = np.zeros(len(labels), bool)
        is_test[np.argsort(labels, kind="stable")[::5]] = True
        return Images(images[~is_test], labels[~is_test], images[is_test], labels[is_test])


@final
class Cifar10(Source):
    """CIFAR-10: 50,000 training and 10,000 test images, 32×32 RGB, ten classes; a download of 170 MB into `root`."""

    shape = (32, 32, 3)
    classes = 10

    def __init__(self, *, root: Folder) -> None:
        self.root = Path(root).expanduser()

    def check(self) -> None:
        _check_not_inside(self.root, "cifar-10-batches-py")
        check_root(self.root, lambda: _cifar_files(self.root, _torchvision().CIFAR10))

    def fingerprint(self) -> str | None:
        return None

    def training_images(self) -> int:
        return 50_000

    def test_images(self) -> int:
        return 10_000

    def prepare(self) -> None:
        _prepare_cifar(self.root, _torchvision().CIFAR10)

    def load(self) -> Images:
        return _load_cifar(self.root, _torchvision().CIFAR10)


@final
class Cifar100(Source):
    """CIFAR-100: 50,000 training and 10,000 test images, 32×32 RGB, the 100 fine classes; a download of 170 MB."""

    shape = (32, 32, 3)
    classes = 100

    def __init__(self, *, root: Folder) -> None:
        self.root = Path(root).expanduser()

    def check(self) -> None:
        _check_not_inside(self.root, "cifar-100-python")
        check_root(self.root, lambda: _cifar_files(self.root, _torchvision().CIFAR100))

    def fingerprint(self) -> str | None:
        return None

    def training_images(self) -> int:
        return 50_000

    def test_images(self) -> int:
        return 10_000

    def prepare(self) -> None:
        _prepare_cifar(self.root, _torchvision().CIFAR100)

    def load(self) -> Images:
        return _load_cifar(self.root, _torchvision().CIFAR100)


@final
class FashionMnist(Source):
    """Fashion-MNIST: 60,000 training and 10,000 test images, 28×28 grey, ten classes; a download of 30 MB.

    The files have torchvision's paths, `root/FashionMNIST/raw/*.gz`. The compressed files are read, because torchvision
    has checksums only for them, not for the unpacked files.
    """

    shape = (28, 28, 1)
    classes = 10

    def __init__(self, *, root: Folder) -> None:
        self.root = Path(root).expanduser()

    def check(self) -> None:
        _check_not_inside(self.root, "FashionMNIST")
        check_root(self.root, self._files)

    def fingerprint(self) -> str | None:
        return None

    def training_images(self) -> int:
        return 60_000

    def test_images(self) -> int:
        return 10_000

    def prepare(self) -> None:
        self.check()
        files = self._files()
        if not missing(files):
            return
        with staging(self.root, "fashion-mnist") as folder:
            for path, md5 in files.items():
                fetch(path, md5, [mirror + path.name for mirror in _torchvision().FashionMNIST.mirrors], folder)

    def load(self) -> Images:
        self.prepare()
        train, train_labels, test, test_labels = map(_read_idx, self._files())
        return Images(train[..., None], train_labels.astype(np.int64), test[..., None], test_labels.astype(np.int64))

    def _files(self) -> dict[Path, str]:
        """Return the four files with their MD5: training images and labels, test images and labels."""
        raw = self.root / "FashionMNIST" / "raw"
        return {raw / name: md5 for name, md5 in _torchvision().FashionMNIST.resources}


def _check_not_inside(root: Path, base: str) -> None:
    """Raise `UserError` if `root` is the unpacked data set, into which it would be downloaded again."""
    if what := hint_for_downloads(root, base):
        raise UserError(f"data.root={root}: {what}")


def _torchvision() -> Any:
    """Return the module `torchvision.datasets`. Imported only where needed, because the import takes a second."""
    from torchvision import datasets

    return datasets


def _cifar_files(root: Path, dataset: Any) -> dict[Path, str]:
    """Return the unpacked files of a CIFAR data set with their MD5."""
    listed = [*dataset.train_list, *dataset.test_list, (dataset.meta["filename"], dataset.meta["md5"])]
    return {root / dataset.base_folder / name: md5 for name, md5 in listed}


def _prepare_cifar(root: Path, dataset: Any) -> None:
    files = _cifar_files(root, dataset)
    check_root(root, lambda: files)
    if not missing(files):
        return
    with staging(root, dataset.base_folder) as folder:
        if missing(files):
            archive = root / dataset.filename
            fetch(archive, dataset.tgz_md5, [dataset.url], folder)
            unpack(archive, root, files, folder)


def _load_cifar(root: Path, dataset: Any) -> Images:
    _prepare_cifar(root, dataset)
    train, test = dataset(root, train=True), dataset(root, train=False)
    return Images(
        np.ascontiguousarray(train.data),
        np.asarray(train.targets, np.int64),
        np.ascontiguousarray(test.data),
        np.asarray(test.targets, np.int64),
    )


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Return the uint8 array in a gzipped IDX file: two zero bytes, type, rank, big-endian sizes, data."""
    data = gzip.decompress(path.read_bytes())
    rank = data[3]
    sizes = np.frombuffer(data, ">i4", rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(sizes).copy()
