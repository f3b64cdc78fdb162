"""The signals that a run records, against v2's algebra and against `propagation`, which is written another way."""

import itertools
import math
from collections.abc import Callable
from dataclasses import astuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from resnet_ablations.build import network_for
from resnet_ablations.config import RunConfig
from resnet_ablations.network.units import ResidualUnit
from resnet_ablations.probe.gates import openings
from resnet_ablations.probe.propagation import propagation
from resnet_ablations.probe.signals import unit_signals
from resnet_ablations.results.signals import UnitSignals

Config = Callable[..., RunConfig]
Build = Callable[..., nn.Module]
LABELS = torch.tensor([0, 1, 2, 3])
PREACTIVATION = "activation=full_preactivation"
ZERO = "shortcut.gate_weights=zero"


@pytest.fixture
def built(config: Config) -> Build:
    def build(*overrides: str, units: int = 5) -> nn.Module:
        """Return a network of one stage, in which x keeps its shape from the first unit to the last."""
        torch.manual_seed(0)
        shape = (f"network.depth={2 * units + 2}", f"network.units=[{units}]", "network.widths=[8]")
        return network_for(config(*shape, "network.stem.width=8", *overrides), channels=3, classes=10).double()

    return build


def images(number: int = 4) -> Tensor:
    return torch.randn(number, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def scaled(scale: float, residual_scale: float = 1) -> tuple[str, ...]:
    return (
        "shortcut=constant_scaling",
        f"shortcut.shortcut_scale={scale}",
        f"shortcut.residual_scale={residual_scale}",
    )


def predicted(signals: list[UnitSignals], unit: int) -> float:
    """Return ∏ λ over the units from number `unit` on."""
    scales = [each.scale for each in signals[unit - 1 : -1]]
    assert None not in scales
    return math.prod(scales)  # type: ignore[arg-type]


def check_prediction(signals: list[UnitSignals], tolerance: float) -> None:
    last = signals[-1].gradient
    for each in signals:
        assert each.direct == pytest.approx(predicted(signals, each.unit) * last, rel=tolerance, abs=0)


EXACT = {
    "identity": ("shortcut=identity",),
    "half": scaled(0.5),
    "half and half": scaled(0.5, 0.5),
    "plain": ("shortcut=none",),
    "exclusive": ("shortcut=exclusive_gating", "shortcut.gate_bias=-2", ZERO),
    "shortcut only": ("shortcut=shortcut_only_gating", "shortcut.gate_bias=1", ZERO),
    "ReZero": ("shortcut=scaled_residual",),
    "stochastic depth": ("shortcut=stochastic_depth",),
}
"""Shortcuts whose λ is one number for every value of x; a gate with W_g = 0 is the constant σ(b_g)."""


@pytest.mark.parametrize("shortcut", EXACT)
def test_the_direct_term_is_the_product_of_the_expected_scales(built: Build, shortcut: str) -> None:
    # A gate is computed in float32.
    check_prediction(unit_signals(built(PREACTIVATION, *EXACT[shortcut]), images(), LABELS), 1e-7)


@pytest.mark.parametrize("wrong", [0.0, 0.5, 0.95, 1.0])
def test_a_wrong_expectation_is_seen(built: Build, wrong: float) -> None:
    network = built(PREACTIVATION, *scaled(0.9))
    for unit in network.modules():
        if isinstance(unit, ResidualUnit):
            unit.shortcut.expected_scale = lambda gate: wrong  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        check_prediction(unit_signals(network, images(), LABELS), 0.05)


@pytest.mark.parametrize(("inverted", "tolerance"), [("false", 0.05), ("true", 0.3)])
def test_dropout_scales_the_gradient_by_its_expectation_or_more(built: Build, inverted: str, tolerance: float) -> None:
    """The mean of x times its mask is (1 − rate)·x, but its norm is √(1 − rate)·‖x‖."""
    signals = unit_signals(
        built(PREACTIVATION, "shortcut=dropout", f"shortcut.inverted={inverted}"), images(32), LABELS.repeat(8)
    )
    ratio = signals[-2].direct / signals[-1].direct
    assert signals[0].scale == (1.0 if inverted == "true" else 0.5)
    assert ratio == pytest.approx(math.sqrt(0.5) / (0.5 if inverted == "true" else 1), rel=tolerance)


@pytest.mark.parametrize(("scale", "change"), [(0.9, 0.9**54), (1.1, 1.1**54)])
def test_over_54_units_the_direct_term_vanishes_or_grows(built: Build, scale: float, change: float) -> None:
    """v2, section 2.1: ∏ λ vanishes for λ < 1 and grows for λ > 1 in a network of 110 layers."""
    signals = unit_signals(built(PREACTIVATION, *scaled(scale), units=54), images(), LABELS)
    assert signals[0].direct / signals[-1].direct == pytest.approx(change, rel=1e-9)


@pytest.mark.parametrize("scale", [1, 0.9])
def test_direct_and_residual_term_add_up_to_the_gradient(built: Build, scale: float) -> None:
    """v2, eq. 5 and 8: ∂E/∂x_l = ∂E/∂x_L (∏ λ + ∂/∂x_l Σ F̂(x_i))."""
    network = built(PREACTIVATION, *scaled(scale))
    units = [module for module in network.modules() if isinstance(module, ResidualUnit)]
    x = network.stem(images()).detach().requires_grad_()
    end, residuals = x, torch.zeros_like(x)
    for unit in units:
        end, residuals = unit(end), scale * residuals + unit.branch(unit.first(end))
    loss = F.cross_entropy(network.classifier(network.end(end).mean((2, 3))), LABELS)
    gradient, at_end = torch.autograd.grad(loss, (x, end), retain_graph=True)
    (through_residuals,) = torch.autograd.grad(residuals, x, at_end)
    torch.testing.assert_close(scale ** len(units) * at_end + through_residuals, gradient, rtol=1e-9, atol=1e-12)
    first = unit_signals(network, images(), LABELS)[0]
    # Of N images each has 1/N of the gradient of the mean loss, and the root mean square divides by √N.
    root = math.sqrt(len(LABELS))
    assert first.gradient == pytest.approx(root * gradient.norm().item(), rel=1e-9)
    assert first.direct == pytest.approx(root * scale ** len(units) * at_end.norm().item(), rel=1e-9)


OTHERS = (
    ("shortcut=identity",),
    ("shortcut=conv1x1",),
    ("shortcut=exclusive_gating", "shortcut.gate_bias=-1"),
    ("shortcut=shortcut_only_gating", "activation=bn_after_addition"),
    ("shortcut=highway_gating",),
    ("shortcut=identity", "activation=relu_before_addition"),
    ("shortcut=none",),
)


@pytest.mark.parametrize("overrides", OTHERS, ids=["-".join(row) for row in OTHERS])
@pytest.mark.parametrize("stages", [1, 3])
def test_the_norms_are_those_of_propagation(
    config: Config, built: Build, overrides: tuple[str, ...], stages: int
) -> None:
    """`propagation` takes the direct term from one pass through the whole network with all F held constant."""
    network = built(*overrides) if stages == 1 else network_for(config(*overrides), channels=3, classes=10).double()
    signals, sizes = unit_signals(network, images(), LABELS), propagation(network, images(), LABELS)
    root = math.sqrt(len(LABELS))
    for ours, other in zip(signals, sizes, strict=True):
        expected = (other.signal / root, other.gradient * root, other.returned * root)
        assert (ours.signal, ours.gradient, ours.direct) == pytest.approx(expected, rel=1e-9)


def test_residuals_gates_and_negative_values(built: Build) -> None:
    network = built("shortcut=exclusive_gating", "shortcut.gate_bias=-1")
    residuals: list[float] = []
    merged: list[float] = []
    for unit in network.modules():
        if isinstance(unit, ResidualUnit):
            unit.branch.register_forward_hook(lambda module, inputs, f: residuals.append(f.norm().item() / 2))
            unit.shortcut.register_forward_hook(lambda module, inputs, y: merged.append((y < 0).double().mean().item()))
    *signals, last = unit_signals(network, images(), LABELS)
    assert [each.residual for each in signals] == pytest.approx(residuals[:5])
    assert [each.negative for each in signals] == pytest.approx(merged[:5])
    assert all(0.1 < share < 0.9 for share in merged)
    assert [each.gate_bias for each in signals] == pytest.approx([-1] * 5)
    found = openings(network, images())
    assert [each.gate_mean for each in signals] == pytest.approx([gate.mean for gate in found])
    assert [each.gate_open for each in signals] == pytest.approx([gate.open for gate in found])
    assert [each.scale for each in signals] == pytest.approx([1 - gate.mean for gate in found])
    assert (last.residual, last.negative, last.scale, last.gate_mean) == (None,) * 4


def test_nothing_is_negative_if_f_ends_with_a_relu(built: Build) -> None:
    """v2, section 4.2: with ReLU before the addition the signal only grows."""
    signals = unit_signals(built("activation=relu_before_addition"), images(), LABELS)
    assert [each.negative for each in signals[1:-1]] == [0.0] * 4
    assert [each.signal for each in signals[1:]] == sorted(each.signal for each in signals[1:])


def test_a_shortcut_that_does_not_say_its_scale_has_all_other_signals(built: Build) -> None:
    signals = unit_signals(built("shortcut=conv1x1"), images(), LABELS)
    assert {each.scale for each in signals} == {None}
    assert all(each.direct > 0 for each in signals)


def test_the_values_are_root_mean_squares_over_images(built: Build) -> None:
    """The same images twice have the statistics of once, and the same loss an image."""
    network, batch = built("shortcut=exclusive_gating", "shortcut.gate_bias=-1"), images()
    once, twice = (unit_signals(network, batch.repeat(times, 1, 1, 1), LABELS.repeat(times)) for times in (1, 2))
    for one, two in zip(once, twice, strict=True):
        assert astuple(two) == pytest.approx(astuple(one), rel=1e-9)


@pytest.mark.parametrize("shortcut", ["identity", "exclusive_gating"])
def test_no_tensor_is_kept_that_training_does_not_keep(built: Build, shortcut: str) -> None:
    network = built(PREACTIVATION, f"shortcut={shortcut}", units=12)
    training = most_memory(lambda: F.cross_entropy(network(images(32)), LABELS.repeat(8)).backward())
    assert most_memory(lambda: unit_signals(network, images(32), LABELS.repeat(8))) < 1.03 * training


def most_memory(work: Callable[[], object]) -> int:
    """Return the most bytes of tensors that the work holds at one time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    changes = [event.nbytes() for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(itertools.accumulate(changes))


def test_parameters_keep_their_gradients_and_masks_stay_unset(built: Build) -> None:
    network = built("shortcut=dropout")
    F.cross_entropy(network(images()), LABELS).backward()
    before = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    unit_signals(network, images(), LABELS)
    after = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert all(module.kept.numbers is None for module in network.modules() if hasattr(module, "kept"))
    assert network.training
