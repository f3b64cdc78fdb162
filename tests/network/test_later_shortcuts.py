"""Shortcuts from outside both papers, each against its formula in plain torch."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from made import combined, composed, shaken, small
from torch import Tensor, nn

from resnet_ablations.build import meta_network, network_for
from resnet_ablations.network.dimensions import UnitShape
from resnet_ablations.network.later_shortcuts import HighwayGating, ScaledResidual, StochasticDepth
from resnet_ablations.network.resnet import ResNet, parameter_count
from resnet_ablations.network.units import ResidualUnit

SAME = UnitShape(4, 4, 1, "zero_pad", normalised=True)
WIDER = UnitShape(4, 8, 2, "zero_pad", normalised=True)
HIGHWAY_110 = (
    "network=resnet110",
    "network.widths=[14,28,56]",
    "network.dimension_change=projection",
    "shortcut=highway_gating",
    "activation=relu_before_addition",
    "data=cifar10",
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def inputs(shape: UnitShape) -> tuple[Tensor, Tensor]:
    size = 8 // shape.stride
    return torch.randn(3, shape.in_channels, 8, 8), torch.randn(3, shape.out_channels, size, size)


def option_a(x: Tensor, shape: UnitShape) -> Tensor:
    if not shape.changes:
        return x
    return torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x[:, :, ::2, ::2])], dim=1)


@pytest.mark.parametrize("shape", [SAME, WIDER])
def test_a_highways_gate_is_two_convolutions_with_batch_normalisation(shape: UnitShape) -> None:
    """g = σ(BN(W₂ ReLU(BN(W₁ x)))), with b_g = −1.5 as β of the second; then y = (1 − g)·x + g·F(x)."""
    x, residual = inputs(shape)
    shortcut = HighwayGating(shape, gate_bias=-1.5, decay_gate_bias=False)
    shortcut.initialise()
    first, second = (module.weight for module in shortcut.modules() if isinstance(module, nn.Conv2d))
    hidden = F.batch_norm(F.conv2d(x, first, None, shape.stride, 1), None, None, training=True).clamp(min=0)
    g = torch.sigmoid(F.batch_norm(F.conv2d(hidden, second, None, 1, 1), None, None, training=True) - 1.5)
    torch.testing.assert_close(shortcut.gate(x), g, rtol=1e-4, atol=1e-5)
    expected = (1 - g) * option_a(x, shape) + g * residual
    torch.testing.assert_close(shortcut(x, residual), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("decays", [True, False])
def test_only_b_g_can_be_spared_from_decay(decays: bool) -> None:
    shortcut = HighwayGating(SAME, gate_bias=-6, decay_gate_bias=decays)
    assert [id(p) for p in shortcut.undecayed()] == ([] if decays else [id(shortcut.gate.normalise.bias)])


def test_the_parameters_of_a_highway_110() -> None:
    """`num_params` in flukeskywalker/highway-resnet-comparison, log_highway110/metrics.json."""
    assert parameter_count(meta_network(composed(*HIGHWAY_110))) == 2_649_918


def test_a_highway_110_is_its_units_spelt_out() -> None:
    """Two units a stage: h ends in ReLU, every unit is gated, projections have BN, and nothing follows the sum."""
    network = network_for(small(composed(*HIGHWAY_110), units=2), channels=3, classes=10)
    assert isinstance(network, ResNet)
    shaken(network).double()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    parameters = dict(network.named_parameters())

    def conv_bn(x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        weight = parameters[f"{conv}.weight"]
        z = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2)
        affine = parameters[f"{norm}.weight"], parameters[f"{norm}.bias"]
        return F.batch_norm(z, None, None, *affine, training=True)

    x = conv_bn(images, "stem.0", "stem.1").clamp(min=0)
    for index in range(6):
        unit, gate = f"units.{index}", f"units.{index}.shortcut.gate"
        stride = 2 if index in (2, 4) else 1
        h = conv_bn(x, f"{unit}.branch.0", f"{unit}.branch.1", stride).clamp(min=0)
        h = conv_bn(h, f"{unit}.branch.3", f"{unit}.branch.4").clamp(min=0)
        t = conv_bn(x, f"{gate}.first", f"{gate}.normalise_first", stride).clamp(min=0)
        t = torch.sigmoid(conv_bn(t, f"{gate}.second", f"{gate}.normalise"))
        match = f"{unit}.shortcut.match"
        x = conv_bn(x, f"{match}.0", f"{match}.1", stride) if index in (2, 4) else x
        x = x + t * (h - x)
    logits = F.linear(x.mean((2, 3)), network.classifier.weight, network.classifier.bias)
    torch.testing.assert_close(network(images), logits, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("start", [0.0, 0.5])
@pytest.mark.parametrize("shape", [SAME, WIDER])
def test_a_learnt_factor_of_the_residual(shape: UnitShape, start: float) -> None:
    """y = x + α·F(x); ∂y/∂α is the sum of F(x) times the gradient."""
    x, residual = inputs(shape)
    shortcut = ScaledResidual(shape, start=start)
    y = shortcut(x, residual)
    torch.testing.assert_close(y, option_a(x, shape) + start * residual)
    gradient = torch.randn_like(y)
    y.backward(gradient)
    assert shortcut.alpha.grad is not None
    torch.testing.assert_close(shortcut.alpha.grad, (gradient * residual).sum().view(1))


def test_with_zero_gamma_every_unit_starts_as_the_relu_of_x() -> None:
    """Nothing else differs from the original placement, which has γ = 1."""
    config = small(combined("resnet20", "zero_last_gamma"), units=2)
    network, original = (
        network_for(each, channels=3, classes=10) for each in (config, small(combined("resnet20"), units=2))
    )
    gammas = [
        (name.endswith("branch.4"), module.weight)
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    assert sum(last for last, _ in gammas) == 6
    assert all(bool(gamma.eq(0 if last else 1).all()) for last, gamma in gammas)
    x = torch.randn(3, 4, 8, 8)
    unit = next(module for module in network.modules() if isinstance(module, ResidualUnit))
    torch.testing.assert_close(unit(x), x.clamp(min=0), rtol=0, atol=0)
    original.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(network(images), original(images))


def test_stochastic_depth_keeps_or_skips_the_residual_of_the_whole_batch() -> None:
    """Unit l of L with p = 1 − 0.5·l/L; evaluation multiplies by p, the mean over training's draws."""
    x, residual = inputs(SAME)
    for index in (0, 3, 9):
        shortcut = StochasticDepth(replace(SAME, index=index, count=10), last_survival=0.5)
        p = 1 - 0.5 * (index + 1) / 10
        kept = 0
        for _ in range(400):
            y = shortcut(x, residual)
            is_kept = torch.equal(y, x + residual)
            assert is_kept or torch.equal(y, x)
            kept += is_kept
        assert kept / 400 == pytest.approx(p, abs=4 * (p * (1 - p) / 400) ** 0.5)
        shortcut.eval()
        torch.testing.assert_close(shortcut(x, residual), x + p * residual)


def test_a_network_tells_each_unit_its_place() -> None:
    """The units of stochastic depth differ only by it, also across stages."""
    network = network_for(small(combined("resnet20", shortcut="stochastic_depth"), units=2), channels=3, classes=10)
    survivals = [module.survival for module in network.modules() if isinstance(module, StochasticDepth)]
    assert survivals == pytest.approx([1 - 0.5 * place / 6 for place in range(1, 7)])
