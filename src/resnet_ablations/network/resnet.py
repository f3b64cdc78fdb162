"""The CIFAR residual network of v1, section 4.2: a stem, three stages of n units, global pooling, a classifier."""

from collections.abc import Callable
from typing import Literal, final

from torch import Tensor, nn

from resnet_ablations.network.dimensions import DimensionChange, UnitShape
from resnet_ablations.network.shortcuts import Identity, Shortcut
from resnet_ablations.network.units import Placement, ResidualUnit, activations, conv3x3

WIDTHS = (16, 32, 64)
"""Channels of the three stages; the feature map halves where they double."""


@final
class ResNet(nn.Module):
    """Depth 6n+2: N × channels × H × W float images to N × classes logits.

    Every convolution is He-initialised (`init`: by fan-in or fan-out) and has no bias, γ = 1, β = 0; the classifier
    keeps torch's own initialisation with a zero bias. `varied_units` says which units get `shortcut`: all of them,
    or only those that keep their input's shape, the others then adding option A's x.
    """

    def __init__(
        self,
        *,
        depth: int,
        dimension_change: DimensionChange,
        varied_units: Literal["all", "same_shape"],
        init: Literal["fan_in", "fan_out"],
        placement: Placement,
        shortcut: Callable[[UnitShape], Shortcut],
        channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv3x3(channels, WIDTHS[0]),
            *activations(placement.stem, WIDTHS[0]),
        )
        units = []
        in_channels = WIDTHS[0]
        for width in WIDTHS:
            for _ in range(units_per_stage(depth)):
                stride = 1 if width == in_channels else 2
                shape = UnitShape(in_channels, width, stride, dimension_change)
                varied = varied_units == "all" or not shape.changes
                units.append(ResidualUnit(shape, placement, shortcut(shape) if varied else Identity(shape)))
                in_channels = width
        self.units = nn.Sequential(*units)
        self.end = nn.Sequential(*activations(placement.end, in_channels))
        self.classifier = nn.Linear(in_channels, classes)
        self._initialise(init)

    def forward(self, images: Tensor) -> Tensor:
        features = self.end(self.units(self.stem(images)))
        return self.classifier(features.mean(dim=(2, 3)))

    def _initialise(self, init: Literal["fan_in", "fan_out"]) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode=init, nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, Shortcut):
                module.initialise()
        nn.init.zeros_(self.classifier.bias)


def units_per_stage(depth: int) -> int:
    """The n of depth = 6n+2; raise `ValueError` for any other depth."""
    n, rest = divmod(depth - 2, 6)
    if rest or n < 1:
        raise ValueError("must be 6n+2 (8, 14, 20, …, 56, …, 110, …)")
    return n


def parameter_count(network: nn.Module) -> int:
    """The number of learnt parameters, BN's γ and β counted."""
    return sum(parameter.numel() for parameter in network.parameters())
