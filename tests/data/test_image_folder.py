"""Folders of image files: what is decoded, when it is decoded again, and errors in a folder."""

import os
import shutil
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from filelock import FileLock
from PIL import Image

from resnet_ablations.data import decoding, image_folder, progress, room
from resnet_ablations.data.array_file import read_arrays, write_arrays
from resnet_ablations.data.image_folder import ImageFolder
from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError

CLASSES = ("cat", "dog", "frog")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return three classes of 6×5 RGB images, three per class for training and two for testing, PNG and JPEG."""
    rng = np.random.default_rng(0)
    for split, names in (("train", ("1.png", "2.JPG", "10.jpeg")), ("test", ("a.png", "b.PNG"))):
        for class_name in CLASSES:
            for name in names:
                _save(tmp_path / "images" / split / class_name / name, rng.integers(0, 256, (6, 5, 3), np.uint8))
    return tmp_path / "images"


def _save(path: Path, pixels: npt.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _source(root: Path, **changes: Any) -> ImageFolder:
    return ImageFolder(**{"root": str(root), "cache": f"{root}/../cache", "classes": 3, "shape": (6, 5, 3), **changes})


def _errors(action: Callable[[], Any]) -> list[str]:
    with pytest.raises(UserError) as caught:
        action()
    assert all("\n" not in message for message in caught.value.messages)
    return list(caught.value.messages)


def _error(action: Callable[[], Any]) -> str:
    (message,) = _errors(action)
    return message


def _cache_file(root: Path) -> Path:
    (file,) = (root.parent / "cache").glob("*.npz")
    return file


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images that each call of `decode` decoded."""
    calls: list[int] = []

    def counted(root: Path, paths: list[str], shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        calls.append(len(paths))
        return decoding.decode(root, paths, shape)

    monkeypatch.setattr(image_folder, "decode", counted)
    return calls


# What is decoded


def test_images_are_what_pil_decodes_in_sorted_order(root: Path) -> None:
    images = _source(root).load()
    for split, names in (("train", ("1.png", "10.jpeg", "2.JPG")), ("test", ("a.png", "b.PNG"))):
        expected = [np.asarray(Image.open(root / split / c / name)) for c in CLASSES for name in names]
        np.testing.assert_array_equal(getattr(images, split), expected)
    assert images.train_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert (_source(root).training_images(), _source(root).test_images()) == (9, 6)
    assert images.test_labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert images.train.dtype == np.uint8
    assert images.train_labels.dtype == np.int64


def test_hidden_and_other_files_are_ignored(root: Path) -> None:
    before = _source(root).load()
    for name in ("cat/.1.png", "cat/notes.txt", "README.png", ".git/x.png"):
        path = root / "train" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("no image")
    after = _source(root).load()
    np.testing.assert_array_equal(after.train, before.train)


def test_more_images_than_a_chunk_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 2)
    for index in range(9):
        _save(tmp_path / f"{index}.png", np.full((2, 2), index, np.uint8))
    pixels = decoding.decode(tmp_path, [f"{index}.png" for index in range(9)], (2, 2, 1))
    assert pixels[:, 1, 1, 0].tolist() == list(range(9))


def test_colour_becomes_grey_and_grey_becomes_colour(root: Path) -> None:
    grey = np.arange(30, dtype=np.uint8).reshape(6, 5)
    _save(root / "train/cat/1.png", grey)
    as_rgb = _source(root).load()
    np.testing.assert_array_equal(as_rgb.train[0], np.stack([grey] * 3, axis=-1))
    as_grey = _source(root, shape=(6, 5, 1)).load()
    assert as_grey.train.shape == (9, 6, 5, 1)
    np.testing.assert_array_equal(as_grey.train[0, ..., 0], grey)
    with Image.open(root / "test/dog/a.png") as image:
        np.testing.assert_array_equal(as_grey.test[2, ..., 0], np.asarray(image.convert("L")))


# When it is decoded


def test_decoded_once(root: Path, decoded: list[int]) -> None:
    _source(root).prepare()
    first = _source(root).load()
    second = _source(root).load()
    assert decoded == [15]
    np.testing.assert_array_equal(first.train, second.train)


def test_changed_file_is_decoded_again(root: Path, decoded: list[int]) -> None:
    """Also if its size and its times are those of before; another time alone changes nothing."""
    file = root / "train/cat/1.png"
    Image.fromarray(np.full((6, 5, 3), 9, np.uint8)).save(file, compress_level=0)
    _source(root).prepare()
    before = file.stat()
    os.utime(file, ns=(0, before.st_mtime_ns + 1))
    _source(root).prepare()
    assert len(decoded) == 1
    Image.fromarray(np.full((6, 5, 3), 7, np.uint8)).save(file, compress_level=0)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert (_source(root).load().train[0] == 7).all()
    assert len(decoded) == 2


