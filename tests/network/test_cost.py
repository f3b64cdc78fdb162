"""Costs of networks: the papers' parameters and multiply-adds, and a network counted by hand."""

import math
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from made import combined, composed, small
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from resnet_ablations.build import meta_network, network_for
from resnet_ablations.config import RunConfig
from resnet_ablations.network.cost import Cost, cost
from resnet_ablations.network.resnet import parameter_count
from resnet_ablations.networks import weights_on_256_channels

PREACTIVATION = "activation=full_preactivation"
RESNET110, GATES = 1_727_962, 96_224


def on_meta(config: RunConfig, classes: int = 1000) -> nn.Module:
    return meta_network(config, channels=3, classes=classes)


@cache
def on_cifar(*overrides: str) -> nn.Module:
    return on_meta(composed(*overrides), classes=10)


@pytest.mark.parametrize(
    ("added", "overrides"),
    [
        (0, []),
        (0, ["network.dimension_change=zero_pad_both_sides"]),
        (0, ["network.dimension_change=average_pool"]),
        (0, ["shortcut=plain"]),
        (0, ["shortcut=constant_scaling"]),
        (0, ["shortcut=dropout"]),
        (0, [PREACTIVATION]),
        (GATES, ["shortcut=exclusive_gating", "shortcut.varied_units=all"]),
        (GATES, ["shortcut=shortcut_only_gating", "shortcut.varied_units=all"]),
        # The units 16→32 and 32→64 have no gate: 1×1 weights and one bias a channel.
        (GATES - (16 * 32 + 32) - (32 * 64 + 64), ["shortcut=exclusive_gating"]),
        (GATES - (16 * 32 + 32) - (32 * 64 + 64), ["shortcut=shortcut_only_gating"]),
        (94_208, ["shortcut=conv1x1", "shortcut.batch_norm=false"]),
        (98_240, ["shortcut=conv1x1", "shortcut.batch_norm=true"]),
    ],
)
def test_parameters_of_resnet110(added: int, overrides: list[str]) -> None:
    assert parameter_count(on_cifar("network=resnet110", *overrides)) == RESNET110 + added


@pytest.mark.parametrize(
    ("parameters", "overrides"),
    [
        (RESNET110, ["network=resnet110_1layer"]),
        (RESNET110, ["network=resnet110_1layer", PREACTIVATION]),
        (1_704_154, ["network=resnet164"]),
        (1_703_258, ["network=resnet164", PREACTIVATION]),
        (10_328_602, ["network=resnet1001"]),
        (10_327_706, ["network=resnet1001", PREACTIVATION]),
    ],
)
def test_parameters_of_v2s_networks(parameters: int, overrides: list[str]) -> None:
    assert parameter_count(on_cifar(*overrides)) == parameters


