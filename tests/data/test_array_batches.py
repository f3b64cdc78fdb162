"""The batch of step t is a pure function of (seed, t); crops, flips and normalisation against hand-written loops."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from resnet_ablations.data.array_batches import ArrayBatches, crop_and_flip
from resnet_ablations.data.batches import epoch_order
from resnet_ablations.data.images import Images


def images(count: int = 23, shape: tuple[int, int, int] = (6, 5, 3), seed: int = 0) -> Images:
    """Random images; the label of a training image is its number."""
    random = np.random.default_rng(seed)
    train, test = (random.integers(0, 256, (size, *shape), np.uint8) for size in (count, 11))
    return Images(train, np.arange(count), test, np.arange(11))


def make(**changes: Any) -> ArrayBatches:
    settings = {"pad": 2, "flip": True, "normalisation": "per_pixel_mean", "batch_size": 8, "seed": 0} | changes
    return ArrayBatches(settings.pop("images", images()), **settings)


def equal(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    """Earlier calls, their order, the object and global random numbers have no effect."""
    one = make()
    in_order = [one.train(step) for step in range(9)]
    other = make()
    for step in (7, 2, 2, 8, 0, 5):
        torch.manual_seed(step)
        np.random.seed(step)  # noqa: NPY002 - that is the point
        assert equal(other.train(step), in_order[step])
        epoch_order.cache_clear()
    assert equal(make().train(1_000_000), one.train(1_000_000))


def test_steps_and_seeds_differ() -> None:
    batches = {(seed, step): make(seed=seed).train(step) for seed in (0, 1, 2) for step in range(4)}
    orders = {tuple(labels.tolist()) for _, labels in batches.values()}
    pictures = {pixels.numpy().tobytes() for pixels, _ in batches.values()}
    assert len(orders) == len(pictures) == 12


def test_crops_and_flips_are_drawn_anew_for_every_step_and_seed() -> None:
    """Only the augmentation can differ if there is one image."""
    alone = images(count=1)
    seen = [make(images=alone, batch_size=1, seed=seed).train(step)[0] for seed in (0, 1) for step in range(40)]
    assert len({pixels.numpy().tobytes() for pixels in seen}) > 20
    assert any(not torch.equal(a, b) for a, b in zip(seen[:40], seen[40:], strict=True))


@pytest.mark.parametrize("micro_batches", [1, 2, 4, 8])
def test_micro_batches_are_slices_of_the_whole(micro_batches: int) -> None:
    whole = make().train(5)
    pieces = [make().train(5, number, micro_batches) for number in range(micro_batches)]
    assert all(len(labels) == 8 // micro_batches for _, labels in pieces)
    assert equal((torch.cat([p for p, _ in pieces]), torch.cat([labels for _, labels in pieces])), whole)


def test_the_stream_of_labels_belongs_to_its_images() -> None:
    data, batches = images(), make(pad=0, flip=False)
    for step in range(6):
        pixels, labels = batches.train(step)
        expected = (data.train[labels] - batches.mean.numpy()) / batches.deviation.numpy()
        np.testing.assert_allclose(pixels.permute(0, 2, 3, 1).numpy(), expected, rtol=1e-5, atol=1e-6)


def cropped_by_hand(image: np.ndarray, pad: int, row: int, column: int, mirrored: bool) -> np.ndarray:
    height, width, channels = image.shape
    result = np.zeros_like(image)
    for i, j, c in np.ndindex(height, width, channels):
        y, x = i + row - pad, j + column - pad
        inside = 0 <= y < height and 0 <= x < width
        result[i, width - 1 - j if mirrored else j, c] = image[y, x, c] if inside else 0
    return result


@pytest.mark.parametrize("pad", [0, 1, 2, 4])
def test_crop_and_flip(pad: int) -> None:
    random = np.random.default_rng(pad)
    pixels = random.normal(size=(40, 6, 5, 3)).astype(np.float32)
    rows, columns = random.integers(0, 2 * pad + 1, (2, 40))
    mirrored = random.integers(0, 2, 40)
    result = crop_and_flip(*map(torch.from_numpy, (pixels,)), pad, *map(torch.from_numpy, (rows, columns, mirrored)))
    for n, picture in enumerate(result.numpy()):
        expected = cropped_by_hand(pixels[n], pad, rows[n], columns[n], bool(mirrored[n]))
        np.testing.assert_array_equal(picture, expected)


def places(batches: ArrayBatches, steps: int) -> np.ndarray:
    return np.concatenate([batches._shifts(step) for step in range(steps)], axis=1)


def test_all_crops_and_both_sides_are_drawn_equally_often() -> None:
    rows, columns, mirrored = places(make(batch_size=100), 100)
    for offsets, choices in ((rows, 5), (columns, 5), (mirrored, 2)):
        counts = np.bincount(offsets, minlength=choices)
        assert len(counts) == choices
        np.testing.assert_allclose(counts / len(offsets), 1 / choices, atol=0.02)
    together = np.unique(rows * 10 + columns * 2 + mirrored, return_counts=True)[1]
    assert len(together) == 50, "row, column and side are drawn independently"
    np.testing.assert_allclose(together / len(rows), 1 / 50, atol=0.006)


def test_a_data_set_without_augmentations_has_none() -> None:
    rows, columns, mirrored = places(make(pad=0, flip=False), 10)
    assert not rows.any()
    assert not columns.any()
    assert not mirrored.any()


def test_the_padding_is_zero_after_normalisation() -> None:
    """No pixel equals the mean, so every zero is padding, and it lies at a crop's border."""
    data = images(count=8)
    data.train[:4], data.train[4:] = 10, 200
    pixels, _ = make(images=data, pad=4, flip=False).train(0)
    per_image = [np.unique(picture.numpy()) for picture in pixels]
    assert all(len(values) <= 2 for values in per_image)
    assert any(len(values) == 2 for values in per_image)
    for values in per_image:
        assert 0 in values or len(values) == 1
        np.testing.assert_allclose(np.abs(values[values != 0]), 1, atol=1e-5)