def test_images_that_change_while_they_are_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def while_copying(*arguments: Any) -> npt.NDArray[np.uint8]:
        _save(root / "train/cat/1.png", np.full((6, 5, 3), 7, np.uint8))
        return decoding.decode(*arguments)

    monkeypatch.setattr(image_folder, "decode", while_copying)
    assert "images changed while they were read" in _error(_source(root).prepare)
    assert not list((root.parent / "cache").glob("*.npz"))


def test_other_shape_is_another_cache(root: Path, decoded: list[int]) -> None:
    for channels in (3, 1, 3):
        assert _source(root, shape=(6, 5, channels)).load().train.shape[3] == channels
    assert len(decoded) == 2


def _truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip_pixel(content: bytes) -> bytes:
    at = len(content) // 3
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("damage", [_truncate, _flip_pixel, lambda _: b"", lambda _: b"not an npz"])
def test_damaged_cache_is_made_again(root: Path, decoded: list[int], damage: Callable[[bytes], bytes]) -> None:
    whole = _source(root).load()
    file = _cache_file(root)
    file.write_bytes(damage(file.read_bytes()))
    again = _source(root).load()
    np.testing.assert_array_equal(again.train, whole.train)
    np.testing.assert_array_equal(again.test_labels, whole.test_labels)
    _source(root).load()
    assert len(decoded) == 2


def test_array_that_a_damaged_header_makes_shorter(tmp_path: Path) -> None:
    file = tmp_path / "arrays.npz"
    write_arrays(file, {"train": np.zeros((200, 500), np.uint8)})
    assert read_arrays(file) is not None
    content = file.read_bytes()
    assert b"(200, 500)" in content
    file.write_bytes(content.replace(b"(200, 500)", b"(100, 500)"))
    assert read_arrays(file) is None


def test_writing_that_breaks_off_leaves_no_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            _source(root).prepare()
    assert not list((root.parent / "cache").glob("*.npz"))
    assert _source(root).load().train.shape == (9, 6, 5, 3)
    assert zipfile.is_zipfile(_cache_file(root))
    assert not list((root.parent / "cache").glob("*.tmp"))


PREPARE_SLOWLY = """
import sys, time
from pathlib import Path
from resnet_ablations.data import decoding, image_folder, progress, room
root, here, me, other = sys.argv[1:]
def slowly(*arguments):
    print("decoded")
    time.sleep(0.5)
    return decoding.decode(*arguments)
image_folder.decode = slowly
Path(here, me).touch()
while not Path(here, other).exists():
    time.sleep(0.005)
source = image_folder.ImageFolder(root=root, cache=here + "/cache", classes=3, shape=(6, 5, 3))
source.prepare()
print(source.load().train.shape[0], "images")
"""


def test_two_processes_at_once_decode_once(root: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE_SLOWLY, str(root), str(tmp_path), *names],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for names in (("one", "two"), ("two", "one"))
    ]
    outputs = [process.communicate(timeout=60)[0].split("\n") for process in processes]
    assert sorted(map(len, outputs)) == [2, 3]
    assert sum(output.count("decoded") for output in outputs) == 1
    assert all("9 images" in output for output in outputs)


