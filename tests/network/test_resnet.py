"""The whole network: the papers' parameter counts, its initialisation, and an option-A ResNet written anew."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.network.resnet import ResNet, parameter_count, units_per_stage
from resnet_ablations.network.shortcuts import ExclusiveGating, Gate, Identity
from resnet_ablations.network.units import ResidualUnit

Config = Callable[..., RunConfig]

RESNET110 = 1_727_962
GATES = 96_224


def on_cifar(config: Config, depth: int, *overrides: str) -> int:
    """The parameters of a CIFAR-10 network; made without memory behind them, since only their number counts."""
    run = config("data=cifar10", f"network.depth={depth}", *overrides)
    with torch.device("meta"):
        return parameter_count(build_network(run))


@pytest.mark.parametrize(
    ("added", "overrides"),
    [
        (0, []),
        (0, ["network.dimension_change=zero_pad_both_sides"]),
        (0, ["network.dimension_change=average_pool"]),
        (0, ["shortcut=constant_scaling"]),
        (0, ["shortcut=dropout"]),
        (GATES, ["shortcut=exclusive_gating"]),
        (GATES, ["shortcut=shortcut_only_gating"]),
        (94_208, ["shortcut=conv1x1", "shortcut.batch_norm=false"]),
        (98_240, ["shortcut=conv1x1", "shortcut.batch_norm=true"]),
    ],
)
def test_parameters_of_resnet110(config: Config, added: int, overrides: list[str]) -> None:
    assert on_cifar(config, 110, *overrides) == RESNET110 + added


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.73)])
def test_parameters_of_v1s_networks(config: Config, depth: int, millions: float) -> None:
    assert round(on_cifar(config, depth) / 1e6, 2) == millions


def test_same_shape_alone_leaves_two_units_with_option_a(config: Config) -> None:
    """The gates of the units 16→32 and 32→64 go: 1×1 weights and one bias a channel."""
    fewer = on_cifar(config, 110, "shortcut=exclusive_gating", "network.varied_units=same_shape")
    assert fewer == RESNET110 + GATES - (16 * 32 + 32) - (32 * 64 + 64)
    network = build_network(config("shortcut=exclusive_gating", "network.varied_units=same_shape"))
    kinds = [type(unit.shortcut) for unit in network.modules() if isinstance(unit, ResidualUnit)]
    assert kinds == [ExclusiveGating, Identity, Identity]
    network = build_network(config("shortcut=exclusive_gating", "network.varied_units=all"))
    assert all(type(u.shortcut) is ExclusiveGating for u in network.modules() if isinstance(u, ResidualUnit))


@pytest.mark.parametrize("overrides", [[], ["network.dimension_change=average_pool"]])
def test_identity_has_no_parameters_not_even_where_dimensions_change(config: Config, overrides: list[str]) -> None:
    """Option B's projections in the place of option A are a classic fault."""
    network = build_network(config(*overrides))
    units = [unit for unit in network.modules() if isinstance(unit, ResidualUnit)]
    assert len(units) == 3
    assert not [p for unit in units for p in unit.shortcut.parameters()]
    assert not [
        module for module in network.modules() if isinstance(module, nn.Conv2d) and module.kernel_size != (3, 3)
    ]


@pytest.mark.parametrize(("depth", "n"), [(8, 1), (20, 3), (56, 9), (110, 18), (1202, 200)])
def test_depth_is_6n_plus_2(depth: int, n: int) -> None:
    assert units_per_stage(depth) == n


@pytest.mark.parametrize("depth", [-4, 0, 2, 7, 57, 109, 111])
def test_no_other_depth(depth: int) -> None:
    with pytest.raises(ValueError, match="6n"):
        units_per_stage(depth)


def test_depth_counts_the_weight_layers(config: Config) -> None:
    for depth in (8, 20, 56):
        layers = [m for m in build_network(config(f"network.depth={depth}")).modules() if hasattr(m, "weight")]
        assert len([m for m in layers if isinstance(m, nn.Conv2d | nn.Linear)]) == depth


def test_no_convolution_has_a_bias_but_a_gates(config: Config) -> None:
    for shortcut in ("identity", "constant_scaling", "conv1x1", "dropout", "exclusive_gating"):
        network = build_network(config(f"shortcut={shortcut}"))
        gates = {id(gate.conv) for gate in network.modules() if isinstance(gate, Gate)}
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                assert (module.bias is not None) == (id(module) in gates)


