"""Residual units: a branch F, an activation placement (v2, Fig. 4) and a shortcut (v2, Fig. 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor, nn

from resnet_ablations.network.dimensions import UnitShape
from resnet_ablations.network.shortcuts import Shortcut

Activation = Literal["bn", "relu"]


@dataclass(frozen=True)
class Placement:
    """Where batch normalisation and ReLU stand (v2, Fig. 4), as lists of "bn" and "relu".

    In a unit: `first` before the first weight layer, `between` two weight layers, `last` after the last weight layer
    and before the addition, `after_addition`. In the network: `stem` after the first convolution, `end` after the
    last unit.
    """

    first: Sequence[Activation]
    between: Sequence[Activation]
    last: Sequence[Activation]
    after_addition: Sequence[Activation]
    stem: Sequence[Activation]
    end: Sequence[Activation]


def activations(names: Sequence[Activation], channels: int) -> list[nn.Module]:
    """The layers of one of a placement's lists."""
    # A ReLU that comes first must not overwrite its input: that may be the x which the shortcut still needs.
    return [
        nn.BatchNorm2d(channels) if name == "bn" else nn.ReLU(inplace=position > 0)
        for position, name in enumerate(names)
    ]


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3×3 convolution, padding 1, without bias."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)


def basic_branch(shape: UnitShape, placement: Placement) -> nn.Sequential:
    """v1's two-layer F: 3×3, 3×3, the first with the unit's stride."""
    return nn.Sequential(
        *activations(placement.first, shape.in_channels),
        conv3x3(shape.in_channels, shape.out_channels, shape.stride),
        *activations(placement.between, shape.out_channels),
        conv3x3(shape.out_channels, shape.out_channels),
        *activations(placement.last, shape.out_channels),
    )


@final
class ResidualUnit(nn.Module):
    """v2, eq. 1 and 2: y = merge(x, F(x)), then x' = f(y) with f the activation after the addition."""

    def __init__(self, shape: UnitShape, placement: Placement, shortcut: Shortcut) -> None:
        super().__init__()
        self.branch = basic_branch(shape, placement)
        self.shortcut = shortcut
        self.after_addition = nn.Sequential(*activations(placement.after_addition, shape.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.after_addition(self.shortcut(x, self.branch(x)))
