"""The opening of gates, against the gates' own formula."""

import math

import pytest
import torch

from resnet_ablations.build import build_network
from resnet_ablations.overrides import compose
from resnet_ablations.probe.gates import openings

IMAGES = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_closed_and_open_gates() -> None:
    """Every gate is σ(b_g) where W_g = 0. Two of the three units change dimensions."""
    for bias, shut in ((-6, 0.0), (2, 1.0)):
        settings = ("shortcut.gate_weights=zero", f"shortcut.gate_bias={bias}", "shortcut.varied_units=all")
        found = openings(build_network(compose(["network.depth=8", "shortcut=exclusive_gating", *settings])), IMAGES)
        assert [opening.unit for opening in found] == [1, 2, 3]
        for opening in found:
            assert opening.mean == pytest.approx(1 / (1 + math.exp(-bias)), rel=1e-4)
            assert opening.open == shut


def test_the_values_are_those_of_the_gate() -> None:
    network = build_network(compose(["network.depth=8", "shortcut=shortcut_only_gating", "shortcut.gate_bias=0"]))
    unit, x = network.units[0], network.stem(IMAGES)
    conv = unit.shortcut.gate.conv
    g = torch.sigmoid(torch.einsum("oi,nihw->nohw", conv.weight[:, :, 0, 0], x))
    (opening,) = openings(network, IMAGES)
    assert opening.unit == 1
    assert opening.mean == pytest.approx(g.mean().item(), rel=1e-4)
    assert opening.open == pytest.approx((g > 0.5).float().mean().item(), abs=1e-3)
    assert 0.2 < opening.open < 0.8


def test_a_network_without_gates_has_none() -> None:
    assert openings(build_network(compose(["network.depth=8"])), IMAGES) == []