def test_a_wait_for_another_process_is_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lasts as long as the other process decodes."""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.1)
    source, held = _source(root), threading.Event()
    source.cache.mkdir(parents=True)
    lock = source._cache_file.with_suffix(".lock")

    def hold() -> None:
        with FileLock(lock):
            held.set()
            time.sleep(0.5)

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    source.prepare()
    other.join()
    assert capsys.readouterr().err == f"waiting for another process, which is decoding {root} (it holds {lock})\n"


def test_a_long_decoding_says_how_far_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _source(root).prepare()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(decoding, "ProgressLines", partial(ProgressLines, quiet_seconds=-1.0))
    _source(root, shape=(6, 5, 1)).prepare()
    assert capsys.readouterr().err == f"decoding {root}: 15 of 15 images\n"


# The fingerprint


def test_fingerprint_is_that_of_the_paths_and_the_content(root: Path, tmp_path: Path) -> None:
    fingerprint = _source(root).fingerprint()
    assert fingerprint is not None
    assert len(fingerprint) == 32
    copy, other = tmp_path / "copy", tmp_path / "other"
    for place in (copy, other):
        for file in root.rglob("*.*"):
            target = place / file.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
            os.utime(target, (1, 1))
    assert _source(copy, shape=(6, 5, 1)).fingerprint() == fingerprint
    changed = other / "test/dog/a.png"
    content = bytearray(changed.read_bytes())
    content[-30] ^= 1
    changed.write_bytes(content)
    os.utime(changed, (1, 1))
    assert _source(other).fingerprint() != fingerprint


def test_names_and_fingerprint_are_taken_once_in_an_object(root: Path) -> None:
    source = _source(root)
    fingerprint = source.fingerprint()
    (root / "train/cat/1.png").unlink()
    assert source.fingerprint() == fingerprint != _source(root).fingerprint()


# What can be wrong


def test_check_writes_and_decodes_nothing(root: Path, decoded: list[int]) -> None:
    _source(root).check()
    assert decoded == []
    assert not (root.parent / "cache").exists()


def test_no_root(tmp_path: Path) -> None:
    source = _source(tmp_path / "nowhere")
    for action in (source.check, source.prepare, source.load, source.fingerprint):
        message = _error(action)
        assert message.startswith(f"data.root={tmp_path}/nowhere: {tmp_path}/nowhere does not exist; point data.root")


def test_no_train_and_no_test(tmp_path: Path) -> None:
    messages = _errors(_source(tmp_path).check)
    assert [message.split(";")[0] for message in messages] == [
        f"{tmp_path}/train: no such folder",
        f"{tmp_path}/test: no such folder",
    ]


def test_no_classes(root: Path) -> None:
    for folder in (root / "test").iterdir():
        folder.rename(root / folder.name)
    assert _error(_source(root).check).startswith(f"{root}/test: no class folders")


def test_other_classes_in_test(root: Path) -> None:
    (root / "test/dog").rename(root / "test/wolf")
    messages = _errors(_source(root).check)
    assert [message.split(",")[0] for message in messages] == [
        f"{root}/train/wolf: no such folder",
        f"{root}/test/dog: no such folder",
    ]
    assert f"{root}/train/dog is there" in messages[1]


def test_folder_without_images(root: Path) -> None:
    for file in (root / "train/frog").iterdir():
        file.unlink()
    message = _error(_source(root).check)
    assert message.startswith(f"{root}/train/frog: no .jpg, .jpeg, .png, .ppm, .bmp, .pgm, .tif, .tiff, .webp images")


def test_wrong_classes_and_wrong_shape_are_reported_together(root: Path) -> None:
    messages = _errors(_source(root, classes=10, shape=(32, 32, 3)).check)
    assert messages[0] == (f"data.classes=10: {root}/train has 3 class folders (cat, dog, frog); set data.classes=3")
    assert messages[1].startswith(f"data.shape=[32, 32, 3]: {root}/train/cat/1.png is 6×5 (height×width)")
    assert "set data.shape=[6,5,3]" in messages[1]


def test_unequal_sizes(root: Path) -> None:
    _save(root / "test/dog/b.PNG", np.zeros((5, 6, 3), np.uint8))
    _save(root / "test/frog/b.PNG", np.zeros((7, 5, 3), np.uint8))
    messages = _errors(_source(root).prepare)
    assert messages[0].startswith(f"{root}/test/dog/b.PNG: is 5×6 (height×width), but the data set has 6×5")
    assert messages[1].startswith(f"{root}/test/frog/b.PNG: is 7×5")
    assert not list((root.parent / "cache").glob("*.npz"))


@pytest.mark.parametrize(
    ("name", "damage"),
    [("2.JPG", _truncate), ("2.JPG", lambda _: b""), ("2.JPG", lambda _: b"text"), ("1.png", _truncate)],
)
def test_unreadable_file(root: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    file = root / "train/dog" / name
    file.write_bytes(damage(file.read_bytes()))
    message = _error(_source(root).prepare)
    assert message.startswith(f"{file}: ")
    assert message.endswith("; replace or remove it")


def test_file_that_claims_to_be_enormous(root: Path) -> None:
    file = root / "train/dog/1.png"
    content = file.read_bytes()
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + content[24:29]
    file.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    message = _error(_source(root).prepare)
    assert message.startswith(f"{file}: cannot be read (Image size")


def test_first_file_unreadable_is_found_by_check(root: Path) -> None:
    (root / "train/cat/1.png").write_bytes(b"text")
    messages = _errors(_source(root, classes=2).check)
    assert messages[0].startswith("data.classes=2")
    assert messages[1].startswith(f"{root}/train/cat/1.png: not an image")


def test_link_to_nothing(root: Path) -> None:
    (root / "train/dog/9.png").symlink_to(root / "gone")
    assert _error(_source(root).check).startswith(f"{root}/train/dog/9.png: cannot be read (No such file")


def _sixteen_bit_png(colour_type: int) -> bytes:
    """Return a 5×6 PNG with 16 bits a channel: 0 grey, 2 RGB, 4 grey with alpha, 6 RGB with alpha."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    rows = b"".join(b"\0" + b"\x9c\x40" * 5 * channels for _ in range(6))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 5, 6, 16, colour_type, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _sixteen_bit_tiff() -> bytes:
    """Return a 5×6 RGB TIFF with 16 bits a channel."""
    entries = (
        (256, 3, 1, 5), (257, 3, 1, 6), (258, 3, 3, 122), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 128), (277, 3, 1, 3), (278, 3, 1, 6), (279, 4, 1, 180),
    )  # fmt: skip
    fields = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + struct.pack("<I", 0)
    return head + struct.pack("<HHH", 16, 16, 16) + bytes(128 - len(head) - 6) + b"\x40\x9c" * 90


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((f"{kind}.png", _sixteen_bit_png(kind)) for kind in (0, 2, 4, 6)),
        ("rgb.tif", _sixteen_bit_tiff()),
        ("rgb.ppm", b"P6 5 6 65535\n" + b"\x9c\x40" * 90),
        ("rgb.ppm", b"P3 5 6 65535\n" + b"40000 " * 90),
        ("grey.pgm", b"P5 5 6 65535\n" + b"\x9c\x40" * 30),
    ],
)
def test_sixteen_bits(root: Path, name: str, content: bytes) -> None:
    """Pillow would drop half of the bits of a colour image without a word."""
    (root / "train/dog" / name).write_bytes(content)
    assert f"{root}/train/dog/{name}: has more than 8 bits a channel" in _error(_source(root).prepare)


