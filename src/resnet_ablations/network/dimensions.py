"""The map from x to the shape of F(x) in a unit that changes dimensions: options A and B of v1, section 3.3."""

from dataclasses import dataclass
from typing import Literal, final

import torch.nn.functional as F
from torch import Tensor, nn

DimensionChange = Literal["zero_pad", "zero_pad_both_sides", "average_pool", "projection"]


@dataclass(frozen=True)
class UnitShape:
    """The shapes of a residual unit's input and output, its way to change dimensions, and its place in the network.

    Input: N × in_channels × H × W. Output: N × out_channels × H/stride × W/stride.
    """

    in_channels: int
    out_channels: int
    stride: int
    dimension_change: DimensionChange
    normalised: bool
    """True if batch normalisation follows a projection."""
    index: int = 0
    """The unit's number, counted from 0."""
    count: int = 1
    """The number of units in the network."""

    @property
    def changes(self) -> bool:
        """True if x and F(x) differ in shape."""
        return self.stride > 1 or self.in_channels != self.out_channels

    def match(self) -> nn.Module:
        """Return a module that maps x to the shape of F(x); only `projection` has parameters."""
        if not self.changes:
            return nn.Identity()
        return Projection(self) if self.dimension_change == "projection" else OptionA(self)


@final
class OptionA(nn.Module):
    """v1's option A: subsampling, and zeros in the added channels.

    `zero_pad` takes every stride-th pixel and appends the zero channels. `zero_pad_both_sides` puts half of the zero
    channels before x and half after it. `average_pool` takes stride × stride means instead of single pixels.
    """

    def __init__(self, unit: UnitShape) -> None:
        super().__init__()
        added = unit.out_channels - unit.in_channels
        before = added // 2 if unit.dimension_change == "zero_pad_both_sides" else 0
        self.padding = (0, 0, 0, 0, before, added - before)
        self.stride = unit.stride
        self.pool = unit.dimension_change == "average_pool"

    def forward(self, x: Tensor) -> Tensor:
        # The size is rounded up, as in a strided convolution; a window at the border averages the pixels inside x.
        smaller = F.avg_pool2d(x, self.stride, ceil_mode=True) if self.pool else x[:, :, :: self.stride, :: self.stride]
        return F.pad(smaller, self.padding)


@final
class Projection(nn.Sequential):
    """v1's option B, eq. 2: a strided 1×1 convolution, and batch normalisation if F ends in batch normalisation.

    F of a pre-activation unit ends in a convolution, so its projection has no batch normalisation, as in the code
    published with v2 (KaimingHe/resnet-1k-layers).
    """

    def __init__(self, unit: UnitShape) -> None:
        normalisation = [nn.BatchNorm2d(unit.out_channels)] if unit.normalised else []
        super().__init__(
            nn.Conv2d(unit.in_channels, unit.out_channels, 1, unit.stride, bias=False),
            *normalisation,
        )
