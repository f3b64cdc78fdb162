"""The layers of small networks, against their known modules."""

from collections.abc import Callable

import torch
from torch import nn

from resnet_ablations.build import network_for
from resnet_ablations.config import RunConfig
from resnet_ablations.probe.layers import Layer, layers

Config = Callable[..., RunConfig]


def test_the_layers_of_a_unit_in_the_order_of_their_use(config: Config) -> None:
    """ResNet-8 with 16, 32 and 64 channels: its second unit halves 8×8 and doubles the channels."""
    network = network_for(config("shortcut=conv1x1"), channels=3, classes=10)
    assert [layer for layer in layers(network, torch.zeros(2, 3, 8, 8)) if layer.name.startswith("units.1.")] == [
        Layer("units.1.branch.0", "3×3 convolution, stride 2", "32×4×4", 16 * 32 * 9),
        Layer("units.1.branch.1", "batch normalisation", "32×4×4", 64),
        Layer("units.1.branch.2", "ReLU", "32×4×4", 0),
        Layer("units.1.branch.3", "3×3 convolution", "32×4×4", 32 * 32 * 9),
        Layer("units.1.branch.4", "batch normalisation", "32×4×4", 64),
        Layer("units.1.shortcut.conv", "1×1 convolution, stride 2", "32×4×4", 16 * 32),
        Layer("units.1.shortcut.normalise", "batch normalisation", "32×4×4", 64),
        Layer("units.1.after_addition.0", "ReLU", "32×4×4", 0),
    ]


def test_all_parameters_belong_to_one_layer_each(config: Config) -> None:
    network = network_for(config("activation=full_preactivation"), channels=3, classes=10)
    found = layers(network, torch.zeros(2, 3, 8, 8))
    assert sum(layer.parameters for layer in found) == sum(parameter.numel() for parameter in network.parameters())
    assert found[0] == Layer("stem.0", "3×3 convolution", "16×8×8", 3 * 16 * 9)
    assert found[-1] == Layer("classifier", "Linear", "10", 650)


def test_a_layer_that_is_used_twice_is_there_twice_and_an_idle_one_not() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.idle, self.used = nn.ReLU(), nn.Flatten()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.used(self.used(images))

    assert layers(Network(), torch.zeros(2, 3, 8, 8)) == 2 * [Layer("used", "Flatten", "192", 0)]


def test_the_network_is_left_as_it_was(config: Config) -> None:
    network = network_for(config(), channels=3, classes=10).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layers(network, torch.ones(2, 3, 8, 8))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