@pytest.mark.parametrize("name", ["pages.tif", "frames.webp", "frames.png"])
def test_several_images_in_one_file(root: Path, name: str) -> None:
    first, second = (Image.fromarray(np.full((6, 5, 3), grey, np.uint8)) for grey in (9, 200))
    first.save(root / "train/dog" / name, save_all=True, append_images=[second])
    assert f"{root}/train/dog/{name}: has 2 images" in _error(_source(root).prepare)


def test_warnings_of_pillow_do_not_reach_the_console(root: Path, recwarn: pytest.WarningsRecorder) -> None:
    """A JPEG with damaged EXIF data, and an image of more pixels than Pillow likes."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\0\0\xff\xff\xff\xff"
    Image.new("RGB", (5, 6)).save(root / "train/cat/exif.jpg", exif=exif)
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = 20
    try:
        _source(root).prepare()
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    assert [str(warning.message) for warning in recwarn] == []


def test_file_without_permission(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_image = Image.open

    def guarded(path: Path) -> Image.Image:
        if path.name == "b.PNG":
            raise PermissionError(13, "Permission denied", str(path))
        return open_image(path)

    monkeypatch.setattr(Image, "open", guarded)
    messages = _errors(_source(root).prepare)
    assert len(messages) == 3
    assert messages[0].startswith(f"{root}/test/cat/b.PNG: cannot be read (Permission denied)")


def test_folder_without_permission(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def guarded(path: Path) -> Any:
        if path == root / "train/dog":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert _error(_source(root).check).startswith(f"{root}/train/dog: cannot be read (Permission denied)")


def test_decoded_images_that_do_not_fit(root: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "available_memory", lambda: 15 * 6 * 5 * 3 - 1)
    message = _error(_source(root).prepare)
    assert message.startswith(
        f"data.root={root}: the decoded images need 1.3 KiB of memory, but only 1.3 KiB are free; use"
    )
    assert message.endswith("or data=imagenet, which decodes them during training")
    monkeypatch.setattr(room, "available_memory", lambda: 15 * 6 * 5 * 3)
    usage = shutil.disk_usage(root)._replace(free=1349)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert _error(_source(root).prepare).startswith(f"data.cache={root}/../cache: the decoded images need 1.3 KiB, but")
    assert decoded == []


def test_at_most_five_problems_are_reported(root: Path) -> None:
    for file in root.rglob("*.*"):
        if file.name != "1.png":
            file.write_bytes(b"text")
    assert len(_errors(_source(root).prepare)) == 5
    for number in range(6):
        (root / f"train/empty{number}").mkdir()
    assert len(_errors(_source(root).check)) == 5


def test_cache_that_cannot_be_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = root.parent / "file"
    blocked.touch()
    for cache in (blocked, blocked / "below"):
        source = _source(root, cache=str(cache))
        for action in (source.check, source.prepare):
            assert _error(action).startswith(f"data.cache={cache}: cannot be written")
    _source(root).prepare()
    monkeypatch.setattr(os, "access", lambda *_: False)
    _source(root).check()
