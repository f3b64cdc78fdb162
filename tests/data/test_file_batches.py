"""Batches of image files: a pure function of (seed, t) for any number of workers; damaged files."""

import itertools
import multiprocessing
import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as reference  # type: ignore[import-untyped]

from resnet_ablations.data import file_batches
from resnet_ablations.data.batches import WHOLE, Share
from resnet_ablations.data.colours import AXES, colour_jitter, colour_shift, jittered
from resnet_ablations.data.file_batches import DEVIATION, MEAN, FileBatches
from resnet_ablations.data.imagenet import ImageNet
from resnet_ablations.data.images import ImageFiles
from resnet_ablations.data.views import scale
from resnet_ablations.errors import UserError
from resnet_ablations.streams import Purpose, Stream

ITERATIONS = 6


@pytest.fixture(autouse=True)
def _more_workers_than_cores() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


def load(root: Path, **changes: Any) -> ImageFiles:
    settings: dict[str, Any] = {"cache": None, "classes": 3, "crop": 16, "augmentation": "scale", "colour": "pca"}
    settings |= changes
    return ImageNet(root=str(root), normalisation="per_channel", **settings).load()


def make(
    root: Path, *, seed: int = 0, workers: int = 0, batch_size: int = 8, share: Share = WHOLE, **changes: Any
) -> FileBatches:
    files = load(root, **changes)
    return FileBatches(files, batch_size=batch_size, seed=seed, iterations=ITERATIONS, workers=workers, share=share)


