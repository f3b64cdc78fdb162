"""Held-out splits: a rule that takes an equal share of each class, for arrays and for files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from resnet_ablations.data.images import ImageFiles, Images
from resnet_ablations.data.sources import Digits
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.paths import CONF

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [40, 40, 40, 30, 10]))


def arrays() -> Images:
    """Return 160 training images, whose one pixel is their number, and three test images."""
    return Images(
        np.arange(160, dtype=np.uint8).reshape(160, 1, 1, 1),
        LABELS,
        np.full((3, 1, 1, 1), 255, np.uint8),
        np.array([0, 1, 2]),
    )


def files() -> ImageFiles:
    return ImageFiles(
        train=np.array([f"train/{number}" for number in range(160)]),
        train_labels=LABELS,
        test=np.array(["val/a", "val/b", "val/c"]),
        test_labels=np.array([0, 1, 2]),
        root=Path("/nowhere"),
        crop=64,
        augmentation="scale",
        colour="none",
    )


def numbers(part: np.ndarray) -> list[int]:
    return [int(str(path).removeprefix("train/")) for path in part] if part.dtype.kind == "U" else part.ravel().tolist()


@pytest.mark.parametrize("whole", [arrays(), files()], ids=["arrays", "files"])
@pytest.mark.parametrize("count", [1, 16, 37, 80, 159])
def test_held_out_images_come_from_training_and_take_the_place_of_the_test_images(
    whole: Images | ImageFiles, count: int
) -> None:
    split = whole.hold_out(count)
    train, test = numbers(split.train), numbers(split.test)
    assert (len(train), len(test)) == (160 - count, count)
    assert train == sorted(train)
    assert test == sorted(test)
    assert sorted(train + test) == list(range(160)), "each once, and none of the test images"
    assert split.train_labels.tolist() == LABELS[train].tolist()
    assert split.test_labels.tolist() == LABELS[test].tolist()
    shares = np.bincount(LABELS, minlength=5) * count / 160
    assert (np.abs(np.bincount(split.test_labels, minlength=5) - shares) < 1).all()


def test_held_out_images_are_spread_over_each_class() -> None:
    by_class = sorted(range(160), key=lambda number: LABELS[number])
    assert numbers(arrays().hold_out(8).test) == sorted(by_class[10::20])
    in_order = replace(arrays(), train_labels=np.repeat([0, 1], 80))
    assert numbers(in_order.hold_out(4).test) == [20, 60, 100, 140]


def test_the_rest_of_a_split_stays() -> None:
    split = files().hold_out(10)
    assert (split.root, split.crop, split.augmentation, split.colour) == (Path("/nowhere"), 64, "scale", "none")


@pytest.mark.parametrize("count", [160, 161, 5000])
def test_held_out_images_must_leave_training_images(count: int) -> None:
    for whole in (arrays(), files()):
        with pytest.raises(UserError, match=f"data.held_out={count}: must be smaller than .* 160 images"):
            whole.hold_out(count)


def test_held_out_from_the_command_line() -> None:
    run = compose(["data=digits", "data.held_out=200"])
    split, whole = run.data.load(), Digits().load()
    assert (len(split.train), len(split.test)) == (1237, 200)
    assert len(compose(["data=digits"]).data.load().test) == len(whole.test)
    assert run.scientific["data"]["held_out"] == 200
    assert compose(["data=digits", "data.held_out=null"]).key == compose(["data=digits"]).key != run.key


@pytest.mark.parametrize("count", ["1437", "0", "-1", "many"])
def test_a_wrong_number_is_named_before_anything_starts(count: str) -> None:
    with pytest.raises(UserError, match=f"data.held_out={count}"):
        compose(["data=digits", f"data.held_out={count}"])


@pytest.mark.parametrize("data", sorted(path.stem for path in (CONF / "data").glob("*.yaml")))
def test_every_data_set_takes_it_from_hydra_too(data: str) -> None:
    """Hydra itself does not accept keys that are missing in the configuration."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert hydra_compose("train", [f"data={data}", "data.held_out=7"]).data.held_out == 7