@pytest.mark.parametrize("init", ["fan_in", "fan_out"])
def test_he_initialisation(config: Config, init: str) -> None:
    """N(0, √(2/fan)), to five standard errors; the convolutions that widen tell fan-in from fan-out."""
    torch.manual_seed(0)
    network = build_network(config("network.depth=20", f"network.init={init}", "shortcut=exclusive_gating"))
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    seen = set()
    for conv in convolutions:
        channels = conv.in_channels if init == "fan_in" else conv.out_channels
        expected = math.sqrt(2 / (channels * conv.kernel_size[0] * conv.kernel_size[1]))
        errors = 5 / math.sqrt(2 * conv.weight.numel())
        assert conv.weight.std().item() == pytest.approx(expected, rel=errors)
        assert conv.weight.mean().item() == pytest.approx(0, abs=errors * expected * math.sqrt(2))
        seen.add((conv.in_channels, conv.out_channels, *conv.kernel_size))
    assert {(16, 32, 3, 3), (32, 64, 3, 3), (16, 32, 1, 1), (64, 64, 1, 1)} <= seen


def test_he_initialisation_is_normal_not_uniform(config: Config) -> None:
    torch.manual_seed(0)
    network = build_network(config("network.depth=20"))
    weights = torch.cat([m.weight.flatten() / m.weight.std() for m in network.modules() if isinstance(m, nn.Conv2d)])
    assert (weights.abs() > 2).float().mean().item() == pytest.approx(0.0455, abs=0.002)


def test_gamma_is_1_and_beta_0(config: Config) -> None:
    for shortcut in ("identity", "conv1x1"):
        norms = [m for m in build_network(config(f"shortcut={shortcut}")).modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(norms) == 7 + 3 * (shortcut == "conv1x1")
        for norm in norms:
            assert norm.weight.eq(1).all()
            assert norm.bias.eq(0).all()


@pytest.mark.parametrize("batch_norm", ["true", "false"])
@pytest.mark.parametrize("weights", ["he", "zero"])
@pytest.mark.parametrize("shortcut", ["exclusive_gating", "shortcut_only_gating"])
def test_gates_start_as_told(config: Config, shortcut: str, weights: str, batch_norm: str) -> None:
    settings = ["shortcut.gate_bias=-3.5", f"shortcut.gate_weights={weights}", f"shortcut.batch_norm={batch_norm}"]
    network = build_network(config(f"shortcut={shortcut}", *settings))
    gates = [module for module in network.modules() if isinstance(module, Gate)]
    assert len(gates) == 3
    for gate in gates:
        assert gate.bias.eq(-3.5).all()
        assert bool(gate.conv.weight.any()) is (weights == "he")


def test_the_classifiers_bias_is_0(config: Config) -> None:
    network = build_network(config())
    assert isinstance(network, ResNet)
    assert network.classifier.bias.eq(0).all()
    assert network.classifier.weight.any()


class ReferenceUnit(nn.Module):
    """Two 3×3 convolutions and option A, as most ports of v1 have it."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if out.shape != x.shape:
            subsampled = F.max_pool2d(x, kernel_size=1, stride=2)
            x = torch.cat((subsampled, 0 * subsampled), dim=1)
        return F.relu(out + x)


class ReferenceResNet20(nn.Module):
    """v1, section 4.2, with n = 3, written from the paper and nothing of this package."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.stage1 = nn.Sequential(ReferenceUnit(16, 16, 1), ReferenceUnit(16, 16, 1), ReferenceUnit(16, 16, 1))
        self.stage2 = nn.Sequential(ReferenceUnit(16, 32, 2), ReferenceUnit(32, 32, 1), ReferenceUnit(32, 32, 1))
        self.stage3 = nn.Sequential(ReferenceUnit(32, 64, 2), ReferenceUnit(64, 64, 1), ReferenceUnit(64, 64, 1))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_the_baseline_is_an_option_a_resnet20(config: Config, training: bool) -> None:
    """In double precision, so that only a difference in what is computed can show."""
    torch.manual_seed(0)
    ours = build_network(config("data=cifar10", "network.depth=20")).double()
    reference = ReferenceResNet20().double()
    state = ours.state_dict()
    for name, value in state.items():
        # Not the values they start with: γ = 1 and running means of 0 would hide a wrong order.
        if not name.endswith("num_batches_tracked"):
            state[name] = torch.rand_like(value) + 0.5 if value.ndim == 1 else value
    ours.load_state_dict(state)
    theirs = reference.state_dict()
    assert [v.shape for v in theirs.values()] == [v.shape for v in state.values()]
    reference.load_state_dict(dict(zip(theirs, state.values(), strict=True)))
    ours.train(training)
    reference.train(training)
    images, labels = torch.randn(8, 3, 32, 32, dtype=torch.float64), torch.randint(10, (8,))
    logits, expected = ours(images), reference(images)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    F.cross_entropy(logits, labels).backward()
    F.cross_entropy(expected, labels).backward()
    for (name, parameter), (_, other) in zip(ours.named_parameters(), reference.named_parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
