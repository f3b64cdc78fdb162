"""The network of a configuration, with its initial weights."""

import math
from typing import Literal

import torch
from torch import nn

from resnet_ablations.config import RunConfig
from resnet_ablations.network.resnet import ResNet
from resnet_ablations.network.shortcuts import Shortcut
from resnet_ablations.network.units import Branch
from resnet_ablations.streams import Purpose, Stream


def build_network(config: RunConfig) -> nn.Module:
    """Return the network of a configuration: N × channels × H × W float images to N × classes logits.

    The initial weights are a function of the configuration and its seed.
    """
    return network_for(config, channels=config.data.image[0], classes=config.data.source.classes)


def network_for(config: RunConfig, *, channels: int, classes: int) -> nn.Module:
    """Return the network of a configuration for images with other channels or classes."""
    settings = config.network
    network = ResNet(
        stem=settings.stem,
        units=settings.stages,
        widths=settings.widths,
        branch=Branch(settings.kernels, settings.expansion, settings.strided),
        placement=config.activation,
        shortcut=config.shortcut.build,
        dimension_change=settings.dimension_change,
        shared_preactivation=settings.shared_preactivation,
        varied_units=config.shortcut.varied_units,
        channels=channels,
        classes=classes,
        recompute=config.trainer.recompute,
    )
    if not network.classifier.weight.is_meta:
        _initialise(network, settings.init, Stream(config.seed, Purpose.WEIGHTS))
    return network


def _initialise(network: ResNet, fan: Literal["fan_in", "fan_out"], stream: Stream) -> None:
    """Draw the weights, layer by layer: He's normal ones in convolutions, torch's uniform ones in the classifier.

    Other start values are γ = 1, and 0 in `zero_bn`; β = 0; a zero bias in the classifier; what a shortcut sets itself.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                channels = module.in_channels if fan == "fan_in" else module.out_channels
                deviation = math.sqrt(2 / (channels * math.prod(module.kernel_size)))
                module.weight.copy_(torch.from_numpy(stream.normal(0, deviation, tuple(module.weight.shape))))
        weight = network.classifier.weight
        bound = 1 / math.sqrt(network.classifier.in_features)
        weight.copy_(torch.from_numpy(stream.uniform(-bound, bound, tuple(weight.shape))))
        nn.init.zeros_(network.classifier.bias)
    for module in network.modules():
        if isinstance(module, Shortcut):
            module.initialise()


def meta_network(config: RunConfig, *, channels: int | None = None, classes: int | None = None) -> nn.Module:
    """Return the network of a configuration on the meta device, where it takes no memory and computes nothing.

    `channels` and `classes` are those of the configuration's data unless given.
    """
    with torch.device("meta"):
        return network_for(
            config, channels=channels or config.data.image[0], classes=classes or config.data.source.classes
        )
