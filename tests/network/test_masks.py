"""Masks are functions of their numbers and of the place in the image alone, and their elements are independent."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from resnet_ablations.network.masks import STATE, Mask, numbers_of_masks, split_mix
from resnet_ablations.streams import Purpose, Stream

SHAPE = (16, 12, 12)
LEAST = 1e-6
"""The smallest p-value that passes; a dependence gives one near zero."""


def drawn(rate: float, iterations: int, units: int, images: int, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    """Masks as in training: iterations × units × images × channels × height × width."""
    network = [Mask(rate) for _ in range(units)]
    numbers = numbers_of_masks(network, images, torch.device("cpu"))
    masks = []
    for iteration in range(iterations):
        words = Stream(0, Purpose.MASKS, iteration).words((units, images))
        numbers.copy_(torch.from_numpy(words.view(np.int64)))
        masks.append(torch.stack([mask(torch.empty(images, *shape)) for mask in network]))
    return torch.stack(masks)


def test_split_mix_gives_the_published_numbers() -> None:
    """The first three outputs of SplitMix64 with the seed 0."""
    outputs = [number & (2**64 - 1) for number in split_mix(0, torch.arange(1, 4)).tolist()]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_masks_never_change() -> None:
    """Stored masks of two iterations: a change of one bit changes every run with dropout."""
    masks = drawn(0.5, 2, 1, 2, (2, 2, 5)).flatten(1).int().tolist()
    assert ["".join(map(str, mask)) for mask in masks] == [
        "1110111001110001011110000011000001001000",
        "1101010100111001100000010100001110111101",
    ]


def test_a_mask_is_the_stated_rule() -> None:
    """Compute the same with Python's integers, modulo 2⁶⁴."""
    mask, (channels, height, width) = Mask(0.3), (3, 2, 4)
    (numbers,) = numbers_of_masks([mask], 2, torch.device("cpu"))
    numbers.copy_(torch.tensor([-(2**63) + 12_346, 2**62 + 98_765]))
    kept = mask(torch.empty(2, channels, height, width))
    positions = split_mix(STATE, torch.arange(1, 1 + channels * height * width))
    for n, c, y, x in product(range(2), range(channels), range(height), range(width)):
        place = (y * width + x) * channels + c
        product_ = ((int(numbers[n]) | 1) * int(positions[place]) + 2**63) % 2**64
        assert kept[n, c, y, x].item() == (product_ >= 0.3 * 2**64)


@pytest.mark.parametrize("rate", [0.5, 0.3, 0.05])
def test_elements_are_kept_at_the_rate_and_independently(rate: float) -> None:
    """χ² of pairs along each axis, of each position and image, and of patterns of 2 × 2 × 2 neighbours."""
    masks, keep = drawn(rate, 5, 3, 12).numpy(), 1 - rate
    cells = np.array([rate * rate, rate * keep, keep * rate, keep * keep])
    for axis in range(masks.ndim):
        first, second = (np.take(masks, range(i, masks.shape[axis] + i - 1), axis).ravel() for i in (0, 1))
        assert likely(np.bincount(2 * first + second, minlength=4), cells), f"neighbours along axis {axis}"
    of_images, of_positions = masks.sum((3, 4, 5)).ravel(), masks.sum((0, 1, 2)).ravel()
    for kept, size in ((of_images, np.prod(SHAPE)), (of_positions, len(of_images))):
        deviations = (kept - size * keep) ** 2 / (size * rate * keep)
        assert LEAST < chi2.sf(deviations.sum(), len(kept)) < 1 - LEAST
    corners = [masks[..., c::2, y::2, x::2].astype(int) for c, y, x in product((0, 1), repeat=3)]
    patterns = sum(corner << bit for bit, corner in enumerate(corners))
    ones = np.array([bin(pattern).count("1") for pattern in range(256)])
    assert likely(np.bincount(np.ravel(patterns), minlength=256), keep**ones * rate ** (8 - ones))


def likely(counts: np.ndarray, probabilities: np.ndarray) -> bool:
    expected = counts.sum() * probabilities
    enough = expected > 5
    statistic = ((counts - expected)[enough] ** 2 / expected[enough]).sum()
    return LEAST < chi2.sf(statistic, enough.sum() - 1) < 1 - LEAST


@pytest.mark.parametrize("rate", [0.5, 0.3])
@pytest.mark.parametrize("of", ["images", "positions"])
def test_no_two_images_and_no_two_positions_have_related_masks(of: str, rate: float) -> None:
    """All pairs: images of any iteration and unit, and positions."""
    values = (drawn(rate, 5, 4, 40, (8, 10, 10)).flatten(3).flatten(0, 2).numpy() - (1 - rate)).astype(np.float64)
    values = (values if of == "images" else values.T) / np.sqrt(rate * (1 - rate))
    count, size = values.shape
    pairs = (values @ values.T)[np.triu_indices(count, 1)] / np.sqrt(size)
    assert np.abs(pairs).max() < 6
    assert np.std(pairs) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("rate", [0.5, 0.3])
def test_a_mask_depends_neither_on_memory_order_nor_on_threads_nor_on_the_type(rate: float) -> None:
    mask = Mask(rate)
    numbers_of_masks([mask], 64, torch.device("cpu")).random_()
    images = torch.randn(64, *SHAPE)
    expected = mask(images)
    before = torch.get_num_threads()
    for threads, order, dtype in product(
        (1, 2), (torch.contiguous_format, torch.channels_last), (torch.float32, torch.bfloat16)
    ):
        torch.set_num_threads(threads)
        try:
            assert torch.equal(mask(images.to(dtype).contiguous(memory_format=order)), expected)
        finally:
            torch.set_num_threads(before)
    assert torch.equal(mask(images[..., :5, :]), expected[..., :5, :]), "rows are counted from above"


def test_without_numbers_each_call_draws_from_torchs_random_state() -> None:
    mask, images = Mask(0.5), torch.empty(4, *SHAPE)
    torch.manual_seed(0)
    first, second = mask(images), mask(images)
    torch.manual_seed(0)
    assert torch.equal(mask(images), first)
    assert not torch.equal(first, second)
    assert first.float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_one_number_for_all_images_gives_all_the_same_mask() -> None:
    assert Mask(0.5, one_for_all=True)(torch.empty(4, *SHAPE)).shape == (1, *SHAPE)
