"""Images that cannot be normalised or trained on are refused before training; they are no divergence."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from torch import Tensor

from resnet_ablations.config import RunConfig
from resnet_ablations.data import room
from resnet_ablations.data.array_batches import ArrayBatches
from resnet_ablations.data.images import Images
from resnet_ablations.data.sources import Digits
from resnet_ablations.errors import UserError
from resnet_ablations.training import run as training
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]


def refusal(action: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    (message,) = caught.value.messages
    assert "\n" not in message
    return message


def batches(train: npt.NDArray[Any], normalisation: Any, test: npt.NDArray[Any] | None = None) -> ArrayBatches:
    labels = np.zeros(len(train), np.int64)
    test = train[:1] if test is None else test
    images = Images(train, labels, test, labels[: len(test)])
    made = ArrayBatches(images, pad=0, flip=False, normalisation=normalisation, batch_size=2, seed=0)
    made.check()
    return made


@pytest.mark.parametrize("level", [0, 7, 255])
@pytest.mark.parametrize("channel", [0, 2])
def test_a_constant_channel(level: int, channel: int) -> None:
    """The rounding of its variance is not always zero."""
    train = np.random.default_rng(0).integers(0, 256, (1003, 5, 7, 3), np.uint8)
    train[..., channel] = level
    assert f"channel {channel} (counted from 0) has one value" in refusal(lambda: batches(train, "per_channel"))
    assert batches(train, "per_pixel_mean").train(0)[0].isfinite().all()
    train[500, 2, 3, channel] ^= 1
    assert batches(train, "per_channel").train(0)[0].isfinite().all()


@pytest.mark.parametrize("count", [1, 2, 1500])
def test_training_images_that_are_all_the_same(count: int) -> None:
    """Also if their pixels differ: the mean image is subtracted."""
    train = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 5, 7, 3), np.uint8), count, axis=0)
    message = refusal(lambda: batches(train, "per_pixel_mean"))
    assert f"the {count:,} training images are all the same" in message
    assert batches(train, "per_channel").train(0)[0].isfinite().all()


@pytest.mark.parametrize("normalisation", ["per_pixel_mean", "per_channel"])
@pytest.mark.parametrize("level", [0, 200, 255])
def test_black_white_and_grey_images(normalisation: str, level: int) -> None:
    assert "standard deviation is 0" in refusal(lambda: batches(np.full((9, 4, 4, 1), level, np.uint8), normalisation))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["train", "test"])
def test_values_that_are_not_finite(value: float, part: str) -> None:
    """A data set that somebody adds may return numbers of another type."""
    parts = {name: np.random.default_rng(0).normal(size=(9, 4, 4, 1)) for name in ("train", "test")}
    assert batches(parts["train"], "per_channel", parts["test"]).train(0)[0].isfinite().all()
    parts[part][3, 1, 2, 0] = value
    assert "values that are not finite" in refusal(lambda: batches(parts["train"], "per_channel", parts["test"]))


# In a run


def folder(root: Path, draw: Callable[[int], Image.Image]) -> Path:
    for split in ("train", "test"):
        for number in range(6):
            path = root / split / f"class{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(number).save(path)
    return root


def of_folder(config: Config, root: Path, *overrides: str) -> RunConfig:
    images = ("data=image_folder", f"data.root={root}", "data.classes=2", "data.shape=[8,8,3]")
    return config(*images, "schedule.batch_size=4", "bn_batch=4", *overrides)


@pytest.mark.parametrize(
    ("draw", "normalisation"),
    [
        (lambda number: Image.new("RGB", (8, 8)), "per_pixel_mean"),
        (lambda number: Image.new("RGB", (8, 8)), "per_channel"),
        (lambda number: Image.new("RGB", (8, 8), (30 * number, 20 * number, 0)), "per_channel"),
    ],
)
def test_a_run_on_such_images_fails_with_one_line(
    config: Config, tmp_path: Path, draw: Callable[[int], Image.Image], normalisation: str
) -> None:
    run = of_folder(config, folder(tmp_path / "images", draw), f"data.normalisation={normalisation}")
    message = refusal(lambda: train_run(run))
    status = run.folder.status()
    assert status is not None
    assert (status.outcome, status.reason, status.iteration) == ("failed", message, 0)
    assert message.startswith(f"data.normalisation={normalisation}: ")


@pytest.mark.parametrize("pad", [8, 9, 1000, 1_000_000, 10**18])
def test_padding_with_which_a_crop_can_miss_the_image(config: Config, pad: int) -> None:
    message = refusal(lambda: config(f"data.augmentation.pad={pad}"))
    assert message.startswith(f"data.augmentation.pad={pad}: must be smaller than the shorter side of the images, 8;")
    assert config("data.augmentation.pad=7").data.image == (1, 8, 8)


@pytest.mark.parametrize("count", [1428, 1436])
def test_too_few_training_images(config: Config, count: int) -> None:
    assert config("data.held_out=1427").data.held_out == 1427
    message = refusal(lambda: config(f"data.held_out={count}"))
    assert message == (
        f"data.held_out={count}: leaves {1437 - count} of 1,437 training images, fewer than the 10 classes; "
        "allowed: 1 to 1427"
    )


def test_a_class_without_training_images(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small class among large ones may be held out as a whole."""
    whole = Digits().load()
    labels = np.zeros(len(whole.train), np.int64)
    labels[-1] = 1
    monkeypatch.setattr(Digits, "load", lambda self: replace(whole, train_labels=labels))
    assert "no image to train on of 1 classes, such as class 1" in refusal(config("data.held_out=1400").data.load)


def test_a_batch_that_memory_cannot_hold(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "available_memory", lambda: 2**30)
    root = folder(tmp_path / "images", lambda number: Image.new("RGB", (8, 8), (30 * number, 0, 0)))
    (root / "test").rename(root / "val")
    images = ("data=imagenet", f"data.root={root}", "data.classes=2", "data.crop=100000", "bn_batch=32")
    message = refusal(lambda: train_run(config(*images)))
    assert message.startswith(
        "data.crop=100000: a batch of 32 images needs 894.1 GiB of memory, but only 1.0 GiB are free;"
    )


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_input_in_training_is_a_failure(
    config: Config, monkeypatch: pytest.MonkeyPatch, part: str, value: float
) -> None:
    """Only a non-finite loss of finite inputs is a divergence."""
    load = training.load_batches

    def spoiled(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        images = images.clone()
        images[0, 0, 0, 0] = value
        return images, labels

    def loading(*arguments: Any) -> Any:
        loaded = load(*arguments)
        train, test = loaded.train, loaded.test
        if part == "train":
            monkeypatch.setattr(loaded, "train", lambda i, *of: spoiled(*train(i, *of)) if i == 2 else train(i, *of))
        else:
            monkeypatch.setattr(loaded, "test", lambda: itertools.starmap(spoiled, test()))
        return loaded

    monkeypatch.setattr(training, "load_batches", loading)
    run = config("bn_batch=32")
    message = refusal(lambda: train_run(run))
    assert message.startswith("data: images of iterations 3 to 4, or test images, have values that are not finite")
    status = run.folder.status()
    assert status is not None
    assert (status.outcome, status.reason) == ("failed", message)


def test_a_non_finite_loss_of_finite_inputs_stays_a_divergence(config: Config) -> None:
    run = config("schedule.learning_rate=1e30", "schedule.warmup_iterations=0")
    result = train_run(run)
    assert result is not None
    assert result.outcome == "diverged"
    assert training.load_batches(run).train(0)[0].isfinite().all()