@pytest.mark.parametrize(
    ("depth", "printed"), [(20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7"), (1202, "19.4")]
)
def test_parameters_of_v1s_networks(depth: int, printed: str) -> None:
    """Table 6, to the printed digits."""
    digits = len(printed.partition(".")[2])
    assert f"{parameter_count(on_cifar(f'network=resnet{depth}')) / 1e6:.{digits}f}" == printed


def test_the_printed_10_2_million_of_resnet1001_leave_out_batch_normalisation() -> None:
    """v2, Table 4: 10.2 million counts the convolutions and the classifier; with γ and β there are 10,327,706.

    The same holds for the 1.7 million of ResNet-164.
    """
    for name, printed, counted in (("resnet1001", "10.2", 10_178_490), ("resnet164", "1.7", None)):
        network = on_cifar(f"network={name}", PREACTIVATION)
        affine = sum(parameter_count(module) for module in network.modules() if isinstance(module, nn.BatchNorm2d))
        assert f"{(parameter_count(network) - affine) / 1e6:.1f}" == printed
        assert counted in (None, parameter_count(network) - affine)


def test_weights_of_a_bottleneck_and_of_two_3x3_convolutions() -> None:
    """v1, section 4.1, on 256 channels."""
    assert weights_on_256_channels(1, 3, 1, expansion=4) == 69_632
    assert weights_on_256_channels(3, 3, expansion=1) == 1_179_648


@pytest.mark.parametrize(("depth", "printed"), [(18, 1.8), (101, 7.6), (152, 11.3)])
def test_multiply_adds_of_v1s_table_1(depth: int, printed: float) -> None:
    network = on_meta(combined(f"imagenet_resnet{depth}"))
    assert cost(network, (1, 3, 224, 224)).multiply_adds / 1e9 == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize(("depth", "ours", "printed"), [(34, "3.64", 3.6), (50, "3.86", 3.8)])
def test_multiply_adds_that_v1s_table_1_cuts_to_two_digits(depth: int, ours: str, printed: float) -> None:
    """The printed number is ours, truncated to two digits and not rounded; the difference is more than 1 %."""
    counted = cost(on_meta(combined(f"imagenet_resnet{depth}")), (1, 3, 224, 224)).multiply_adds / 1e9
    assert f"{counted:.2f}" == ours
    assert math.floor(10 * counted) / 10 == printed
    assert 0 <= counted - printed < 0.1


def test_the_stride_in_the_3x3_would_not_fit_v1s_3_8() -> None:
    """torchvision's network has 4.1 G, so the count distinguishes the two positions of a bottleneck's stride."""
    config = composed("network=imagenet_resnet50", "network.bottleneck_stride=conv3x3")
    assert cost(on_meta(config), (1, 3, 224, 224)).multiply_adds / 1e9 == pytest.approx(4.09, abs=0.005)


def test_a_network_counted_by_hand() -> None:
    """One basic unit on 4 channels with 6 × 5 images: its multiply-adds and kept activations."""
    network = small(combined("resnet20"), width=4)
    one_stage = network.network.model_copy(update={"units": [1], "widths": [4], "depth": 4})
    counted = cost(on_meta(network.model_copy(update={"network": one_stage}), classes=7), (2, 3, 6, 5))
    pixels = 6 * 5
    stem, unit, classifier = 3 * 9 * 4 * pixels, 2 * (4 * 9 * 4 * pixels), 4 * 7
    assert counted.multiply_adds == stem + unit + classifier
    # Kept as inputs of what follows: convolution's and BN's inputs, ReLU's outputs, means, the BNs' own statistics.
    images, convolved, activated, means, statistics = 3 * pixels, 3 * 4 * pixels, 3 * 4 * pixels, 4, 3 * 2 * 4
    assert counted.activation_bytes == 4 * (2 * (images + convolved + activated + means) + statistics)


@pytest.mark.parametrize(
    ("network", "size", "shortcut"),
    [
        ("resnet20", 16, "identity"),
        ("resnet20", 16, "exclusive_gating"),
        ("resnet20", 16, "conv1x1"),
        ("resnet20", 16, "dropout"),
        ("resnet164", 16, "identity"),
        ("imagenet_resnet50", 64, "identity"),
    ],
)
def test_activation_bytes_are_what_a_forward_pass_leaves_allocated(network: str, size: int, shortcut: str) -> None:
    """torch's profiler records every allocation on the CPU, independently of graphs and hooks."""
    config = small(combined(network, "full_preactivation", shortcut), units=2)
    shape = (4, 3, size, size)
    real, images = network_for(config, channels=3, classes=10), torch.randn(shape)
    real(images)  # masks keep the numbers of their positions for good
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        logits = real(images)
    allocated = sum(event.self_cpu_memory_usage for event in record.events())
    of_logits, of_images = logits.untyped_storage().nbytes(), images.untyped_storage().nbytes()
    assert logits.requires_grad
    counted = cost(on_meta(config, classes=10), shape).activation_bytes
    assert counted == allocated - of_logits + of_images


def test_parameters_and_buffers_are_not_counted_as_activations() -> None:
    """Weights and running statistics do not count, and an input that is kept twice counts once."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(1000, 16, device="meta"))

        def forward(self, x: Tensor) -> Tensor:
            x = 2 * x
            return F.linear(x, self.weight) + F.linear(x, self.weight)

    assert cost(Twice(), (8, 16)) == Cost(multiply_adds=2 * 16 * 1000, activation_bytes=4 * 8 * 16)


def test_costs_of_one_image_do_not_depend_on_the_batch() -> None:
    network = on_meta(small(combined("resnet20")), classes=10)
    one, five = (cost(network, (images, 3, 16, 16)) for images in (1, 5))
    assert one.multiply_adds == five.multiply_adds
    assert five.activation_bytes == pytest.approx(5 * one.activation_bytes, rel=0.02)
