"""Random masks by integer arithmetic: the same on every device and in every memory order, eager and compiled.

torch's own masks depend on all of these. Here an image has a random 64-bit number, made odd, and a position in the
image has a fixed one, the same in every image (SplitMix64 from the state `STATE`). The product modulo 2⁶⁴, as a signed
integer, is uniformly distributed, and the element is kept if it is at least rate · 2⁶⁴ − 2⁶³. So a mask costs a product
and a comparison an element.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import final

import torch
from torch import Tensor, nn

STATE = 0x243F6A8885A308D3
"""The start state of SplitMix64: digits of π.

With state 0, the number of some positions 2i would be twice that of i, and their masks would be correlated.
"""


@final
class Mask(nn.Module):
    """A random mask for images N × C × H × W: each element is False with probability `rate`, else True.

    `numbers` are N random 64-bit integers, from which the mask follows. Training sets them (`numbers_of_masks`);
    without them, each call draws new ones from torch's random state. If `one_for_all`, all images of an iteration have
    the same number.
    """

    numbers: Tensor | None

    def __init__(self, rate: float, *, one_for_all: bool = False) -> None:
        super().__init__()
        self.one_for_all = one_for_all
        self.threshold = math.ceil(rate * 2**64) - 2**63
        self.register_buffer("numbers", None, persistent=False)
        # torch.compile does not know that products overflow: its code for the positions would crash. Marked here and
        # not by a decorator, which would import torch._dynamo for a second in every process.
        torch.compiler.assume_constant_result(_positions)

    def forward(self, images: Tensor) -> Tensor:
        numbers = self.numbers
        if numbers is None:
            numbers = torch.randint(2**63 - 1, (1 if self.one_for_all else len(images),), device=images.device)
        _, channels, height, width = images.shape
        positions = _positions(channels, height, width, images.device)
        return (numbers | 1)[:, None, None, None] * positions >= self.threshold


def masks_of(network: nn.Module) -> list[Mask]:
    """Return the masks of a network, in its order."""
    return [module for module in network.modules() if isinstance(module, Mask)]


def numbers_of_masks(masks: Sequence[Mask], images: int, device: torch.device) -> Tensor:
    """Return the numbers of masks, masks × images; each mask reads its row from now on."""
    numbers = torch.zeros(len(masks), images, dtype=torch.int64, device=device)
    for mask, own in zip(masks, numbers, strict=True):
        mask.numbers = own
    return numbers


def _positions(channels: int, height: int, width: int, device: torch.device) -> Tensor:
    """Return the number of each position, C × H × W; the place of (c, y, x) is (y · width + x) · channels + c."""
    return _cached_positions(channels, height, width, device)


@cache  # for the life of the process: a CUDA graph reads the same memory at every replay
def _cached_positions(channels: int, height: int, width: int, device: torch.device) -> Tensor:
    places = torch.arange(1, 1 + channels * height * width, device=device)
    return split_mix(STATE, places).view(height, width, channels).permute(2, 0, 1)


def split_mix(state: int, places: Tensor) -> Tensor:
    """Return the outputs of SplitMix64 (Steele et al., 2014) from a state below 2⁶³, by their places counted from 1."""
    mixed = state + places * _signed(0x9E3779B97F4A7C15)
    mixed = (mixed ^ _shifted(mixed, 30)) * _signed(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ _shifted(mixed, 27)) * _signed(0x94D049BB133111EB)
    return mixed ^ _shifted(mixed, 31)


def _signed(word: int) -> int:
    return word - 2**64


def _shifted(words: Tensor, bits: int) -> Tensor:
    """Return words ≫ bits with zeros from the left; torch's ≫ copies the sign."""
    return (words >> bits) & (2 ** (64 - bits) - 1)