def test_per_pixel_mean() -> None:
    data, batches = images(), make()
    mean = data.train.astype(np.float64).mean(axis=0)
    deviation = (data.train - mean).std()
    np.testing.assert_allclose(batches.mean.numpy(), mean, rtol=1e-6)
    np.testing.assert_allclose(batches.deviation.numpy(), deviation, rtol=1e-6)
    assert batches.mean.shape == (6, 5, 3)
    assert batches.deviation.shape == ()


def test_per_channel() -> None:
    data, batches = images(), make(normalisation="per_channel")
    np.testing.assert_allclose(batches.mean.numpy(), data.train.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(batches.deviation.numpy(), data.train.std(axis=(0, 1, 2)), rtol=1e-6)
    assert batches.mean.shape == batches.deviation.shape == (3,)


def test_statistics_of_more_images_than_one_chunk() -> None:
    data = images(count=2300, shape=(2, 2, 1))
    batches = make(images=data)
    np.testing.assert_allclose(batches.mean.numpy(), data.train.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(batches.deviation.numpy(), (data.train - data.train.mean(axis=0)).std(), rtol=1e-6)


@pytest.mark.parametrize("normalisation", ["per_pixel_mean", "per_channel"])
def test_the_test_images_come_in_order_once_as_they_are(normalisation: str) -> None:
    """Normalised by the training set's statistics; neither cropped nor mirrored."""
    data, batches = images(), make(normalisation=normalisation)
    chunks = list(batches.test(4))
    assert [len(labels) for _, labels in chunks] == [4, 4, 3]
    assert torch.cat([labels for _, labels in chunks]).tolist() == list(range(11))
    pixels = torch.cat([pixels for pixels, _ in chunks]).permute(0, 2, 3, 1).numpy()
    expected = (data.test - batches.mean.numpy()) / batches.deviation.numpy()
    np.testing.assert_allclose(pixels, expected, rtol=1e-5, atol=1e-6)


def test_arrays_are_tested_in_one_way_and_need_no_end() -> None:
    batches = make()
    assert batches.protocols() == {}
    assert not batches.top5
    batches.close()
    assert equal(batches.train(0), make().train(0))


def test_form_of_a_batch() -> None:
    batches = make().to(torch.device("cpu"))
    for pixels, labels in (batches.train(0), next(batches.test())):
        assert pixels.shape[1:] == (3, 6, 5)
        assert pixels.dtype == torch.float32
        assert pixels.is_contiguous(memory_format=torch.channels_last)
        assert labels.dtype == torch.int64
    assert batches.images.dtype == torch.uint8
