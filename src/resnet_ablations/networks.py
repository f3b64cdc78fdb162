"""Print what every network of both papers costs, beside what the papers print; train nothing."""

import argparse
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn
from torchvision.models import vgg16, vgg19

from resnet_ablations.build import meta_network
from resnet_ablations.console import standard_console
from resnet_ablations.network.cost import cost
from resnet_ablations.network.dimensions import UnitShape
from resnet_ablations.network.resnet import parameter_count
from resnet_ablations.network.units import Branch, Placement
from resnet_ablations.overrides import compose


@dataclass(frozen=True)
class PaperInput:
    """The input of a network: the size of its images, its classes, and the batch of one device in the paper."""

    size: int
    classes: int
    batch: int


CIFAR, IMAGENET = PaperInput(32, 10, 64), PaperInput(224, 1000, 32)
PREACTIVATION = "activation=full_preactivation"


@dataclass(frozen=True)
class PrintedNetwork:
    """A network of the papers: its overrides, and the printed numbers of parameters and multiply-adds ("FLOPs")."""

    name: str
    images: PaperInput
    overrides: tuple[str, ...]
    printed_parameters: str = "–"
    printed_multiply_adds: str = "–"


def _cifar(name: str, *overrides: str, printed: str = "–") -> PrintedNetwork:
    return PrintedNetwork(name, CIFAR, overrides, printed_parameters=printed)


def _imagenet(name: str, *overrides: str, printed: str = "–") -> PrintedNetwork:
    return PrintedNetwork(name, IMAGENET, overrides, printed_multiply_adds=printed)


# Parameters: v1, Table 6, and v2, Table 4. Multiply-adds: v1, Table 1.
ENTRIES = (
    *(_cifar(f"plain-{depth}", f"network=resnet{depth}", "shortcut=plain") for depth in (20, 32, 44, 56, 110)),
    _cifar("ResNet-20", "network=resnet20", printed="0.27 M"),
    _cifar("ResNet-32", "network=resnet32", printed="0.46 M"),
    _cifar("ResNet-44", "network=resnet44", printed="0.66 M"),
    _cifar("ResNet-56", "network=resnet56", printed="0.85 M"),
    _cifar("ResNet-110", "network=resnet110", printed="1.7 M"),
    _cifar("ResNet-110, exclusive gating", "network=resnet110", "shortcut=exclusive_gating"),
    _cifar("ResNet-110, 1×1 conv shortcut", "network=resnet110", "shortcut=conv1x1"),
    _cifar("ResNet-110, pre-act", "network=resnet110", PREACTIVATION),
    _cifar("ResNet-110 (1layer)", "network=resnet110_1layer"),
    _cifar("ResNet-110 (1layer), pre-act", "network=resnet110_1layer", PREACTIVATION),
    _cifar("ResNet-164", "network=resnet164"),
    _cifar("ResNet-164, pre-act", "network=resnet164", PREACTIVATION, printed="1.7 M"),
    _cifar("ResNet-1001", "network=resnet1001"),
    _cifar("ResNet-1001, pre-act", "network=resnet1001", PREACTIVATION, printed="10.2 M"),
    _cifar("ResNet-1202", "network=resnet1202", printed="19.4 M"),
    _imagenet("plain-18", "network=imagenet_resnet18", "shortcut=plain", printed="1.8 G"),
    _imagenet("plain-34", "network=imagenet_resnet34", "shortcut=plain", printed="3.6 G"),
    _imagenet("ResNet-18", "network=imagenet_resnet18", printed="1.8 G"),
    _imagenet("ResNet-34 A", "network=imagenet_resnet34", printed="3.6 G"),
    _imagenet("ResNet-34 B", "network=imagenet_resnet34", "network.dimension_change=projection"),
    _imagenet("ResNet-34 C", "network=imagenet_resnet34", "shortcut=conv1x1"),
    _imagenet("ResNet-50", "network=imagenet_resnet50", printed="3.8 G"),
    _imagenet("ResNet-101", "network=imagenet_resnet101", printed="7.6 G"),
    _imagenet("ResNet-101, BN after addition", "network=imagenet_resnet101", "activation=bn_after_addition"),
    _imagenet("ResNet-101, pre-act", "network=imagenet_resnet101", PREACTIVATION),
    _imagenet("ResNet-152", "network=imagenet_resnet152", printed="11.3 G"),
    _imagenet("ResNet-152, pre-act", "network=imagenet_resnet152", PREACTIVATION),
    _imagenet("ResNet-200", "network=imagenet_resnet200"),
    _imagenet("ResNet-200, pre-act", "network=imagenet_resnet200", PREACTIVATION),
)
VGG = ((vgg16, "VGG-16", 16, "15.3 G"), (vgg19, "VGG-19", 19, "19.6 G"))
"""Torchvision's VGG networks; v1, section 4.1, compares its networks with them."""


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(
        prog="resnet-ablations networks", description=__doc__, epilog="example: resnet-ablations networks"
    ).parse_args()
    table = Table(box=None)
    table.add_column("network")
    for heading in ("depth", "units", "parameters", "paper", "multiply-\nadds", "paper", "activations"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in track(ENTRIES, console=Console(stderr=True), transient=True):
        config = compose(entry.overrides)
        network = meta_network(config, channels=3, classes=entry.images.classes)
        shape = f"{config.network.depth}", f"{sum(config.network.stages)}"
        printed = entry.printed_parameters, entry.printed_multiply_adds
        table.add_row(entry.name, *shape, *_costs(network, entry.images, *printed))
    for build, name, depth, printed_multiply_adds in VGG:
        with torch.device("meta"):
            network = build()
        table.add_row(name, str(depth), "", *_costs(network, IMAGENET, "–", printed_multiply_adds))
    standard_console().print(table)
    print(
        f"\nMultiply-adds of one image: {CIFAR.size}×{CIFAR.size}, or {IMAGENET.size}×{IMAGENET.size} for ImageNet. "
        "Activations: what a forward pass in float32 keeps\nfor the backward pass, for the images that one GPU has in "
        f"the papers: {CIFAR.batch}, or {IMAGENET.batch} for ImageNet;\ntrainer.recompute=true keeps less. "
        f"A bottleneck on 256 channels has {weights_on_256_channels(1, 3, 1, expansion=4):,} weights, two 3×3\n"
        f"convolutions on them {weights_on_256_channels(3, 3, expansion=1):,} (v1, section 4.1). "
        "The printed 10.2 M of ResNet-1001 leaves out batch\nnormalisation."
    )


def _costs(network: nn.Module, images: PaperInput, printed_parameters: str, printed_multiply_adds: str) -> list[str]:
    counted = cost(network, (images.batch, 3, images.size, images.size))
    count = counted.multiply_adds
    return [
        f"{parameter_count(network):,}",
        printed_parameters,
        f"{count / 1e9:.2f} G" if count > 1e9 else f"{count / 1e6:.0f} M",
        printed_multiply_adds,
        f"{counted.activation_bytes / 2**20:,.0f} MB",
    ]


def weights_on_256_channels(*kernels: int, expansion: int) -> int:
    """Return the number of weights of the convolutions in a unit with 256 input and output channels."""
    shape = UnitShape(256, 256, stride=1, dimension_change="zero_pad", normalised=False)
    bare = Placement(first=[], between=[], last=[], after_addition=[], stem=[], end=[])
    return parameter_count(Branch(kernels, expansion, strided=0).build(shape, bare))


if __name__ == "__main__":
    main()
