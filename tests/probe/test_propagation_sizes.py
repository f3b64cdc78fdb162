"""v2, eq. 4 to 8: the measured norms against the algebra."""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.build import network_for
from resnet_ablations.config import RunConfig
from resnet_ablations.network.units import ResidualUnit
from resnet_ablations.probe.propagation import Sizes, propagation

Config = Callable[..., RunConfig]
UNITS = 5
ONE_STAGE = ("network.depth=12", f"network.units=[{UNITS}]", "network.widths=[16]")
"""So that x keeps its shape from the first unit to the last."""
PREACTIVATION = (*ONE_STAGE, "activation=full_preactivation")
LABELS = torch.tensor([0, 1, 2, 3])


def scaled(scale: float, residual_scale: float = 1) -> tuple[str, ...]:
    return (
        "shortcut=constant_scaling",
        f"shortcut.shortcut_scale={scale}",
        f"shortcut.residual_scale={residual_scale}",
    )


@pytest.fixture
def built(config: Config) -> Callable[..., nn.Module]:
    def build(*overrides: str) -> nn.Module:
        torch.manual_seed(0)
        return network_for(config(*overrides), channels=3, classes=10).double()

    return build


def images() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def units_of(network: nn.Module) -> Iterator[ResidualUnit]:
    return (unit for unit in network.modules() if isinstance(unit, ResidualUnit))


def silenced(network: nn.Module) -> nn.Module:
    """Return the network with F = 0: zero weights in the last convolution of each pre-activation unit."""
    for unit in units_of(network):
        nn.init.zeros_([layer for layer in unit.branch if isinstance(layer, nn.Conv2d)][-1].weight)
    return network


def column(sizes: list[Sizes], name: str) -> list[float]:
    return [getattr(place, name) for place in sizes]


def close(expected: float | list[float]) -> object:
    return pytest.approx(expected, rel=1e-9, abs=0)


@pytest.mark.parametrize("scale", [1, 0.9, 0.5, 1.25])
def test_without_residuals_signal_and_gradient_are_scaled_by_a_power(
    built: Callable[..., nn.Module], scale: float
) -> None:
    """F = 0: x_L = λ^L x_0, and a gradient of λ^L ∂E/∂x_L."""
    sizes = propagation(silenced(built(*PREACTIVATION, *scaled(scale))), images(), LABELS)
    first, last = sizes[0], sizes[-1]
    assert len(sizes) == UNITS + 1
    assert first.signal > 1
    assert last.gradient > 1e-4
    assert column(sizes, "signal") == close([scale**unit * first.signal for unit in range(UNITS + 1)])
    assert column(sizes, "gradient") == close([scale ** (UNITS - unit) * last.gradient for unit in range(UNITS + 1)])
    assert column(sizes, "carried") == close(column(sizes, "signal"))
    assert column(sizes, "returned") == close(column(sizes, "gradient"))


@pytest.mark.parametrize(("scale", "residual_scale"), [(1, 1), (0.9, 1), (0.5, 0.5), (1.25, 0.1)])
def test_the_signal_of_the_shortcuts_does_not_depend_on_f(
    built: Callable[..., nn.Module], scale: float, residual_scale: float
) -> None:
    sizes = propagation(built(*PREACTIVATION, *scaled(scale, residual_scale)), images(), LABELS)
    powers = [scale**unit for unit in range(UNITS + 1)]
    assert column(sizes, "carried") == close([power * sizes[0].signal for power in powers])
    assert column(sizes, "returned") == close([power * sizes[-1].gradient for power in reversed(powers)])
    assert sizes[-1].signal != close(sizes[-1].carried)
    assert sizes[0].gradient != close(sizes[0].returned)


