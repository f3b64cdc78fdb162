"""Every shortcut of conf/shortcut as a part of a network, and each class against its formula."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from made import SHORTCUTS, composed, shaken
from torch import Tensor, nn

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.network.dimensions import UnitShape
from resnet_ablations.network.shortcuts import (
    ConstantScaling,
    Conv1x1,
    Dropout,
    ExclusiveGating,
    Identity,
    Plain,
    Shortcut,
    ShortcutOnlyGating,
)
from resnet_ablations.training.data_module import load_batches

SHAPES = [
    UnitShape(16, 16, 1, "zero_pad", normalised=True),
    UnitShape(16, 32, 2, "zero_pad", normalised=True),
    UnitShape(32, 64, 2, "projection", normalised=False),
    UnitShape(16, 64, 1, "projection", normalised=True),
]
SAME = UnitShape(4, 4, 1, "zero_pad", normalised=True)
WIDER = UnitShape(4, 8, 2, "zero_pad", normalised=True)
GATE: dict[str, Any] = {
    "gate_bias": -1.5,
    "gate_weights": "he",
    "gate_bias_rate": 1.0,
    "decay_gate_bias": True,
    "batch_norm": False,
    "gate_reads": "x",
}
GATED = (ExclusiveGating, ShortcutOnlyGating)


def tiny(shortcut: str) -> RunConfig:
    return composed(f"shortcut={shortcut}", "network.depth=8")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def inputs(shape: UnitShape, size: int = 8) -> tuple[Tensor, Tensor]:
    small = size // shape.stride
    return torch.randn(3, shape.in_channels, size, size), torch.randn(3, shape.out_channels, small, small)


def option_a(x: Tensor, shape: UnitShape) -> Tensor:
    """Return x if the unit keeps its shape, else every second pixel with appended zero channels."""
    if not shape.changes:
        return x
    return torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x[:, :, ::2, ::2])], dim=1)


def convolution(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply a 1×1 convolution as a matrix."""
    stride = conv.stride[0]
    z = torch.einsum("oi,nihw->nohw", conv.weight[:, :, 0, 0], x[:, :, ::stride, ::stride])
    return z if conv.bias is None else z + conv.bias[:, None, None]


def normalised(z: Tensor, norm: nn.Module) -> Tensor:
    """Apply batch normalisation with the batch's statistics."""
    assert isinstance(norm, nn.BatchNorm2d)
    mean = z.mean((0, 2, 3), keepdim=True)
    variance = ((z - mean) ** 2).mean((0, 2, 3), keepdim=True)
    scaled = (z - mean) / torch.sqrt(variance + norm.eps)
    return scaled * norm.weight[:, None, None] + norm.bias[:, None, None]


def test_the_rows_of_fig_2_are_there() -> None:
    assert {
        "identity",
        "constant_scaling",
        "exclusive_gating",
        "shortcut_only_gating",
        "conv1x1",
        "dropout",
        "plain",
    } <= {*SHORTCUTS}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s.in_channels}-{s.out_channels}")
@pytest.mark.parametrize("name", SHORTCUTS)
def test_every_shortcut_gives_the_residuals_shape(name: str, shape: UnitShape) -> None:
    shortcut = tiny(name).shortcut.build(shape)
    assert isinstance(shortcut, Shortcut)
    x, residual = inputs(shape)
    y = shortcut(x, residual)
    assert y.shape == residual.shape
    assert y.isfinite().all()


@pytest.mark.parametrize("name", SHORTCUTS)
def test_every_shortcut_gives_every_parameter_a_gradient(name: str) -> None:
    """Ten passes give every parameter a gradient; a single pass may not, since stochastic depth skips units."""
    network = shaken(build_network(tiny(name)))  # a factor that starts at 0 would stop the gradient of F
    for _ in range(10):
        logits = network(torch.randn(16, 1, 8, 8))
        F.cross_entropy(logits, torch.randint(10, (16,))).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", SHORTCUTS)
