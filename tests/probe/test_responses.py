"""v1, Fig. 7: the measured layers, and their standard deviation against torch's."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from resnet_ablations.build import network_for
from resnet_ablations.config import RunConfig
from resnet_ablations.overrides import compose
from resnet_ablations.probe.responses import Response, recorded_responses, response_metrics

Config = Callable[..., RunConfig]


def build(config: RunConfig) -> nn.Module:
    """Return a network in evaluation mode, in which BN changes the values of every layer."""
    torch.manual_seed(0)
    network = network_for(config, channels=1, classes=10).eval()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.ndim == 1:
                tensor.uniform_(0.5, 1.5)
    return network


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_a_response_is_the_standard_deviation_of_all_its_values(offset: float) -> None:
    """Batches of different sizes and means, because a mean of their deviations would be wrong."""
    torch.manual_seed(0)
    batches = [torch.randn(images, 3, 5, 4) * scale + offset + scale for images, scale in ((7, 1.0), (2, 9.0), (1, 0))]
    response = Response("layer")
    for batch in batches:
        response.add(batch)
    together = torch.cat([batch.flatten() for batch in batches]).double()
    assert response.std == pytest.approx(together.std(correction=0).item(), rel=1e-9)


def test_a_layer_that_never_varies_has_none() -> None:
    response = Response("layer")
    response.add(torch.full((3, 2, 4, 4), 0.1))
    assert response.std == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("overrides", "layers"),
    [
        (["network=resnet20", "shortcut=plain"], 19),
        (["network=resnet56"], 55),
        (["network=resnet56", "shortcut=conv1x1"], 55),
        (["network=resnet56", "shortcut=exclusive_gating", "shortcut.batch_norm=true"], 55),
        (["network=resnet56", "shortcut=highway_gating"], 55),
        (["network=resnet110_1layer", "network.depth=20"], 19),
        (["network=resnet164", "network.depth=20"], 7),
        (["network=imagenet_resnet18"], 16),
    ],
)
def test_the_3x3_layers_are_measured_and_no_others(overrides: list[str], layers: int) -> None:
    """The 19 layers of plain-20 and the 55 of ResNet-56 in Fig. 7: the stem counts, projections and gates do not."""
    network = build(compose(overrides))
    with recorded_responses(network) as responses:
        network(torch.randn(2, 1, 32, 32))
    assert len(responses) == layers
    assert all(math.isfinite(response.std) for response in responses)


AFTER_BN = {
    "original": [True, True, True],
    "bn_after_addition": [True, True, False],
    "relu_before_addition": [True, True, True],
    "relu_only_preactivation": [True, True, True],
    "full_preactivation": [True, True, False],
}
"""For the stem's convolution and a unit's two: True if BN follows in the branch, so that its output is the response."""


@pytest.mark.parametrize("activation", AFTER_BN)
def test_a_response_comes_after_bn_and_before_relu_and_the_addition(config: Config, activation: str) -> None:
    network = build(config(f"activation={activation}"))
    images = torch.randn(6, 1, 8, 8)
    stored: dict[nn.Module, Tensor] = {}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(lambda module, inputs, output: stored.update({module: output.clone()}))
    with recorded_responses(network) as responses:
        network(images)
    stem, first, second = AFTER_BN[activation]
    for response, after_bn in zip(responses, [stem, *[first, second] * 3], strict=True):
        convolution, following = convolution_and_next(network, response.layer)
        measured = following if after_bn else convolution
        assert response.std == pytest.approx(stored[measured].double().std(correction=0).item(), rel=1e-9)
        if after_bn:
            assert response.std != pytest.approx(stored[convolution].double().std().item(), rel=0.01)


def convolution_and_next(network: nn.Module, layer: str) -> tuple[nn.Module, nn.Module | None]:
    parent, _, child = layer.rpartition(".")
    layers = [*network.get_submodule(parent), None]
    return layers[int(child)], layers[int(child) + 1]


def test_layers_are_named_and_in_the_networks_order(config: Config) -> None:
    with recorded_responses(build(config())) as responses:
        pass
    assert [response.layer for response in responses] == [
        "stem.0",
        *(f"units.{unit}.branch.{layer}" for unit in range(3) for layer in (0, 3)),
    ]


def test_only_calls_inside_the_context_are_measured(config: Config) -> None:
    network = build(config())
    images = torch.randn(4, 1, 8, 8)
    network(10 * images)
    with recorded_responses(network) as responses:
        for batch in images.split(3):
            network(batch)
    once = [response.std for response in responses]
    network(10 * images)
    assert [response.std for response in responses] == once
    with recorded_responses(network) as again:
        network(images)
    assert [response.std for response in again] == pytest.approx(once, rel=1e-5)


def test_measuring_changes_nothing(config: Config) -> None:
    network, images = build(config()), torch.randn(4, 1, 8, 8)
    expected = network(images)
    with recorded_responses(network):
        assert torch.equal(network(images), expected)
    assert not any(module._forward_hooks for module in network.modules())


def test_the_hooks_go_when_a_pass_breaks(config: Config) -> None:
    network = build(config())
    with pytest.raises(RuntimeError), recorded_responses(network):
        network(torch.randn(4, 2, 8, 8))
    assert not any(module._forward_hooks for module in network.modules())


def made(*deviations: float) -> list[Response]:
    responses = []
    for deviation in deviations:
        responses.append(Response("layer"))
        responses[-1].add(torch.tensor([[[[-deviation, deviation]]]]))
    return responses


def test_the_metrics_of_a_run_are_over_its_layers() -> None:
    assert response_metrics(made(1, 2, 6, 1.5)) == pytest.approx(
        {"response_mean": 2.625, "response_median": 1.75, "response_max": 6}
    )


def test_a_network_without_3x3_convolutions_has_no_responses(config: Config) -> None:
    network = build(config("network.kernels=[5,5]", "network.stem.kernel=5"))
    with recorded_responses(network) as responses:
        network(torch.randn(2, 1, 8, 8))
    assert responses == []
    assert response_metrics(responses) == {}