@pytest.mark.parametrize("activation", ["original", "full_preactivation"])
def test_signal_and_gradient_are_those_of_the_network(built: Callable[..., nn.Module], activation: str) -> None:
    """Three stages, so that x changes its shape twice."""
    network = built(f"activation={activation}")
    xs = [network.stem(images())]  # type: ignore[operator]
    for unit in units_of(network):
        xs.append(unit(xs[-1]))
    logits = network.classifier(network.end(xs[-1]).mean(dim=(2, 3)))  # type: ignore[operator]
    gradients = torch.autograd.grad(F.cross_entropy(logits, LABELS), xs)
    sizes = propagation(network, images(), LABELS)
    assert column(sizes, "signal") == close([x.norm().item() for x in xs])
    assert column(sizes, "gradient") == close([gradient.norm().item() for gradient in gradients])


def test_a_plain_network_passes_nothing_on_but_through_f(built: Callable[..., nn.Module]) -> None:
    sizes = propagation(built(*ONE_STAGE, "shortcut=plain"), images(), LABELS)
    assert column(sizes, "carried") == [sizes[0].signal, *[0] * UNITS]
    assert column(sizes, "returned") == [*[0] * UNITS, sizes[-1].gradient]


def test_a_convolution_is_its_matrix(built: Callable[..., nn.Module]) -> None:
    network = built(*PREACTIVATION, "shortcut=conv1x1", "shortcut.batch_norm=false")
    x = network.stem(images())  # type: ignore[operator]
    expected = [x.norm().item()]
    for unit in units_of(network):
        x = unit.shortcut.conv(x)  # type: ignore[operator]
        expected.append(x.norm().item())
    assert column(propagation(network, images(), LABELS), "carried") == close(expected)


def test_batch_normalisation_on_the_shortcut_carries_nothing(built: Callable[..., nn.Module]) -> None:
    """Batch normalisation gives the same output for every multiple of x, so its derivative along x is zero."""
    sizes = propagation(built(*PREACTIVATION, "shortcut=conv1x1", "shortcut.batch_norm=true"), images(), LABELS)
    assert sizes[1].carried < 1e-3 * sizes[0].signal
    assert sizes[0].returned > 1e-3 * sizes[-1].gradient


def test_a_gate_counts_with_its_derivative(built: Callable[..., nn.Module]) -> None:
    """The derivative of (1 − g(x)) x, not (1 − g) alone, against differences at the first unit."""
    network = built(*PREACTIVATION, "shortcut=shortcut_only_gating", "shortcut.gate_bias=0")
    x = network.stem(images()).detach()  # type: ignore[operator]
    shortcut, step = next(units_of(network)).shortcut, 1e-3
    change = shortcut((1 + step) * x, torch.zeros_like(x)) - shortcut((1 - step) * x, torch.zeros_like(x))
    sizes = propagation(network, images(), LABELS)
    assert sizes[1].carried == pytest.approx(change.norm().item() / (2 * step), rel=1e-4)
    assert sizes[1].carried != pytest.approx(shortcut(x, torch.zeros_like(x)).norm().item(), rel=1e-2)


def test_a_relu_after_the_addition_zeroes_part_of_the_signal(built: Callable[..., nn.Module]) -> None:
    """λ = 1, but the ReLU passes only the places where x + F(x) is positive."""
    network = built(*ONE_STAGE)
    x = network.stem(images())  # type: ignore[operator]
    unit = next(units_of(network))
    sizes = propagation(network, images(), LABELS)
    assert sizes[1].carried == close((x * (unit(x) > 0)).norm().item())
    assert sizes[1].carried < sizes[0].carried


def test_both_passes_drop_the_same(built: Callable[..., nn.Module]) -> None:
    sizes = propagation(silenced(built(*PREACTIVATION, "shortcut=dropout")), images(), LABELS)
    assert column(sizes, "carried") == close(column(sizes, "signal"))
    assert column(sizes, "returned") == close(column(sizes, "gradient"))
    assert sizes[-1].signal < sizes[0].signal


def test_no_trace_is_left_in_the_network(built: Callable[..., nn.Module]) -> None:
    network = built()
    before = {name: value.clone() for name, value in network.named_parameters()}
    propagation(network, images(), LABELS)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(value.grad is None and torch.equal(value, before[name]) for name, value in network.named_parameters())
