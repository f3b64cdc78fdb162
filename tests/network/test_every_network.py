"""Every combination of conf/network, conf/activation and conf/shortcut; a new file is tested automatically."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from made import ACTIVATIONS, NETWORKS, SHORTCUTS, combined, composed, narrow, small

from resnet_ablations.build import network_for

every_network = pytest.mark.parametrize("network", NETWORKS)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def test_the_networks_of_both_papers_are_there() -> None:
    cifar = {"20", "32", "44", "56", "110", "1202", "110_1layer", "164", "1001"}
    assert {f"resnet{name}" for name in cifar} <= set(NETWORKS)
    assert {f"imagenet_resnet{depth}" for depth in (18, 34, 50, 101, 152, 200)} <= set(NETWORKS)


def different_when_small() -> list[str]:
    """Return a network of each kind: networks that differ only in depth and width are the same when they are small."""
    return list({str(small(combined(network)).network): network for network in NETWORKS}.values())


def test_the_kinds_of_networks() -> None:
    assert different_when_small() == [
        *("imagenet_resnet50", "imagenet_resnet34", "resnet164", "resnet56", "resnet110_1layer")
    ]


@every_activation
def test_trains_a_step_when_it_is_small(activation: str) -> None:
    torch.manual_seed(0)
    for network, shortcut in product(different_when_small(), SHORTCUTS):
        config = small(combined(network, activation, shortcut))
        built = network_for(config, channels=1, classes=7)
        size = 32 if config.network.stem.max_pool else 8
        logits = built(torch.randn(3, 1, size, size))
        assert logits.shape == (3, 7)
        F.cross_entropy(logits, torch.tensor([0, 1, 6])).backward()
        for name, parameter in built.named_parameters():
            assert parameter.grad is not None, f"{network}, {shortcut}: {name}"
            assert parameter.grad.isfinite().all(), f"{network}, {shortcut}: {name}"


@every_network
def test_runs_at_its_own_depth_and_width(network: str) -> None:
    """A network for ImageNet, whose weights take seconds to draw, without values, and with values when narrow."""
    config = combined(network, "full_preactivation")
    is_large = config.network.stem.max_pool
    size = 32 if is_large else 8
    for each, device in [(config, "meta"), (narrow(config), "cpu")] if is_large else [(config, "cpu")]:
        with torch.device(device), torch.no_grad():
            built = network_for(each, channels=3, classes=10)
            logits = built(torch.randn(2, 3, size, size))
        assert logits.shape == (2, 10)
        assert len(built.units) == sum(config.network.stages)
    assert logits.isfinite().all()


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_combined_settings_equal_composed_overrides(shortcut: str) -> None:
    ours = combined("resnet164", "full_preactivation", shortcut)
    users = composed("network=resnet164", "activation=full_preactivation", f"shortcut={shortcut}")
    assert (ours.network, ours.activation, ours.shortcut) == (users.network, users.activation, users.shortcut)
