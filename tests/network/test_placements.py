"""v2, Fig. 4 a-e, and its text on the first and the last unit: the order of operations in a real forward pass."""

import copy

import pytest
import torch
import torch.nn.functional as F
from made import ACTIVATIONS, SHORTCUTS, combined, shaken, small
from torch import Tensor, nn

from resnet_ablations.build import network_for
from resnet_ablations.network.shortcuts import Shortcut
from resnet_ablations.network.units import ResidualUnit

BASIC = {
    "original": "W BN ReLU W BN + ReLU",
    "bn_after_addition": "W BN ReLU W + BN ReLU",
    "relu_before_addition": "W BN ReLU W BN ReLU +",
    "relu_only_preactivation": "ReLU W BN ReLU W BN +",
    "full_preactivation": "BN ReLU W BN ReLU W +",
}
"""Fig. 4, as it is drawn."""
BOTTLENECK = {
    "original": "W BN ReLU W BN ReLU W BN + ReLU",
    "bn_after_addition": "W BN ReLU W BN ReLU W + BN ReLU",
    "relu_before_addition": "W BN ReLU W BN ReLU W BN ReLU +",
    "relu_only_preactivation": "ReLU W BN ReLU W BN ReLU W BN +",
    "full_preactivation": "BN ReLU W BN ReLU W BN ReLU W +",
}
SINGLE = {
    "original": "W BN + ReLU",
    "bn_after_addition": "W + BN ReLU",
    "relu_before_addition": "W BN ReLU +",
    "relu_only_preactivation": "ReLU W BN +",
    "full_preactivation": "BN ReLU W +",
}
BRANCHES = {"resnet20": BASIC, "resnet164": BOTTLENECK, "resnet110_1layer": SINGLE}
STEM = "W BN ReLU"
WITHOUT_FIRST = {"relu_only_preactivation": "ReLU ", "full_preactivation": "BN ReLU "}
"""The part of the first unit that the stem applies: "the first activation right after conv1 and before splitting"."""
END = {"relu_only_preactivation": "ReLU", "full_preactivation": "BN ReLU"}
"""The layers after the last unit: "an extra activation right after its element-wise addition"."""

CASES = [(network, placement) for network, figure in BRANCHES.items() for placement in figure]
NAMES = {nn.Conv2d: "W", nn.BatchNorm2d: "BN", nn.ReLU: "ReLU", nn.MaxPool2d: "pool", nn.Linear: "FC"}


def build(network: str, placement: str, shortcut: str = "identity", units: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return shaken(network_for(small(combined(network, placement, shortcut), units), channels=3, classes=10))


def trace(network: nn.Module, images: Tensor) -> tuple[str, list[str], str]:
    """Return the operations before, in and after the units, in the order of the forward pass.

    The whole shortcut is one "+".
    """
    sections = [""]
    within = {id(m) for s in network.modules() if isinstance(s, Shortcut) for m in s.modules()}
    for module in network.modules():
        if isinstance(module, ResidualUnit):
            module.register_forward_pre_hook(lambda *_: sections.append(""))
            module.register_forward_hook(lambda *_: sections.append(""))
        elif isinstance(module, Shortcut):
            module.register_forward_hook(lambda *_: sections.append(sections.pop() + " +"))
        elif type(module) in NAMES and id(module) not in within:
            name = NAMES[type(module)]
            module.register_forward_hook(lambda *_, name=name: sections.append(f"{sections.pop()} {name}"))
    network(images)
    stem, *units, end = (section.strip() for section in sections)
    assert not any(units[1::2]), "between two units there is nothing"
    return stem, units[::2], end


def test_every_placement_is_one_of_fig_4() -> None:
    assert set(ACTIVATIONS) == {*BASIC, "zero_last_gamma"}  # Fig. 4a with another γ: test_later_shortcuts.py


@pytest.mark.parametrize(("network", "placement"), CASES)
def test_fig_4(network: str, placement: str) -> None:
    """Stem, first, middle and last unit, end: no activation is missing or doubled."""
    drawn = BRANCHES[network][placement]
    stem, units, end = trace(build(network, placement), torch.randn(2, 3, 16, 16))
    assert stem == STEM
    assert units[0] == drawn.removeprefix(WITHOUT_FIRST.get(placement, ""))
    assert len(units[0].split()) == len(drawn.split()) - len(WITHOUT_FIRST.get(placement, "").split())
    assert units[1:] == [drawn] * 8
    assert end == f"{END.get(placement, '')} FC".strip()


@pytest.mark.parametrize("placement", BASIC)
def test_the_imagenet_stem_pools_once_activated(placement: str) -> None:
    network = build("imagenet_resnet34", placement, units=1)
    stem, units, end = trace(network, torch.randn(2, 3, 64, 64))
    assert stem == f"{STEM} pool"
    assert units[0] == BASIC[placement].removeprefix(WITHOUT_FIRST.get(placement, ""))
    assert end == f"{END.get(placement, '')} FC".strip()


def without_in_place(network: nn.Module) -> nn.Module:
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network


@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize(("network", "placement"), CASES)
def test_in_place_activations_change_no_number(network: str, placement: str, shortcut: str) -> None:
    """Logits and gradients are bit for bit those of a network without in-place operations."""
    quick = build(network, placement, shortcut, units=2)
    assert any(module.inplace for module in quick.modules() if isinstance(module, nn.ReLU))
    slow = without_in_place(quick)
    images, labels = torch.randn(4, 3, 8, 8), torch.randint(10, (4,))
    outcomes = []
    for each in (quick, slow):
        torch.manual_seed(1)  # for dropout
        logits = each(images)
        F.cross_entropy(logits, labels).backward()
        outcomes.append([logits.detach(), *(parameter.grad for parameter in each.parameters())])
    for ours, theirs in zip(*outcomes, strict=True):
        assert torch.equal(ours, theirs)
