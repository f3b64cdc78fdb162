"""ImageNet's layout: the listing, the fingerprint, and errors in a folder."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from resnet_ablations.config import RunConfig
from resnet_ablations.data import listing
from resnet_ablations.data.imagenet import ImageNet
from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]


@pytest.fixture
def root(photos: Path, tmp_path: Path) -> Path:
    """Return a copy of the photos, which a test may damage."""
    return Path(shutil.copytree(photos, tmp_path / "photos"))


def source(root: Path, **changes: Any) -> ImageNet:
    settings = {"cache": None, "classes": 3, "crop": 16, "augmentation": "scale", "colour": "none"} | changes
    return ImageNet(root=str(root), normalisation="per_channel", **settings)


def errors(action: Callable[[], Any]) -> list[str]:
    with pytest.raises(UserError) as caught:
        action()
    assert all("\n" not in message for message in caught.value.messages)
    return list(caught.value.messages)


def test_images_are_listed_by_class_and_name(root: Path) -> None:
    files = source(root, crop=48, augmentation="scale_aspect_ratio", colour="pca").load()
    expected = sorted(str(path.relative_to(root)) for path in (root / "train").glob("*/*"))
    assert files.train.tolist() == expected
    assert {path.rpartition(".")[2] for path in expected} == {"JPEG", "JPG", "jpg", "PNG", "png"}
    assert files.train_labels.tolist() == [0] * 9 + [1] * 9 + [2] * 9
    assert files.test_labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert all(path.startswith("val/") for path in files.test)
    assert (files.root, files.crop, files.augmentation, files.colour) == (root, 48, "scale_aspect_ratio", "pca")
    assert source(root).shape == (16, 16, 3)
    assert (source(root).training_images(), source(root).test_images()) == (27, 12)


def test_hidden_and_other_files_and_folders_are_ignored(root: Path) -> None:
    before = source(root).load().train.tolist()
    for name in ("blue/.1.png", "blue/notes.txt", "README.png", ".git/x.png", "blue/.deep/x.png"):
        (root / "train" / name).parent.mkdir(exist_ok=True)
        (root / "train" / name).touch()
    assert source(root).load().train.tolist() == before


def test_the_check_reads_only_names_of_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `stat` of 1.28 million files may take minutes."""
    asked: list[str] = []
    stat = os.stat

    def spying(path: Any, **options: Any) -> os.stat_result:
        asked.append(os.fspath(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", spying)
    monkeypatch.setattr(os, "open", lambda *_, **__: pytest.fail("opened a file"))
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("opened a file"))
    source(root).check()
    assert [path for path in asked if path.lower().endswith(listing.SUFFIXES)] == []


def test_listed_once_by_an_object(root: Path) -> None:
    images = source(root)
    first = images.load()
    (root / "train/blue/0.JPEG").unlink()
    assert images.load().train is first.train
    assert len(source(root).load().train) == 26


def test_names_that_are_no_text(root: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (root / "train/blue/0.JPEG").rename(root / "train/blue" / name)
    files = source(root).load()
    assert f"train/blue/{name}" in files.train.tolist()
    assert source(root).fingerprint() is not None


def test_fingerprint_is_that_of_names_and_content(root: Path, tmp_path: Path) -> None:
    fingerprint = source(root).fingerprint()
    assert fingerprint is not None
    assert len(fingerprint) == 32
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    assert source(copy, crop=64).fingerprint() == fingerprint
    for old, new in (("train/red/0.JPEG", "train/red/00.JPEG"), ("val/red/0.JPEG", "val/red/1.JPEG")):
        other = Path(shutil.copytree(root, tmp_path / new.replace("/", "_")))
        (other / old).rename(other / new)
        assert source(other).fingerprint() != fingerprint
    for file in (copy / "val/red").iterdir():
        Image.new("RGB", (30, 30), "red").save(file)
    assert source(copy).fingerprint() != fingerprint


def test_a_long_listing_says_how_far_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source(root).check()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(listing, "ProgressLines", partial(ProgressLines, quiet_seconds=-1.0))
    source(root).check()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"listing {root}/train: 1 of 3 classes"
    assert lines[-1] == f"listing {root}/val: 3 of 3 classes"


def test_no_root(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for action in (source(nowhere).check, source(nowhere).load, source(nowhere).fingerprint):
        (message,) = errors(action)
        assert message.startswith(f"data.root={nowhere}: {nowhere} does not exist; point data.root at a folder")
        assert "val/CLASS/" in message


def test_no_train_and_no_val(tmp_path: Path) -> None:
    assert errors(source(tmp_path).check) == [
        f"{tmp_path}/{split}: no such folder; put images into {tmp_path}/{{train,val}}/CLASS/"
        for split in ("train", "val")
    ]


def test_validation_images_without_class_folders(root: Path) -> None:
    """The layout of ImageNet's archive of validation images."""
    for folder in sorted((root / "val").iterdir()):
        for file in folder.iterdir():
            file.rename(root / "val" / f"{folder.name}_{file.name}")
        folder.rmdir()
    assert errors(source(root).check) == [f"{root}/val: no class folders; put images into {root}/val/CLASS/"]


def test_other_classes_in_val(root: Path) -> None:
    (root / "val/red").rename(root / "val/pink")
    messages = errors(source(root).check)
    assert messages[0].startswith(f"{root}/train/pink: no such folder, while {root}/val/pink is there; train and val")
    assert messages[1].startswith(f"{root}/val/red: no such folder")


def test_another_number_of_classes(root: Path) -> None:
    assert errors(source(root, classes=1000).check) == [
        f"data.classes=1000: {root}/train has 3 class folders (blue, green, red); set data.classes=3"
    ]


def test_a_class_without_images(root: Path) -> None:
    for file in (root / "val/green").iterdir():
        file.unlink()
    (message,) = errors(source(root).check)
    assert message.startswith(f"{root}/val/green: no .jpg, .jpeg, .png, .ppm, .bmp, .pgm, .tif, .tiff, .webp images")


def configured(config: Config, root: Path, *overrides: str) -> RunConfig:
    return config("data=imagenet", f"data.root={root}", "data.classes=3", "data.crop=16", *overrides)


def test_settings_that_image_files_do_not_have(config: Config, root: Path) -> None:
    wrong = ("data.normalisation=per_pixel_mean", "data.augmentation=crop", "data.colour=sepia", "data.crop=0")
    messages = errors(lambda: configured(config, root, *wrong))
    assert sorted(message.partition(":")[0] for message in messages) == sorted(wrong)
    assert any("'scale' or 'scale_aspect_ratio'" in message for message in messages)


def test_the_key_has_the_processing_of_images_and_not_their_location(
    config: Config, root: Path, tmp_path: Path
) -> None:
    key = configured(config, root).key
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    assert configured(config, copy).key == key
    others = ("data.crop=32", "data.augmentation=scale_aspect_ratio", "data.colour=none", "data.held_out=3")
    assert len({key, *(configured(config, root, other).key for other in others)}) == 5
    (copy / "train/red/0.JPEG").unlink()
    with pytest.raises(UserError, match=r"data\.held_out=26: must be smaller"):
        configured(config, copy, "data.held_out=26")


def test_a_run_that_meets_a_damaged_file_ends_with_one_line(
    config: Config, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = root / "val/red/0.JPEG"
    file.write_bytes(file.read_bytes()[:-100])
    run = configured(config, root, "schedule.iterations=2", "schedule.milestones=[2]", "trainer.threads=2")
    (message,) = errors(lambda: train_run(run))
    assert message.startswith(f"{file}: cannot be read")
    status = RunFolder(run.paths.results, run.key).status()
    assert status is not None
    assert (status.outcome, status.reason) == ("failed", message)
    printed = "".join(capfd.readouterr())
    assert "Traceback" not in printed + RunFolder(run.paths.results, run.key).log.read_text()


def test_a_run_of_image_files(config: Config, root: Path) -> None:
    result = train_run(configured(config, root, "bn_batch=16"))
    assert (result.outcome, result.iterations) == ("finished", 6)
