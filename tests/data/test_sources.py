"""The named data sets: the split of the digits, and downloads that are verified, atomic and done once."""

import gzip
import hashlib
import inspect
import io
import os
import pickle
import struct
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ConfigDict, ValidationError, create_model
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from torchvision import datasets  # type: ignore[import-untyped]

from resnet_ablations.data.generated import Generated
from resnet_ablations.data.image_folder import ImageFolder
from resnet_ablations.data.imagenet import ImageNet
from resnet_ablations.data.sources import Cifar10, Cifar100, Digits, FashionMnist, Source
from resnet_ablations.errors import UserError

DOWNLOADED = [Cifar10, Cifar100, FashionMnist]


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _random_images(count: int, *shape: int, seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def _refuse(*_: Any, **__: Any) -> Any:
    raise urllib.error.URLError("Temporary failure in name resolution")


class _LocalServer:
    """A replacement of `urlopen` that answers each URL with its bytes and counts the answers."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages
        self.sent: list[str] = []

    def __call__(self, request: urllib.request.Request, **_: Any) -> "_Response":
        url = request.full_url
        if url not in self.pages:
            raise urllib.error.URLError(f"no {url}")
        return _Response(url, self)


class _Response(io.BytesIO):
    def __init__(self, url: str, server: _LocalServer) -> None:
        super().__init__(server.pages[url])
        self.url, self.server, self.length = url, server, len(server.pages[url])

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() == 0:
            self.server.sent.append(self.url)
        return super().read(size)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", _refuse)


@pytest.fixture
def cifar10_archive(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return a tiny CIFAR-10 archive with two images per file; torchvision expects its checksums."""
    return _cifar_archive(monkeypatch, datasets.CIFAR10, "labels")


def _cifar_archive(monkeypatch: pytest.MonkeyPatch, dataset: Any, labels_key: str) -> bytes:
    names = [name for name, _ in dataset.train_list + dataset.test_list]
    contents = {
        name: pickle.dumps({"data": _random_images(2, 3072, seed=i), labels_key: [i, (i + 1) % 10]})
        for i, name in enumerate(names)
    }
    contents[dataset.meta["filename"]] = pickle.dumps({dataset.meta["key"]: ["a", "b"]})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{dataset.base_folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for table in ("train_list", "test_list"):
        listed = [[name, _md5(contents[name])] for name, _ in getattr(dataset, table)]
        monkeypatch.setattr(dataset, table, listed)
    md5 = _md5(contents[dataset.meta["filename"]])
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": md5})
    monkeypatch.setattr(dataset, "tgz_md5", _md5(packed.getvalue()))
    return packed.getvalue()


@pytest.fixture
def fashion_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Return a tiny Fashion-MNIST, six training and two test images; torchvision expects its checksums."""
    files = {}
    for seed, (name, _) in enumerate(datasets.FashionMNIST.resources):
        count = 6 if name.startswith("train") else 2
        array = _random_images(count, *((28, 28) if "images" in name else ()), seed=seed)
        header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}i", *array.shape)
        files[name] = gzip.compress(header + array.tobytes())
    resources = [(name, _md5(content)) for name, content in files.items()]
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    return files


def _put_fashion(root: Path, files: dict[str, bytes]) -> Path:
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)
    return raw


def _error(action: Callable[[], Any]) -> str:
    """Return the only message of the `UserError` that the action raises."""
    with pytest.raises(UserError) as caught:
        action()
    (message,) = caught.value.messages
    assert "\n" not in message
    return message


# What every source has in common


@pytest.mark.parametrize("source", [Digits, *DOWNLOADED, ImageFolder, ImageNet, Generated])
def test_parameters_make_a_strict_schema(source: type[Source]) -> None:
    parameters = inspect.signature(source).parameters.values()
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters)
    assert {p.name for p in parameters if p.default is not p.empty} <= {"cache"}, "defaults are in conf/"
    fields: dict[str, Any] = {p.name: (p.annotation, ...) for p in parameters}
    schema = create_model("schema", __config__=ConfigDict(strict=True), **fields)
    for name in fields:
        assert schema.model_fields[name].annotation is not None
    if fields:
        with pytest.raises(ValidationError):
            schema(**dict.fromkeys(fields, ""))


@pytest.mark.parametrize(
    ("source", "shape", "classes", "training", "test"),
    [
        (Digits(), (8, 8, 1), 10, 1437, 360),
        (Cifar10(root="/nowhere"), (32, 32, 3), 10, 50_000, 10_000),
        (Cifar100(root="/nowhere"), (32, 32, 3), 100, 50_000, 10_000),
        (FashionMnist(root="/nowhere"), (28, 28, 1), 10, 60_000, 10_000),
    ],
)
def test_shape_and_classes_are_known_without_data(
    source: Source, shape: tuple[int, int, int], classes: int, training: int, test: int
) -> None:
    assert (source.shape, source.classes) == (shape, classes)
    assert (source.training_images(), source.test_images()) == (training, test)
    assert source.fingerprint() is None


# Digits


def test_digits_split_is_stratified_and_covers_the_data_set_once() -> None:
    images = Digits().load()
    assert images.train.shape == (1437, 8, 8, 1)
    assert images.test.shape == (360, 8, 8, 1)
    assert images.train.dtype == images.test.dtype == np.uint8
    assert images.train_labels.dtype == images.test_labels.dtype == np.int64
    assert np.bincount(images.test_labels).tolist() == [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]
    together = np.concatenate([images.train, images.test])[..., 0]
    labels = np.concatenate([images.train_labels, images.test_labels])
    original = load_digits()
    assert sorted(zip(map(bytes, together), labels, strict=True)) == sorted(
        zip(map(bytes, original.images.astype(np.uint8)), original.target, strict=True)
    )
    assert together.max() == 16


def test_digits_split_is_the_same_for_ever() -> None:
    images = Digits().load()
    parts = (images.train, images.train_labels, images.test, images.test_labels)
    digests = [hashlib.sha256(part.tobytes()).hexdigest()[:16] for part in parts]
    assert digests == ["bf2b3910a03b69f5", "3c8b5992955a308e", "3c05733c55d71010", "89df99af78caf580"]


def test_other_digits_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_digits()
    digits.images[5, 0, 0] += 1
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: digits)
    assert "reinstall scikit-learn" in _error(Digits().load)


# CIFAR


def _put_archive(root: Path, archive: bytes) -> None:
    (root / datasets.CIFAR10.filename).write_bytes(archive)


def _assert_cifar10(root: Path) -> None:
    images = Cifar10(root=str(root)).load()
    assert images.train.shape == (10, 32, 32, 3)
    assert images.test.shape == (2, 32, 32, 3)
    assert images.train_labels.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert images.test_labels.tolist() == [5, 6]
    assert images.test_labels.dtype == np.int64
    planes = _random_images(2, 3072, seed=5).reshape(2, 3, 32, 32)
    np.testing.assert_array_equal(images.test, planes.transpose(0, 2, 3, 1))


def test_cifar10_from_an_archive_put_there_by_hand(tmp_path: Path, cifar10_archive: bytes) -> None:
    _put_archive(tmp_path, cifar10_archive)
    Cifar10(root=str(tmp_path)).prepare()
    _assert_cifar10(tmp_path)
    assert not (tmp_path / ".download-cifar-10-batches-py").exists()


def test_cifar10_from_unpacked_files_alone(tmp_path: Path, cifar10_archive: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(cifar10_archive)) as tar:
        for member in tar:
            tar.extract(member, tmp_path, filter="data")
    _assert_cifar10(tmp_path)


def test_cifar10_is_downloaded_once(tmp_path: Path, cifar10_archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    server = _LocalServer({datasets.CIFAR10.url: cifar10_archive})
    monkeypatch.setattr(urllib.request, "urlopen", server)
    source = Cifar10(root=str(tmp_path / "data"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: source.prepare(), range(2)))
    assert server.sent == [datasets.CIFAR10.url]
    monkeypatch.setattr(urllib.request, "urlopen", _refuse)
    _assert_cifar10(tmp_path / "data")


def test_cifar100_has_the_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _cifar_archive(monkeypatch, datasets.CIFAR100, "fine_labels")
    (tmp_path / datasets.CIFAR100.filename).write_bytes(archive)
    images = Cifar100(root=str(tmp_path)).load()
    assert images.train_labels.tolist() == [0, 1]
    assert images.test_labels.tolist() == [1, 2]


def test_archive_with_a_wrong_checksum(tmp_path: Path, cifar10_archive: bytes) -> None:
    _put_archive(tmp_path, cifar10_archive[:-1])
    message = _error(Cifar10(root=str(tmp_path)).prepare)
    assert f"{tmp_path}/cifar-10-python.tar.gz: wrong checksum" in message
    assert "delete it" in message


def test_unpacked_file_with_a_wrong_checksum(tmp_path: Path, cifar10_archive: bytes) -> None:
    _put_archive(tmp_path, cifar10_archive)
    source = Cifar10(root=str(tmp_path))
    source.prepare()
    damaged = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    for action in (source.prepare, source.load):
        assert f"{damaged}: wrong checksum" in _error(action)
    damaged.unlink()
    _assert_cifar10(tmp_path)


def test_leftovers_of_a_killed_download_do_no_harm(tmp_path: Path, cifar10_archive: bytes) -> None:
    left = tmp_path / ".download-cifar-10-batches-py"
    left.mkdir()
    (left / "cifar-10-python.tar.gz").write_bytes(b"half")
    _put_archive(tmp_path, cifar10_archive)
    _assert_cifar10(tmp_path)
    assert not left.exists()


def test_download_with_a_wrong_checksum_leaves_nothing(
    tmp_path: Path, cifar10_archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", _LocalServer({datasets.CIFAR10.url: cifar10_archive[:-1]}))
    message = _error(Cifar10(root=str(tmp_path)).prepare)
    assert f"{tmp_path}/cifar-10-python.tar.gz" in message
    assert not (tmp_path / "cifar-10-python.tar.gz").exists()


# Fashion-MNIST


def test_fashion_mnist(tmp_path: Path, fashion_files: dict[str, bytes]) -> None:
    raw = _put_fashion(tmp_path, fashion_files)
    (raw / "train-images-idx3-ubyte").write_bytes(b"unpacked and wrong: never read")
    images = FashionMnist(root=str(tmp_path)).load()
    np.testing.assert_array_equal(images.train[..., 0], _random_images(6, 28, 28, seed=0))
    np.testing.assert_array_equal(images.train_labels, _random_images(6, seed=1))
    np.testing.assert_array_equal(images.test[..., 0], _random_images(2, 28, 28, seed=2))
    np.testing.assert_array_equal(images.test_labels, _random_images(2, seed=3))
    assert images.train_labels.dtype == np.int64
    assert images.train.flags.writeable


def test_fashion_mnist_downloads_what_is_missing(
    tmp_path: Path, fashion_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = _put_fashion(tmp_path, fashion_files)
    gone = "t10k-labels-idx1-ubyte.gz"
    (raw / gone).unlink()
    (mirror,) = datasets.FashionMNIST.mirrors
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://dead.invalid/", mirror])
    server = _LocalServer({mirror + name: content for name, content in fashion_files.items()})
    monkeypatch.setattr(urllib.request, "urlopen", server)
    FashionMnist(root=str(tmp_path)).prepare()
    assert server.sent == [mirror + gone]
    assert (raw / gone).read_bytes() == fashion_files[gone]


def test_fashion_mnist_with_a_wrong_checksum(tmp_path: Path, fashion_files: dict[str, bytes]) -> None:
    damaged = _put_fashion(tmp_path, fashion_files) / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(b"not the file")
    for action in (FashionMnist(root=str(tmp_path)).prepare, FashionMnist(root=str(tmp_path)).load):
        assert f"{damaged}: wrong checksum" in _error(action)


# Places that data cannot be had from


@pytest.mark.parametrize(
    ("source", "file", "url"),
    [
        (Cifar10, "cifar-10-python.tar.gz", datasets.CIFAR10.url),
        (Cifar100, "cifar-100-python.tar.gz", datasets.CIFAR100.url),
        (FashionMnist, "FashionMNIST/raw/train-images-idx3-ubyte.gz", datasets.FashionMNIST.mirrors[0]),
    ],
)
def test_no_data_and_no_network(source: Any, file: str, url: str, tmp_path: Path) -> None:
    for action in (source(root=str(tmp_path)).prepare, source(root=str(tmp_path)).load):
        message = _error(action)
        assert str(tmp_path / file) in message
        assert url in message
        assert "name resolution" in message
        assert "data=image_folder" in message


@pytest.mark.parametrize("source", DOWNLOADED)
def test_root_that_does_not_exist(source: Any, tmp_path: Path) -> None:
    for root in ("/nowhere", str(tmp_path / "no" / "where")):
        for action in (source(root=root).check, source(root=root).prepare):
            message = _error(action)
            assert message.startswith(f"data.root={root}: {root} does not exist; create it or point data.root")
    assert not Path("/nowhere").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", DOWNLOADED)
def test_root_may_be_missing_below_an_existing_folder(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source(root="data").check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", DOWNLOADED)
def test_root_that_is_a_file(source: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for action in (source(root=str(file)).check, source(root=str(file)).prepare):
        assert _error(action).startswith(f"data.root={file}: not a folder")


def test_root_that_cannot_be_written(
    tmp_path: Path, fashion_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    source = FashionMnist(root=str(tmp_path))
    assert "cannot be written" in _error(source.check)
    assert "cannot be written" in _error(FashionMnist(root=str(tmp_path / "below")).check)
    _put_fashion(tmp_path, fashion_files)
    source.check()


def test_full_disk(tmp_path: Path, cifar10_archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    _put_archive(tmp_path, cifar10_archive)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    message = _error(Cifar10(root=str(tmp_path)).prepare)
    assert message.startswith(f"data.root={tmp_path}: cannot write there (No space left on device)")
