"""Which files of a folder are images of a class, and what is said about the others; layouts near the right one."""

import errno
import os
import shutil
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS, DatasetFolder  # type: ignore[import-untyped]

from resnet_ablations import output
from resnet_ablations.data.class_folders import SUFFIXES
from resnet_ablations.data.image_folder import ImageFolder
from resnet_ablations.data.layouts import hint_for_downloads
from resnet_ablations.data.listing import list_images
from resnet_ablations.data.sources import Cifar10, Cifar100, FashionMnist
from resnet_ablations.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with two classes, of two training images and one test image each; the files are empty."""
    for path in ("train/cat/1.png", "train/cat/2.png", "train/dog/1.png", "train/dog/2.png"):
        touch(tmp_path / "images" / path)
    for path in ("test/cat/1.png", "test/dog/1.png"):
        touch(tmp_path / "images" / path)
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_told", set())


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def refusal(root: Path, test: str = "test") -> str:
    with pytest.raises(UserError) as caught:
        list_images(root, test)  # type: ignore[arg-type]
    (message,) = caught.value.messages
    assert "\n" not in message
    return message


# Images


def test_the_suffixes_are_torchvisions_in_any_case(root: Path) -> None:
    assert sorted(SUFFIXES) == sorted(IMG_EXTENSIONS)
    for suffix in SUFFIXES:
        touch(root / f"train/cat/a{suffix}")
        touch(root / f"train/dog/b{suffix.upper()}")
    assert len(list_images(root).train.paths) == 4 + 2 * 9


def test_images_at_any_depth_are_those_of_torchvision(root: Path) -> None:
    for path in ("cat/more/3.png", "cat/more/deep/4.webp", "dog/a.b/5.jpg", "dog/x.png/6.png", "cat/0.bmp"):
        touch(root / "train" / path)
    train = list_images(root).train
    assert train.paths.tolist() == sorted(train.paths, key=lambda path: path.split("/")[1:])
    theirs = DatasetFolder(str(root / "train"), loader=str, extensions=SUFFIXES).samples
    ours = [(f"{root}/{path}", label) for path, label in zip(train.paths, train.labels.tolist(), strict=True)]
    assert sorted(ours) == sorted(theirs)
    assert len(ours) == 9


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_decoded(root: Path, suffix: str) -> None:
    for file in list(root.rglob("*.png")):
        colour = "red" if file.parent.name == "cat" else "blue"
        Image.new("L" if suffix == ".pgm" else "RGB", (8, 8), 90 if suffix == ".pgm" else colour).save(file)
        Image.open(file).save(file.with_suffix(suffix))
        if suffix != ".png":
            file.unlink()
    source = ImageFolder(root=str(root), cache=f"{root}/../cache", classes=2, shape=(8, 8, 3))
    assert source.load().train.shape == (4, 8, 8, 3)


def test_two_spellings_of_a_name_are_two_files(root: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    for name in (composed, decomposed, "A.png", "a.png"):
        touch(root / "train/cat" / name)
    if len(list((root / "train/cat").iterdir())) < 6:
        pytest.skip("this file system merges such names")
    assert len(list_images(root).train.paths) == 8


# Files that are not images of a class


@pytest.mark.parametrize(
    "name",
    [
        *(
            f"x{suffix}"
            for suffix in (".gif", ".heic", ".avif", ".jp2", ".tga", ".jxl", ".svg", ".jfif", ".jpe", ".ico")
        ),
        *("x", "0001", "more.zip", "more.tar.gz", "x.npy", "x.mp4", "x.cr2", "x.exr", "x.jpg.part", "x.png~", "X.GIF"),
        "below/x.gif",
    ],
)
def test_files_that_may_be_images_are_refused(root: Path, name: str) -> None:
    touch(root / "train/cat" / name)
    touch(root / "test/dog" / name)
    message = refusal(root)
    suffix = Path(name).suffix.lower() or "without a suffix"
    assert message.startswith(f"data.root={root}: 2 files in class folders are not images of the types .jpg, .jpeg, ")
    assert f"(2 {suffix}), such as train/cat/{name}; convert or remove them" in message


def test_a_class_of_other_images_is_counted_and_not_called_empty(root: Path) -> None:
    for number in range(1200):
        touch(root / f"train/cat/{number}.gif")
    for file in (root / "train/cat").glob("*.png"):
        file.unlink()
    assert "1,200 files in class folders" in refusal(root)


def test_ignored_files_are_reported_in_one_line_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = list_images(root).train.paths.tolist()
    assert capsys.readouterr().err == ""
    for name in (".DS_Store", "._1.png", "Thumbs.db", ".hidden/1.png", "__MACOSX/1.png", "@eaDir/1.png"):
        touch(root / "train/cat" / name)
    for name in ("boxes.txt", "labels.csv", "info.json", "README"):
        touch(root / "train/dog" / name)
    touch(root / "train/montage.png")
    touch(root / "train/cat.tar")
    for path in ("val/cat/1.png", "train_extra/cat/1.png", "notes/1.txt", "z/1.png", "cover.png", "images.zip"):
        touch(root / path)
    for path in ("classes.txt", ".DS_Store", "__MACOSX/1.png"):  # beside train and test, and surely no images
        touch(root / path)
    for _ in range(2):
        assert list_images(root).train.paths.tolist() == before
    assert capsys.readouterr().err == (
        f"data.root={root}: passed over files and folders that are no images of a class: 2 beside the class folders, "
        "2 files beside train and test (cover.png, images.zip), 4 folders beside train and test (notes, train_extra, "
        "val, …), 6 hidden or the system's own, 4 text\n"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_named_like_an_image_does_not_block(root: Path) -> None:
    os.mkfifo(root / "train/cat/3.png")
    assert refusal(root) == f"{root}/train/cat/3.png: no regular file; repair or remove it"


# Links


def test_links_to_files_and_folders_are_followed(root: Path, tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere/7.png")
    (root / "train/cat/more").symlink_to(tmp_path / "elsewhere")
    (root / "train/cat/8.png").symlink_to(tmp_path / "elsewhere/7.png")
    paths = list_images(root).train.paths.tolist()
    assert {"train/cat/more/7.png", "train/cat/8.png"} < set(paths)


@pytest.mark.parametrize("target", [".", "..", "../..", "../../.."])
def test_links_in_a_circle_do_not_hang(root: Path, target: str) -> None:
    (root / "train/cat/loop").symlink_to(target)
    with pytest.raises(UserError) as caught:
        list_images(root)
    assert any("a link to a folder that contains it; remove the link" in message for message in caught.value.messages)


def test_links_to_nothing_and_to_themselves(root: Path) -> None:
    (root / "train/cat/3.png").symlink_to("gone.png")
    assert refusal(root).startswith(f"{root}/train/cat/3.png: cannot be read (No such file or directory)")
    (root / "train/cat/3.png").unlink()
    (root / "train/cat/3.png").symlink_to("3.png")
    assert refusal(root).startswith(f"{root}/train/cat/3.png: cannot be read (Too many levels of symbolic links)")


# Layouts near the right one


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Test", "testing", "dev"])
def test_another_name_of_the_test_images(root: Path, name: str) -> None:
    (root / "test").rename(root / "other")
    (root / "other").rename(root / name)
    message = refusal(root)
    assert message.startswith(f"data.root={root}: rename {name} to test, or make a link of that name")
    assert ("or use data=imagenet" in message) == (name == "val")


@pytest.mark.parametrize("name", ["test", "valid", "validation"])
def test_another_name_of_imagenets_test_images(root: Path, name: str) -> None:
    (root / "test").rename(root / name) if name != "test" else None
    assert f"rename {name} to val" in refusal(root, "val")


def test_other_names_of_both(root: Path) -> None:
    (root / "train").rename(root / "Training")
    (root / "test").rename(root / "Validation")
    assert "rename Training to train and Validation to test" in refusal(root)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *(("training_set", "test_set"), ("train_set", "val_set"), ("trainset", "testset")),
        *(
            ("train_images", "test_images"),
            ("train-data", "test-data"),
            ("Train Data", "Validation Data"),
            ("train_split", "dev_split"),
        ),
        *(("train_dataset", "test_dataset"), ("seg_train", "seg_test"), ("images_train", "images_val")),
    ],
)
def test_names_that_say_what_is_inside(root: Path, train: str, test: str) -> None:
    (root / "train").rename(root / train)
    (root / "test").rename(root / test)
    assert f"rename {train} to train and {test} to test" in refusal(root)


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (
            ("cats_train", "cats_test", "dogs_train", "dogs_test"),
            "several pairs of training and test images (cats_train",
        ),
        (("train", "test", "validation"), "rename validation to val"),
        (("x_train", "x_test", "x_val"), "rename x_train to train and x_val to val"),
        (("train2017", "val2017"), "rename train2017 to train and val2017 to val"),
    ],
)
def test_one_of_several_names(tmp_path: Path, names: tuple[str, ...], advice: str) -> None:
    for name in names:
        touch(tmp_path / name / "cat" / "1.png")
    assert advice in refusal(tmp_path, "val")


def test_the_counterpart_of_another_folder_is_not_named(tmp_path: Path) -> None:
    for name in ("train", "train_unlabeled", "test_unlabeled"):
        touch(tmp_path / name / "cat" / "1.png")
    assert "rename" not in refusal(tmp_path)


def test_a_class_is_no_name_of_training_images(root: Path) -> None:
    (root / "train").rename(root / "train_station")
    assert "rename" not in refusal(root)


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("training", "validation"), ("train_images", "val")])
def test_classes_that_are_divided(root: Path, train: str, test: str) -> None:
    for name in ("cat", "dog"):
        (root / name).mkdir()
        (root / "train" / name).rename(root / name / train)
        (root / "test" / name).rename(root / name / test)
    (root / "train").rmdir()
    (root / "test").rmdir()
    assert refusal(root).endswith(
        f"is divided into classes first (cat/{train}, cat/{test}); move the images into train/cat and test/cat, and "
        "so for each class"
    )
    with pytest.raises(UserError) as caught:
        list_images(root.parent)
    assert "set data.root" not in str(caught.value)


def test_a_folder_too_high_with_an_image_beside_the_classes(root: Path) -> None:
    touch(root / "train/montage.png")
    touch(root / "test/montage.png")
    assert refusal(root.parent).endswith(f"set data.root={root}")


def test_names_that_are_passed_over_are_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("new\nline", "\x1b[31mred" + 250 * "x"):
        (root / name[:200]).mkdir()
    touch(root / "x.png")
    list_images(root)
    (line,) = capsys.readouterr().err.splitlines()
    assert "1 file beside train and test (x.png), 2 folders beside train and test (\\x1b[31mred" in line
    assert line.endswith("x…, new\\nline)")


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *(("cifar-10-batches-bin", "cifar10"), ("cifar-100-binary", "cifar100"), ("cifar-10-batches-mat", "cifar10")),
        *(("cifar-10-binary.tar.gz", "cifar10"), ("cifar-100-matlab.tar.gz", "cifar100")),
    ],
)
def test_versions_for_other_languages(tmp_path: Path, name: str, option: str) -> None:
    if name.endswith(".gz"):
        touch(tmp_path / name)
    else:
        touch(tmp_path / name / "data_batch_1.bin")
        assert f"belongs to {name}, which is not read" in refusal(tmp_path / name)
    assert refusal(tmp_path).endswith(
        f"contains {name}, which is not read; the Python version of the data set is downloaded by data={option} "
        f"data.root={tmp_path}"
    )


@pytest.mark.parametrize("below", ["", "ILSVRC/Data"])
def test_a_folder_too_high(root: Path, tmp_path: Path, below: str) -> None:
    right = tmp_path / "above" / below / "images"
    right.parent.mkdir(parents=True)
    root.rename(right)
    assert refusal(tmp_path / "above").endswith(f"has no train and test, but {right} has; set data.root={right}")


@pytest.mark.parametrize("below", ["train", "train/cat"])
def test_a_folder_too_low(root: Path, below: str) -> None:
    assert refusal(root / below).endswith(f"set data.root={root}")


def test_classes_without_splits(root: Path) -> None:
    shutil.rmtree(root / "test")
    for folder in (root / "train").iterdir():
        folder.rename(root / folder.name)
    (root / "train").rmdir()
    assert "has folders of images (cat, dog), but they are not divided into train and test" in refusal(root)


def test_tiny_imagenet(root: Path) -> None:
    """Its training images are in `train/WNID/images/`, its test images in `val/images/`."""
    shutil.rmtree(root / "test")
    for name in ("cat", "dog"):
        (root / "train" / name).rename(root / "moved")
        (root / "train" / name).mkdir()
        (root / "moved").rename(root / "train" / name / "images")
    touch(root / "val/images/1.png")
    touch(root / "val/val_annotations.txt")
    message = refusal(root, "val")
    assert message.startswith(f"{root}/val/images: the images of all classes are in one folder; move each into")
    assert "val_annotations.txt" in message
    for name in ("cat", "dog"):
        touch(root / "val" / name / "1.png")
    shutil.rmtree(root / "val/images")
    assert list_images(root, "val").train.paths.tolist()[0] == "train/cat/images/1.png"


@pytest.mark.parametrize("change", ["form", "capitals"])
def test_classes_whose_names_look_alike(root: Path, change: str) -> None:
    name = unicodedata.normalize("NFC", "Émeu")
    other = unicodedata.normalize("NFD", name) if change == "form" else name.lower()
    (root / "train/cat").rename(root / "train" / name)
    (root / "test/cat").rename(root / "test" / other)
    if (root / "train" / other).exists():
        pytest.skip("this file system merges such names")
    difference = "only in the Unicode form (NFC and NFD)" if change == "form" else "only in capitals"
    assert f"the names differ {difference}; rename one of the two folders" in refusal(root)


def test_a_root_whose_name_looks_alike(root: Path, tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Bücher") for form in ("NFC", "NFD"))
    root.rename(tmp_path / decomposed)
    if (tmp_path / composed).exists():
        pytest.skip("this file system merges such names")
    message = refusal(tmp_path / composed)
    assert f"{tmp_path / decomposed} is there, whose name differs only in the Unicode form (NFC and NFD)" in message


@pytest.mark.parametrize(
    ("name", "files", "option"),
    [
        ("cifar-10-batches-py", ["data_batch_1", "batches.meta"], "cifar10"),
        ("cifar-100-python", ["train", "test", "meta"], "cifar100"),
        ("FashionMNIST", ["raw/train-images-idx3-ubyte.gz"], "fashion_mnist"),
    ],
)
def test_data_sets_that_have_an_option(tmp_path: Path, name: str, files: list[str], option: str) -> None:
    for file in files:
        touch(tmp_path / "data" / name / file)
    right = f"use data={option} data.root={tmp_path}/data"
    assert refusal(tmp_path / "data").endswith(right)
    assert refusal(tmp_path / "data" / name).endswith(right)


@pytest.mark.parametrize(("name", "option"), [("cifar-10-python", "cifar10"), ("cifar-100-python", "cifar100")])
def test_archives(tmp_path: Path, name: str, option: str) -> None:
    archive = tmp_path / "data" / f"{name}.tar.gz"
    touch(archive)
    for root in (archive, archive.parent):
        assert refusal(root).endswith(f"use data={option} data.root={archive.parent}")
    touch(tmp_path / "zipped/pets.zip")
    assert "is an archive; unpack it" in refusal(tmp_path / "zipped/pets.zip")
    assert "contains pets.zip, which is not unpacked; unpack it" in refusal(tmp_path / "zipped")


def test_a_renamed_data_set(tmp_path: Path) -> None:
    touch(tmp_path / "mine/data_batch_1")
    assert f"rename it to {tmp_path}/cifar-10-batches-py and use data=cifar10 data.root={tmp_path}" in refusal(
        tmp_path / "mine"
    )


@pytest.mark.parametrize(
    ("source", "base", "files"),
    [
        (Cifar10, "cifar-10-batches-py", ["data_batch_1"]),
        (Cifar100, "cifar-100-python", ["train", "test", "meta"]),
        (FashionMnist, "FashionMNIST", ["raw/train-images-idx3-ubyte.gz"]),
    ],
)
@pytest.mark.parametrize("renamed", [False, True])
def test_the_unpacked_data_set_as_its_own_root(
    tmp_path: Path, source: type[Cifar10], base: str, files: list[str], renamed: bool
) -> None:
    """Otherwise it would be downloaded once more, into itself. Its content decides, not its name."""
    root = tmp_path / ("mine" if renamed else base)
    root.mkdir()
    source(root=str(root)).check()
    for file in files:
        touch(root / file)
    with pytest.raises(UserError, match=f"data.root={root}: is the unpacked data set itself; set data.root={tmp_path}"):
        source(root=str(root)).check()
    (root / base).mkdir()
    source(root=str(root)).check()


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text")
def test_a_layout_with_names_that_are_no_text(root: Path) -> None:
    touch(root / os.fsdecode(b"caf\xe9/1.png"))
    shutil.rmtree(root / "test")
    refusal(root)


def test_a_root_that_may_not_be_listed_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `train` and `test` are needed; their names are known."""
    for place in ("train/a", "test/a"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "1.png").touch()
    scandir = os.scandir

    def guarded(path: Path) -> Any:
        if path == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert list_images(tmp_path).classes == ["a"]


def test_a_root_that_may_not_be_searched_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, **options: object) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", denied)
    monkeypatch.setattr(Path, "is_dir", denied)
    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(UserError, match=rf"{tmp_path}/train: cannot be read \(Permission denied\)"):
        list_images(tmp_path)
    assert hint_for_downloads(tmp_path, "cifar-10-batches-py") is None
