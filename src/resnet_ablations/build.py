"""From a configuration to its network."""

from torch import nn

from resnet_ablations.config import RunConfig
from resnet_ablations.network.resnet import ResNet
from resnet_ablations.network.units import Placement


def build_network(config: RunConfig) -> nn.Module:
    """The network of a configuration: N × channels × H × W float images to N × classes logits.

    Its weights are drawn from torch's global random state.
    """
    source = config.data.source
    return ResNet(
        **config.network.model_dump(),
        placement=Placement(**config.activation.model_dump()),
        shortcut=config.shortcut.build,
        channels=source.shape[2],
        classes=source.classes,
    )