def equal(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def coloured(images: Tensor) -> np.ndarray:
    """Return the mean colour of each of N × C × H × W normalised images, in 0 … 255."""
    colours = images.mean(dim=(2, 3)).numpy() * np.array(DEVIATION) + np.array(MEAN)
    return 255 * colours


# A pure function of (seed, t)


@pytest.mark.parametrize("augmentation", ["scale", "scale_aspect_ratio"])
def test_a_batch_depends_on_seed_and_step_alone(photos: Path, augmentation: str) -> None:
    """The workers, the first iteration, the order of calls and global random numbers have no effect."""
    one = make(photos, augmentation=augmentation)
    in_order = [one.train(step) for step in range(ITERATIONS)]
    for workers in (1, 3):
        other = make(photos, augmentation=augmentation, workers=workers)
        torch.manual_seed(workers)
        assert all(equal(other.train(step), in_order[step]) for step in range(2, ITERATIONS))
    for step in (4, 1, 1, 5, 0):
        assert equal(one.train(step), in_order[step])
    one.close()
    assert equal(one.train(1000), make(photos, augmentation=augmentation).train(1000))


def test_steps_and_seeds_differ(photos: Path) -> None:
    made = [(make(photos, seed=seed), step) for seed in (0, 1) for step in range(4)]
    batches = [batches.train(step) for batches, step in made]
    assert len({tuple(labels.tolist()) for _, labels in batches}) == 8
    assert len({images.numpy().tobytes() for images, _ in batches}) == 8


def test_an_image_is_cut_anew_whenever_its_turn_comes(photos: Path) -> None:
    whole = load(photos, colour="none")
    alone = replace(whole, train=whole.train[:1], train_labels=whole.train_labels[:1])
    batches = FileBatches(alone, batch_size=8, seed=0, iterations=9, workers=0)
    images = torch.cat([batches.train(step)[0] for step in range(9)])
    assert len({image.numpy().tobytes() for image in images}) > 60, "of 72"
    rises = (images[..., 12:].mean(dim=(1, 2, 3)) > images[..., :4].mean(dim=(1, 2, 3))).float().mean()
    assert 0.2 < rises < 0.8, "the brighter edge is right or, mirrored, left"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("micro_batches", [2, 4])
def test_micro_batches_are_slices_of_the_whole(photos: Path, micro_batches: int, workers: int) -> None:
    whole, split = make(photos), make(photos, workers=workers)
    for step in range(3):
        pieces = [split.train(step, number, micro_batches) for number in range(micro_batches)]
        assert all(len(labels) == 8 // micro_batches for _, labels in pieces)
        assert equal(
            (torch.cat([p for p, _ in pieces]), torch.cat([labels for _, labels in pieces])), whole.train(step)
        )
    split.close()


@pytest.mark.parametrize("count", [2, 4])
def test_shares_are_slices_of_the_whole_and_deal_out_the_test_set(
    photos: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each image is in one share, for every way to test: in one batch, or in six batches of two images."""
    monkeypatch.setattr(file_batches, "TEST_CROPS", 20)
    whole, shares = make(photos), [make(photos, share=Share(rank, count), workers=rank % 2) for rank in range(count)]
    for step in range(2):
        pieces = [share.train(step) for share in shares]
        assert all(len(labels) == 8 // count for _, labels in pieces)
        assert equal(
            (torch.cat([images for images, _ in pieces]), torch.cat([labels for _, labels in pieces])),
            whole.train(step),
        )

    def tens(batches: FileBatches) -> Iterator[tuple[Tensor, Tensor]]:
        return ((images, labels) for (images,), labels in batches.protocols()["crops10"]())

    for tested in (FileBatches.test, tens):
        expected = list(tested(whole))
        dealt: list[list[tuple[Tensor, Tensor]]] = [list(tested(share)) for share in shares]
        assert sum(map(len, dealt)) == len(expected)
        for number, batch in enumerate(expected):
            assert equal(dealt[number % count][number // count], batch)
    for share in shares:
        share.close()


def test_a_signal_to_all_processes_of_a_run_leaves_its_workers_alone(photos: Path) -> None:
    """So that the current step and its checkpoint can be completed."""
    whole, batches = make(photos), make(photos, workers=2)
    assert equal(batches.train(0), whole.train(0))
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker.pid or 0, signal.SIGTERM)
    for step in range(1, ITERATIONS):
        assert equal(batches.train(step), whole.train(step))
    batches.close()


def test_workers_read_ahead_and_go_on(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    stream = FileBatches._stream
    monkeypatch.setattr(FileBatches, "_stream", lambda *of: started.append(1) or stream(*of))
    batches = make(photos, workers=1)
    for step, micro_batch in [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)]:
        batches.train(step, micro_batch, 2)
    assert len(started) == 1
    batches.train(3, 0, 2)
    batches.train(3, 1, 2)
    batches.train(4, 0, 2)
    assert len(started) == 2, "out of order: once more, and on from there"
    batches.train(4, 0, 1)
    assert len(started) == 3
    batches.close()


def test_an_epoch_has_each_image_once(photos: Path) -> None:
    batches = make(photos, batch_size=9, colour="none")
    labels = torch.cat([batches.train(step)[1] for step in range(3)])
    assert torch.bincount(labels).tolist() == [9, 9, 9]


def test_the_global_random_numbers_are_left_alone(photos: Path) -> None:
    """A program that uses this package may draw from them too."""
    before = torch.get_rng_state()
    batches = make(photos, workers=1)
    batches.train(0)
    list(batches.test())
    batches.close()
    assert torch.equal(torch.get_rng_state(), before)


# What the images are


@pytest.mark.parametrize("augmentation", ["scale", "scale_aspect_ratio"])
def test_training_images_are_what_their_labels_say(
    photos: Path, colours: dict[str, tuple[int, int, int]], augmentation: str
) -> None:
    """For all kinds of files, normalised by ImageNet's constants; grey files give grey images."""
    batches = make(photos, batch_size=27, augmentation=augmentation, colour="none")
    images, labels = batches.train(0)
    grey = 0
    for colour, label in zip(coloured(images), labels.tolist(), strict=True):
        expected = np.array(list(colours.values())[label])
        if np.ptp(colour) < 2:
            grey += 1
            expected = expected @ [0.299, 0.587, 0.114] * np.ones(3)
        np.testing.assert_allclose(colour, expected + 8, atol=28)
    assert grey == 3
    batches.close()


def test_the_test_images_come_in_order_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_batches, "TEST_CROPS", 5)
    chunks = list(make(photos, workers=2).test())
    assert [len(labels) for _, labels in chunks] == [5, 5, 2]
    assert torch.cat([labels for _, labels in chunks]).tolist() == [0] * 4 + [1] * 4 + [2] * 4
    images = torch.cat([images for images, _ in chunks])
    for number, path in enumerate(sorted((photos / "val").glob("*/*"))):
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        width, height = rgb.size
        size = (18, 18 * height // width) if width < height else (18 * width // height, 18)
        left, upper = (round((side - 16) / 2) for side in size)
        expected = rgb.resize(size, Image.Resampling.BICUBIC).crop((left, upper, left + 16, upper + 16))
        ours = (images[number].permute(1, 2, 0).numpy() * DEVIATION + MEAN) * 255
        np.testing.assert_allclose(ours, np.asarray(expected, float), atol=2.01)


def test_further_protocols(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`crop320` is 23 of 16·320/224 = 22.9 pixels; the ten crops contain the central crop and its mirror image."""
    monkeypatch.setattr(file_batches, "TEST_CROPS", 50)
    batches = make(photos, workers=1)
    assert batches.top5
    assert set(batches.protocols()) == {"crop320", "crops10", "multi_scale"}
    (((larger_images,), larger_labels),) = batches.protocols()["crop320"]()
    larger = larger_images, larger_labels
    assert larger[0].shape == (12, 1, 3, 23, 23)
    tens = [(images, labels) for (images,), labels in batches.protocols()["crops10"]()]
    assert [images.shape for images, _ in tens] == [(5, 10, 3, 16, 16), (5, 10, 3, 16, 16), (2, 10, 3, 16, 16)]
    (whole,) = batches.test()
    for images, labels in (larger, (torch.cat([i for i, _ in tens]), torch.cat([labels for _, labels in tens]))):
        assert torch.equal(labels, whole[1])
        np.testing.assert_allclose(coloured(images[:, 0]), coloured(whole[0]), atol=12)
    crops = torch.cat([images for images, _ in tens])
    assert torch.equal(crops[:, 4], whole[0])
    assert torch.equal(crops[:, 5:], crops[:, :5].flip(-1))
    assert not torch.equal(crops[:, 0], crops[:, 1])


def test_whole_images_at_five_scales(photos: Path) -> None:
    """v1, section 3.4: shorter sides 224, 256, 384, 480 and 640, here for a crop of 16; each with its mirror image."""
    batches = make(photos)
    tested = list(batches.protocols()["multi_scale"]())
    paths = sorted((photos / "val").glob("*/*"))
    assert len(tested) == len(paths) == 12
    assert torch.cat([labels for _, labels in tested]).tolist() == [0] * 4 + [1] * 4 + [2] * 4
    for path, (groups, _) in zip(paths, tested, strict=True):
        with Image.open(path) as image:
            width, height = image.size
        shorter = [16, 18, 27, 34, 46]
        sizes = [(side * height // min(width, height), side * width // min(width, height)) for side in shorter]
        assert [images.shape for images in groups] == [(1, 2, 3, *size) for size in sizes]
        for images in groups:
            assert torch.equal(images[:, 1], images[:, 0].flip(-1))
            np.testing.assert_allclose(coloured(images[0]), coloured(groups[0][0]), atol=3)


def test_form_of_a_batch(photos: Path) -> None:
    batches = make(photos).to(torch.device("cpu"))
    (crops,), _ = next(batches.protocols()["crops10"]())
    for images in (batches.train(0)[0], next(batches.test())[0], crops.flatten(0, 1)):
        assert images.shape[1:] == (3, 16, 16)
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert batches.train(0)[1].dtype == torch.int64
    batches.close()


def test_held_out_files_are_tested_on_and_not_trained_on(photos: Path) -> None:
    split = load(photos, colour="none").hold_out(3)
    batches = FileBatches(split, batch_size=24, seed=0, iterations=1, workers=0)
    assert torch.bincount(batches.train(0)[1]).tolist() == [8, 8, 8]
    ((images, labels),) = batches.test()
    assert labels.tolist() == [0, 1, 2]
    for path, image in zip(split.test, images, strict=True):
        assert path.startswith("train/")
        assert path not in split.train
        with Image.open(photos / path) as file:
            np.testing.assert_allclose(coloured(image[None])[0], np.asarray(file.convert("RGB")).mean((0, 1)), atol=6)


def test_the_shift_of_colours() -> None:
    """N(0, 0.1²) times the eigenvalue along each axis; the axes are orthonormal to the printed digits."""
    np.testing.assert_allclose(AXES.T @ AXES, np.eye(3), atol=2e-4)
    stream = Stream(0, Purpose.AUGMENTATION)
    shifts = np.array([colour_shift(stream) for _ in range(20_000)])
    np.testing.assert_allclose((shifts @ AXES).std(axis=0), [0.02175, 0.00188, 0.00045], rtol=0.03)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=4e-4)


def test_colours_are_shifted_in_training_alone_and_change_nothing_else(photos: Path) -> None:
    plain, shifted = make(photos, colour="none"), make(photos, colour="pca")
    differences = (shifted.train(0)[0] - plain.train(0)[0]) * torch.tensor(DEVIATION)[:, None, None]
    for difference, (place, index) in zip(differences, shifted._asked(0, 1), strict=True):
        stream = Stream(0, Purpose.AUGMENTATION, place)
        with Image.open(photos / str(shifted.files.train[index])) as image:
            scale(image.size, 16, stream)
        expected = torch.from_numpy(colour_shift(stream))[:, None, None].expand(3, 16, 16)
        torch.testing.assert_close(difference, expected, atol=1e-5, rtol=0)
    assert equal(next(plain.test()), next(shifted.test()))
    plain.close()
    shifted.close()


def test_the_jitter_of_colours() -> None:
    """Each of the three changes in every place of the order, with factors from 0.6 to 1.4."""
    stream = Stream(0, Purpose.AUGMENTATION)
    jitters = np.array([colour_jitter(stream) for _ in range(5_000)])
    assert {tuple(order) for order in jitters[:, :, 0].astype(int)} == set(itertools.permutations(range(3)))
    factors = jitters[:, :, 1]
    assert 0.6 <= factors.min() < 0.605
    assert 1.395 < factors.max() <= 1.4
    np.testing.assert_allclose(np.quantile(factors, [0.25, 0.5, 0.75]), [0.8, 1, 1.2], atol=0.01)


def test_a_jitter_is_the_changes_one_after_the_other() -> None:
    """Against torchvision, whose functions also clamp: with colours for which nothing is clamped."""
    torch.manual_seed(0)
    images = 0.4 + 0.2 * torch.rand(6, 1, 5, 7, 3)
    functions = (reference.adjust_brightness, reference.adjust_contrast, reference.adjust_saturation)
    orders = list(itertools.permutations(range(3)))
    factors = 0.6 + 0.8 * torch.rand(6, 3)
    ours = jittered(images, torch.stack([torch.tensor(orders, dtype=torch.float32), factors], dim=2))
    for number, order in enumerate(orders):
        expected = images[number, 0].permute(2, 0, 1)
        for kind, factor in zip(order, factors[number].tolist(), strict=True):
            expected = functions[kind](expected, factor)
        assert 0 < expected.min() < expected.max() < 1
        # torchvision rounds the weights of a grey value
        torch.testing.assert_close(ours[number, 0].permute(2, 0, 1), expected, rtol=0, atol=1e-3)
    assert torch.equal(jittered(images, torch.zeros(6, 0, 2)), images)


def test_jitter_is_drawn_in_training_alone_before_the_shift(photos: Path) -> None:
    plain, changed = make(photos, colour="none"), make(photos, colour="jitter_and_pca", workers=2)
    ours, mean, deviation = changed.train(0)[0], *(torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    for number, (place, index) in enumerate(changed._asked(0, 1)):
        stream = Stream(0, Purpose.AUGMENTATION, place)
        with Image.open(photos / str(changed.files.train[index])) as image:
            scale(image.size, 16, stream)
        jitter, shift = colour_jitter(stream), colour_shift(stream)
        image = (plain.train(0)[0][number] * deviation + mean).permute(1, 2, 0)
        expected = jittered(image[None], torch.from_numpy(jitter)[None])[0] + torch.from_numpy(shift)
        torch.testing.assert_close(ours[number], (expected.permute(2, 0, 1) - mean) / deviation, atol=1e-4, rtol=0)
    assert equal(next(plain.test()), next(changed.test()))
    plain.close()
    changed.close()


# Workers


def test_workers_end_on_close_after_the_last_step_and_after_an_abandoned_test(photos: Path) -> None:
    batches = make(photos, workers=2)
    batches.train(0)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []
    for step in range(ITERATIONS):
        batches.train(step)
    assert multiprocessing.active_children() == []
    tested = batches.test()
    next(tested)
    del tested
    assert multiprocessing.active_children() == []
    list(batches.test())


@pytest.fixture
def damaged(photos: Path, tmp_path: Path) -> Path:
    """Return a copy of the photos with one truncated training image and one truncated test image."""
    root = tmp_path / "damaged"
    shutil.copytree(photos, root)
    for name in ("train/green/0.JPEG", "val/red/2.JPG"):
        file = root / name
        file.write_bytes(file.read_bytes()[:-150])
    return root


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_is_named_in_one_line(damaged: Path, workers: int) -> None:
    batches = make(damaged, workers=workers, batch_size=9)
    with pytest.raises(UserError) as in_training:
        list(map(batches.train, range(3)))
    assert multiprocessing.active_children() == []
    with pytest.raises(UserError) as in_test:
        list(batches.test())
    assert multiprocessing.active_children() == []
    for error, name in ((in_training, "train/green/0.JPEG"), (in_test, "val/red/2.JPG")):
        (message,) = error.value.messages
        assert message.startswith(f"{damaged}/{name}: cannot be read (")
        assert message.endswith("; replace or remove it")
        assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "not an image"), (b"text", "not an image"), (None, "No such file")]
)
def test_a_file_that_is_no_image_or_gone(photos: Path, tmp_path: Path, content: bytes | None, reason: str) -> None:
    root = tmp_path / "copy"
    shutil.copytree(photos, root)
    batches = make(root, batch_size=27)
    file = root / "train" / "blue" / "0.JPEG"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(UserError, match=f"blue/0.JPEG: .*{reason}"):
        batches.train(0)
