"""Where images come from: the abstract `Source`, and the data sets with a name."""

import gzip
import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, final

import numpy as np
import numpy.typing as npt
from annotated_types import MinLen

from resnet_ablations.data.downloads import check_root, fetch, missing, staging, unpack
from resnet_ablations.data.images import ImageFiles, Images
from resnet_ablations.errors import UserError

Folder = Annotated[str, MinLen(1)]
"""A path of a folder; `~` is the home folder, a relative path starts at the current one."""


class Source(ABC):
    """Where images come from. Making one reads nothing; every method raises `UserError` for what a user can mend."""

    shape: tuple[int, int, int]
    """Height, width and channels of every input of a network."""
    classes: int

    @abstractmethod
    def check(self) -> None:
        """Raise `UserError` if the data cannot be had; quick, downloads and decodes nothing, writes nothing."""

    @abstractmethod
    def fingerprint(self) -> str | None:
        """What of the data enters a run's key: None where a name and a checksum fix the data set."""

    @abstractmethod
    def training_images(self) -> int:
        """How many images there are to train on; quick, for `held_out` is checked by it before anything starts."""

    @abstractmethod
    def test_images(self) -> int:
        """How many images there are to test on; as quick."""

    @abstractmethod
    def prepare(self) -> None:
        """Download or decode what is not there yet, and verify it; several processes may call this at once."""

    @abstractmethod
    def load(self) -> Images | ImageFiles:
        """All images; after `prepare` quick and without network, otherwise it prepares first."""


@final
class Digits(Source):
    """scikit-learn's 1,797 handwritten digits, 8×8, grey values 0 … 16 as they are; nothing is downloaded.

    The split is a rule, not a draw: with the images sorted by class (in the data set's order within a class), every
    fifth, from the first on, is a test image: 360, 35 to 37 of each class; the other 1,437 are for training. Both
    parts keep the data set's order. Each writer is on both sides.
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
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]

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
    """CIFAR-10: 50,000 training and 10,000 test images, 32×32 RGB, ten classes; downloaded into `root` (170 MB)."""

    shape = (32, 32, 3)
    classes = 10

    def __init__(self, *, root: Folder) -> None:
        self.root = Path(root).expanduser()

    def check(self) -> None:
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
    """CIFAR-100: 50,000 training and 10,000 test images, 32×32 RGB, the 100 fine classes; downloaded (170 MB)."""

    shape = (32, 32, 3)
    classes = 100

    def __init__(self, *, root: Folder) -> None:
        self.root = Path(root).expanduser()

    def check(self) -> None:
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
    """Fashion-MNIST: 60,000 training and 10,000 test images, 28×28 grey, ten classes; downloaded (30 MB).

    The files lie where torchvision puts them, `root/FashionMNIST/raw/*.gz`. They are read compressed, since
    torchvision has checksums for these and none for what it unpacks.
    """

    shape = (28, 28, 1)
    classes = 10

    def __init__(self, *, root: Folder) -> None:
        self.root = Path(root).expanduser()

    def check(self) -> None:
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
        """The four files with their MD5: training images and labels, test images and labels."""
        raw = self.root / "FashionMNIST" / "raw"
        return {raw / name: md5 for name, md5 in _torchvision().FashionMNIST.resources}


def _torchvision() -> Any:
    """The data sets of torchvision, imported only where needed: that takes a second."""
    from torchvision import datasets  # type: ignore[import-untyped]

    return datasets


def _cifar_files(root: Path, dataset: Any) -> dict[Path, str]:
    """The unpacked files with their MD5."""
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
    """The unsigned bytes of a gzipped IDX file: two zero bytes, type, rank, big-endian sizes, data."""
    data = gzip.decompress(path.read_bytes())
    rank = data[3]
    sizes = np.frombuffer(data, ">i4", rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(sizes).copy()
