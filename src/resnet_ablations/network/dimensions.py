"""What stands for "x" where a unit changes its input's shape: v1's options A and B (section 3.3)."""

from dataclasses import dataclass
from typing import Literal, final

import torch.nn.functional as F
from torch import Tensor, nn

DimensionChange = Literal["zero_pad", "zero_pad_both_sides", "average_pool", "projection"]


@dataclass(frozen=True)
class UnitShape:
    """What a residual unit does to the shape: N × in × H × W becomes N × out × H/stride × W/stride."""

    in_channels: int
    out_channels: int
    stride: int
    dimension_change: DimensionChange
    normalised: bool
    """Whether a projection is followed by batch normalisation."""

    @property
    def changes(self) -> bool:
        """Whether x and F(x) differ in shape."""
        return self.stride > 1 or self.in_channels != self.out_channels

    def match(self) -> nn.Module:
        """The map from x to F(x)'s shape; nothing to learn in it but for `projection`."""
        if not self.changes:
            return nn.Identity()
        return Projection(self) if self.dimension_change == "projection" else OptionA(self)


@final
class OptionA(nn.Module):
    """v1's option A: every stride-th pixel, with zeros for the added channels.

    `zero_pad` appends the zeros, `zero_pad_both_sides` puts half before and half after, `average_pool` appends them
    to stride × stride means in place of every stride-th pixel.
    """

    def __init__(self, unit: UnitShape) -> None:
        super().__init__()
        added = unit.out_channels - unit.in_channels
        before = added // 2 if unit.dimension_change == "zero_pad_both_sides" else 0
        self.padding = (0, 0, 0, 0, before, added - before)
        self.stride = unit.stride
        self.pool = unit.dimension_change == "average_pool"

    def forward(self, x: Tensor) -> Tensor:
        # Rounded up, as every stride-th pixel and a strided convolution are; at the border the mean of what is there.
        smaller = F.avg_pool2d(x, self.stride, ceil_mode=True) if self.pool else x[:, :, :: self.stride, :: self.stride]
        return F.pad(smaller, self.padding)


@final
class Projection(nn.Sequential):
    """v1's option B, eq. 2: a strided 1×1 convolution, and batch normalisation where F ends in one.

    So a pre-activation unit, whose F ends in a convolution, has none, as in the released code.
    """

    def __init__(self, unit: UnitShape) -> None:
        normalisation = [nn.BatchNorm2d(unit.out_channels)] if unit.normalised else []
        super().__init__(
            nn.Conv2d(unit.in_channels, unit.out_channels, 1, unit.stride, bias=False),
            *normalisation,
        )
