"""The network of a configuration."""

import torch
from torch import nn

from resnet_ablations.config import RunConfig
from resnet_ablations.network.resnet import ResNet
from resnet_ablations.network.units import Branch


def build_network(config: RunConfig) -> nn.Module:
    """Return the network of a configuration: N × channels × H × W float images to N × classes logits.

    The weights are drawn from torch's global random state.
    """
    return network_for(config, channels=config.data.image[0], classes=config.data.source.classes)


def network_for(config: RunConfig, *, channels: int, classes: int) -> nn.Module:
    """Return the network of a configuration for images with other channels or classes."""
    network = config.network
    return ResNet(
        stem=network.stem,
        units=network.stages,
        widths=network.widths,
        branch=Branch(network.kernels, network.expansion, network.strided),
        placement=config.activation,
        shortcut=config.shortcut.build,
        dimension_change=network.dimension_change,
        shared_preactivation=network.shared_preactivation,
        varied_units=network.varied_units,
        init=network.init,
        channels=channels,
        classes=classes,
        recompute=config.trainer.recompute,
    )


def meta_network(config: RunConfig) -> nn.Module:
    """Return the network of a configuration on the meta device, where it takes no memory and computes nothing."""
    with torch.device("meta"):
        return build_network(config)
