"""The residual networks of v1 and v2: a stem, stages of residual units, global average pooling, a classifier."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, final

from annotated_types import Ge, Le
from torch import Tensor, nn

from resnet_ablations.network.dimensions import DimensionChange, UnitShape
from resnet_ablations.network.recomputation import recomputed
from resnet_ablations.network.shortcuts import Identity, Shortcut
from resnet_ablations.network.units import Branch, KernelSize, Placement, ResidualUnit, activations, convolution


@dataclass(frozen=True)
class Stem:
    """The layers before the first unit: CIFAR's 3×3 convolution, or ImageNet's 7×7/2 and 3×3/2 maximum pooling."""

    width: Annotated[int, Ge(1), Le(8_192)]
    """The channels of the convolution's output."""
    kernel: KernelSize
    stride: Annotated[int, Ge(1)]
    max_pool: bool


@final
class ResNet(nn.Module):
    """A residual network: N × channels × H × W float images to N × classes logits.

    Stage i has `units[i]` units of `widths[i]` channels; from the second stage on, the first unit of a stage halves
    the feature map.

    - `varied_units`: the units that get `shortcut`. "all", or "same_shape": only the units that keep the shape of
      their input; the other units then add x, mapped by `dimension_change`.
    - `shared_preactivation`: the units whose shortcut reads the pre-activated x. "projections": the units that change
      dimensions by a projection; "dimension_changes": all units that change dimensions.
    - `recompute` saves memory and changes no number.
    """

    def __init__(
        self,
        *,
        stem: Stem,
        units: Sequence[int],
        widths: Sequence[int],
        branch: Branch,
        placement: Placement,
        shortcut: Callable[[UnitShape], Shortcut],
        dimension_change: DimensionChange,
        shared_preactivation: Literal["projections", "dimension_changes"],
        varied_units: Literal["all", "same_shape"],
        channels: int,
        classes: int,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.stem = nn.Sequential(
            convolution(channels, stem.width, stem.kernel, stem.stride),
            *activations(placement.stem, stem.width),
            *([nn.MaxPool2d(3, 2, 1)] if stem.max_pool else []),
        )
        shares = dimension_change == "projection" or shared_preactivation == "dimension_changes"
        layers: list[nn.Module] = []
        in_channels = stem.width
        for stage, (count, width) in enumerate(zip(units, widths, strict=True)):
            for position in range(count):
                shape = UnitShape(
                    in_channels,
                    width * branch.expansion,
                    stride=2 if stage > 0 and position == 0 else 1,
                    dimension_change=dimension_change,
                    normalised=placement.ends_normalised,
                    index=len(layers),
                    count=sum(units),
                )
                varied = varied_units == "all" or not shape.changes
                layers.append(
                    ResidualUnit(
                        # The stem has already applied the first activation.
                        first=activations(placement.first, in_channels) if layers else [],
                        shared=shares and shape.changes,
                        branch=branch.build(shape, placement),
                        shortcut=shortcut(shape) if varied else Identity(shape),
                        after_addition=activations(placement.after_addition, shape.out_channels),
                    )
                )
                in_channels = shape.out_channels
        self.units = nn.Sequential(*layers)
        self.end = nn.Sequential(*activations(placement.end, in_channels))
        self.classifier = nn.Linear(in_channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = recomputed(self.units, x) if self.recompute else self.units(x)
        return self.classifier(self.end(x).mean(dim=(2, 3)))


def equal_stages(depth: int, layers: int, stages: int) -> list[int]:
    """Return [n, n, …], the units of each stage, for depth = stages·layers·n + 2.

    `layers` is the number of weight layers in a unit. Raise `ValueError` if no n fits the depth.
    """
    step = stages * layers
    n, rest = divmod(depth - 2, step)
    if rest or n < 1:
        raise ValueError(f"must be {step}n+2 ({step + 2}, {2 * step + 2}, {3 * step + 2}, …)")
    return [n] * stages


def parameter_count(network: nn.Module) -> int:
    """Return the number of trainable parameters, including BN's γ and β."""
    return sum(parameter.numel() for parameter in network.parameters())
