"""Residual units: a branch F, an activation placement (v2, Fig. 4) and a shortcut (v2, Fig. 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final, Literal, final

from annotated_types import Ge, Predicate
from torch import Tensor, nn

from resnet_ablations.network.dimensions import UnitShape
from resnet_ablations.network.shortcuts import Shortcut

Activation = Literal["bn", "relu", "zero_bn"]
"""A layer of a placement."""
INITIAL_GAMMA: Final = {"bn": 1.0, "zero_bn": 0.0}
"""The layers that are batch normalisation, each with its initial γ."""


def odd(size: int) -> bool:
    """Return whether the kernel size is odd, so that padding can keep the size of the feature map."""
    return size % 2 == 1


KernelSize = Annotated[int, Ge(1), Predicate(odd)]
"""Height and width of a convolution's kernel."""


@dataclass(frozen=True)
class Placement:
    """An activation placement (v2, Fig. 4): the positions of batch normalisation and ReLU, as lists of their names.

    In a unit: `first` before the first weight layer, `between` two weight layers, `last` after the last weight layer
    and before the addition, `after_addition`. In the network: `stem` after the first convolution, which replaces the
    first unit's `first` (v2, appendix: the activation comes before the first split); `end` after the last unit.
    """

    first: list[Activation]
    between: list[Activation]
    last: list[Activation]
    after_addition: list[Activation]
    stem: list[Activation]
    end: list[Activation]

    @property
    def ends_normalised(self) -> bool:
        """True if F has batch normalisation after its last weight layer."""
        return any(name in INITIAL_GAMMA for name in self.last)


@dataclass(frozen=True)
class Branch:
    """The convolutions of F, by kernel size: basic (3, 3), bottleneck (1, 3, 1), single (3,).

    All but the last convolution have as many output channels as the stage is wide; the last one has `expansion` times
    as many.
    Convolution number `strided`, counted from 0, has the unit's stride.
    """

    kernels: Sequence[int]
    expansion: int
    strided: int

    def build(self, shape: UnitShape, placement: Placement) -> nn.Sequential:
        """Return F from its first weight layer on: without the placement's `first`."""
        width = shape.out_channels // self.expansion
        channels = [shape.in_channels, *[width] * (len(self.kernels) - 1), shape.out_channels]
        layers: list[nn.Module] = []
        for index, kernel in enumerate(self.kernels):
            stride = shape.stride if index == self.strided else 1
            layers.append(convolution(channels[index], channels[index + 1], kernel, stride))
            is_last = index == len(self.kernels) - 1
            layers += activations(placement.last if is_last else placement.between, channels[index + 1])
        return nn.Sequential(*layers)


def activations(names: Sequence[Activation], channels: int) -> list[nn.Module]:
    """Return the layers of one list of a placement."""
    # Only ReLU reads BN's output, so ReLU may overwrite it; any other input may also be the shortcut's x.
    return [
        _batch_norm(channels, INITIAL_GAMMA[name]) if name in INITIAL_GAMMA else nn.ReLU(before in INITIAL_GAMMA)
        for before, name in pairwise([None, *names])
    ]


def _batch_norm(channels: int, gamma: float) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels)
    nn.init.constant_(layer.weight, gamma)
    return layer


def convolution(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias, padded so that stride 1 keeps the feature map's size."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)


@final
class ResidualUnit(nn.Module):
    """v2, eq. 1 and 2: y = merge(x, F(x)), then x' = f(y), where f is the activation after the addition.

    `first` is the pre-activation before F. If it is `shared`, it comes before the split, so that the shortcut also
    reads the activated x.
    """

    def __init__(
        self,
        first: Sequence[nn.Module],
        shared: bool,
        branch: nn.Module,
        shortcut: Shortcut,
        after_addition: Sequence[nn.Module],
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(*first)
        self.shared = shared
        self.branch = branch
        self.shortcut = shortcut
        self.after_addition = nn.Sequential(*after_addition)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.first(x)
        return self.after_addition(self.shortcut(activated if self.shared else x, self.branch(activated)))
