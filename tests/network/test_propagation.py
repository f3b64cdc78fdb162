"""v2, section 2: a network with identity shortcuts and identity after the addition."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from made import combined, shaken, small
from torch import Tensor, nn

from resnet_ablations.build import network_for
from resnet_ablations.network.units import ResidualUnit


@dataclass
class Pass:
    """One pass: the input x_l of each unit, its residual F(x_l), and the output of the last unit."""

    inputs: list[Tensor]
    residuals: list[Tensor]
    output: Tensor
    loss: Tensor


def run(network: nn.Module) -> Pass:
    inputs: list[Tensor] = []
    residuals: list[Tensor] = []
    outputs: list[Tensor] = []
    for unit in network.modules():
        if isinstance(unit, ResidualUnit):
            unit.register_forward_pre_hook(lambda unit, arguments: inputs.append(arguments[0]))
            unit.register_forward_hook(lambda unit, arguments, output: outputs.append(output))
            unit.branch.register_forward_hook(lambda branch, arguments, output: residuals.append(output))
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    loss = F.cross_entropy(network(images), torch.tensor([0, 1, 2, 3]))
    return Pass(inputs, residuals, outputs[-1], loss)


def build(network: str, activation: str, shortcut: str = "identity", **settings: float) -> nn.Module:
    """Return a network with one stage of five units, in which x keeps its shape."""
    config = small(combined(network, activation, shortcut), units=5)
    one_stage = config.network.model_copy(update={"units": [5], "widths": [4], "stem": config.network.stem})
    changed = {"network": one_stage, "shortcut": config.shortcut.model_copy(update=settings)}
    torch.manual_seed(0)
    return shaken(network_for(config.model_copy(update=changed), channels=3, classes=10)).double()


close = {"rtol": 1e-9, "atol": 1e-12}

FROM = [("resnet20", 0), ("resnet20", 2), ("resnet110_1layer", 1), ("resnet164", 1)]
"""A network and the unit l; a bottleneck's first unit widens x."""


@pytest.mark.parametrize("activation", ["full_preactivation", "relu_only_preactivation", "relu_before_addition"])
@pytest.mark.parametrize(("network", "start"), FROM)
def test_eq_4_what_a_deep_unit_has_is_a_shallow_ones_and_the_sum_of_residuals(
    network: str, start: int, activation: str
) -> None:
    """x_L = x_l + Σ F(x_i)."""
    seen = run(build(network, activation))
    torch.testing.assert_close(seen.output, seen.inputs[start] + sum(seen.residuals[start:]), **close)


@pytest.mark.parametrize("activation", ["original", "bn_after_addition"])
@pytest.mark.parametrize(("network", "start"), FROM)
def test_eq_4_does_not_hold_with_an_activation_after_the_addition(network: str, start: int, activation: str) -> None:
    seen = run(build(network, activation))
    assert (seen.output - seen.inputs[start] - sum(seen.residuals[start:])).abs().max() > 0.1


@pytest.mark.parametrize(("network", "start"), FROM)
def test_eq_5_a_gradient_reaches_a_shallow_unit_as_it_is(network: str, start: int) -> None:
    """∂E/∂x_l = ∂E/∂x_L · (1 + ∂/∂x_l Σ F)."""
    seen = run(build(network, "full_preactivation"))
    shallow = seen.inputs[start]
    at_shallow, at_deep = torch.autograd.grad(seen.loss, [shallow, seen.output], retain_graph=True)
    (through_residuals,) = torch.autograd.grad(sum(seen.residuals[start:]), shallow, at_deep)
    assert at_deep.abs().max() > 1e-5
    torch.testing.assert_close(at_shallow, at_deep + through_residuals, **close)


@pytest.mark.parametrize("scale", [0.5, 0.9, 1.25])
@pytest.mark.parametrize(("network", "start"), FROM)
def test_eq_6_to_8_constant_scaling_is_multiplied_up(network: str, start: int, scale: float) -> None:
    """x_L = (∏ λ) x_l + Σ (∏ λ) F(x_i), the product over the units after i; a gradient has the factor ∏ λ too."""
    built = build(network, "full_preactivation", "constant_scaling", shortcut_scale=scale, residual_scale=0.75)
    seen = run(built)
    shallow, length = seen.inputs[start], len(seen.inputs) - start
    residuals = sum(
        0.75 * scale ** (length - 1 - index) * residual for index, residual in enumerate(seen.residuals[start:])
    )
    torch.testing.assert_close(seen.output, scale**length * shallow + residuals, **close)
    at_shallow, at_deep = torch.autograd.grad(seen.loss, [shallow, seen.output], retain_graph=True)
    (through_residuals,) = torch.autograd.grad(residuals, shallow, at_deep)
    torch.testing.assert_close(at_shallow, scale**length * at_deep + through_residuals, **close)


@pytest.mark.parametrize("network", ["resnet20", "resnet164"])
def test_a_silent_residual_leaves_a_preactivation_unit_the_identity(network: str) -> None:
    """With zero weights in the last convolutions, x and gradients pass unchanged."""
    built = build(network, "full_preactivation")
    for unit in built.modules():
        if isinstance(unit, ResidualUnit):
            nn.init.zeros_([layer for layer in unit.branch if isinstance(layer, nn.Conv2d)][-1].weight)
    seen = run(built)
    shallow = seen.inputs[1]
    assert torch.equal(seen.output, shallow)
    at_shallow, at_deep = torch.autograd.grad(seen.loss, [shallow, seen.output])
    assert torch.equal(at_shallow, at_deep)