def test_every_shortcut_overfits_one_batch(name: str) -> None:
    """The network learns random labels, and knows them in evaluation mode, even with dropout."""
    network = build_network(tiny(name))
    images, labels = (each[:16] for each in load_batches(tiny(name)).train(0))
    labels = labels.roll(1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        assert F.cross_entropy(network(images), labels) < 0.05


@pytest.mark.parametrize("shape", [SAME, WIDER])
def test_identity_adds(shape: UnitShape) -> None:
    x, residual = inputs(shape)
    torch.testing.assert_close(Identity(shape)(x, residual), option_a(x, shape) + residual, rtol=0, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_plain_is_the_residual_alone(shape: UnitShape) -> None:
    """Also where dimensions change: no parameter, and no use of x."""
    x, residual = inputs(shape)
    plain = Plain(shape)
    assert torch.equal(plain(x, residual), residual)
    assert torch.equal(plain(torch.full_like(x, torch.nan), residual), residual)
    assert list(plain.modules()) == [plain]
    assert list(plain.parameters()) == []


@pytest.mark.parametrize("shape", [SAME, WIDER])
@pytest.mark.parametrize(("on_x", "on_residual"), [(0.5, 1.0), (0.5, 0.5), (0.25, 2.0)])
def test_constant_scaling(shape: UnitShape, on_x: float, on_residual: float) -> None:
    x, residual = inputs(shape)
    shortcut = ConstantScaling(shape, shortcut_scale=on_x, residual_scale=on_residual)
    torch.testing.assert_close(shortcut(x, residual), on_x * option_a(x, shape) + on_residual * residual)


@pytest.mark.parametrize("shape", [SAME, WIDER])
def test_scaled_by_0_and_1_it_is_a_plain_net(shape: UnitShape) -> None:
    x, residual = inputs(shape)
    x.requires_grad_()
    y = ConstantScaling(shape, shortcut_scale=0, residual_scale=1)(x, residual)
    torch.testing.assert_close(y, residual, rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert not gradient.any()


@pytest.mark.parametrize("shape", [SAME, WIDER])
def test_gates(shape: UnitShape) -> None:
    x, residual = inputs(shape)
    for kind, on_residual in ((ExclusiveGating, lambda g: g), (ShortcutOnlyGating, torch.ones_like)):
        shortcut = kind(shape, **GATE)
        shortcut.initialise()
        g = torch.sigmoid(convolution(x, shortcut.gate.conv))
        assert g.shape == residual.shape
        assert g.std() > 0.05
        expected = (1 - g) * option_a(x, shape) + on_residual(g) * residual
        torch.testing.assert_close(shortcut(x, residual), expected)


@pytest.mark.parametrize("shape", [SAME, WIDER])
def test_with_zero_weights_a_gate_is_the_logistic_of_its_bias(shape: UnitShape) -> None:
    x, residual = inputs(shape)
    shortcut = ExclusiveGating(shape, **GATE | {"gate_weights": "zero"})
    shortcut.initialise()
    g = torch.sigmoid(torch.tensor(-1.5))
    torch.testing.assert_close(shortcut.gate(x), g.expand_as(residual))
    torch.testing.assert_close(shortcut(x, residual), (1 - g) * option_a(x, shape) + g * residual)


@pytest.mark.parametrize("shape", [SAME, WIDER])
def test_with_batch_norm_the_gates_bias_is_its_beta(shape: UnitShape) -> None:
    x, _ = inputs(shape)
    shortcut = ExclusiveGating(shape, **GATE | {"batch_norm": True})
    shortcut.initialise()
    gate = shortcut.gate
    assert isinstance(gate.normalise, nn.BatchNorm2d)
    assert gate.conv.bias is None
    assert gate.bias is gate.normalise.bias
    assert gate.bias.eq(-1.5).all()
    z = normalised(convolution(x, gate.conv), gate.normalise)
    torch.testing.assert_close(gate(x), torch.sigmoid(z), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", GATED)
@pytest.mark.parametrize("shape", [SAME, WIDER])
def test_a_gate_can_read_x_after_a_normalisation_of_its_own(shape: UnitShape, kind: type[Any]) -> None:
    """x itself passes as it is; every factor of x gives the same gate."""
    x, residual = inputs(shape)
    shortcut = kind(shape, **GATE | {"gate_reads": "normalised_x"})
    shortcut.initialise()
    g = torch.sigmoid(convolution(normalised(x, shortcut.gate.normalise_x), shortcut.gate.conv))
    expected = (1 - g) * option_a(x, shape) + (g if kind is ExclusiveGating else 1) * residual
    torch.testing.assert_close(shortcut(x, residual), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shortcut.gate(100 * x), g, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("kind", GATED)
def test_a_gates_bias_can_learn_at_another_rate(kind: type[Any], batch_norm: bool) -> None:
    """Caffe's `lr_mult: 2`: b_g moves twice as far in a step of SGD, and nothing else changes."""
    x, residual = inputs(SAME)
    steps: list[dict[str, Tensor]] = []
    for rate in (1.0, 2.0):
        torch.manual_seed(1)
        shortcut = kind(SAME, **GATE | {"gate_bias_rate": rate, "batch_norm": batch_norm})
        shortcut.initialise()
        before = {name: parameter.detach().clone() for name, parameter in shortcut.named_parameters()}
        optimizer = torch.optim.SGD(shortcut.parameters(), lr=0.1)
        (shortcut(x, residual) * residual).sum().backward()
        optimizer.step()
        steps.append({name: parameter.detach() - before[name] for name, parameter in shortcut.named_parameters()})
    bias = "gate.normalise.bias" if batch_norm else "gate.conv.bias"
    for name, move in steps[0].items():
        assert move.abs().max() > 0
        torch.testing.assert_close(steps[1][name], (2 if name == bias else 1) * move, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("shape", [SAME, WIDER])
def test_conv1x1(shape: UnitShape, batch_norm: bool) -> None:
    x, residual = inputs(shape)
    shortcut = Conv1x1(shape, batch_norm=batch_norm)
    assert shortcut.conv.bias is None
    z = convolution(x, shortcut.conv)
    z = normalised(z, shortcut.normalise) if batch_norm else z
    torch.testing.assert_close(shortcut(x, residual), z + residual, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("inverted", "kept", "in_evaluation"), [(False, 1.0, 0.7), (True, 1 / 0.7, 1.0)])
def test_dropout(inverted: bool, kept: float, in_evaluation: float) -> None:
    """Not inverted: evaluation scales, and training keeps values unchanged; inverted: the opposite."""
    x, residual = torch.rand(50, 4, 20, 20) + 1, torch.randn(50, 4, 20, 20)
    shortcut = Dropout(SAME, rate=0.3, inverted=inverted)
    passed = shortcut(x, residual) - residual
    dropped = passed.abs() < 1e-5
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(passed[~dropped], (kept * x)[~dropped], rtol=1e-4, atol=1e-5)
    shortcut.eval()
    torch.testing.assert_close(shortcut(x, residual), in_evaluation * x + residual)
    assert (passed / x).mean().item() == pytest.approx(in_evaluation, abs=0.01), "evaluation is the expectation"


def test_dropout_acts_on_the_shortcut_alone() -> None:
    _, residual = inputs(SAME)
    shortcut = Dropout(SAME, rate=0.5, inverted=False)
    torch.testing.assert_close(shortcut(torch.zeros_like(residual), residual), residual, rtol=0, atol=0)


def test_only_a_gates_bias_can_be_spared_from_decay(config: Callable[..., RunConfig]) -> None:
    for name in ("exclusive_gating", "shortcut_only_gating"):
        decays, spared = (
            config(f"shortcut={name}", f"shortcut.decay_gate_bias={decay}").shortcut.build(SAME)
            for decay in ("true", "false")
        )
        assert list(decays.undecayed()) == []
        assert [id(p) for p in spared.undecayed()] == [id(spared.gate.bias)]
