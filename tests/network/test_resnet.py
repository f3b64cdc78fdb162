"""The whole network: depth, initialisation, dimension changes, and the units that get a shortcut variant."""

import math
from collections.abc import Callable

import pytest
import torch
from made import SHORTCUTS, combined, composed, shaken, small
from torch import Tensor, nn

from resnet_ablations.build import build_network, network_for
from resnet_ablations.config import RunConfig
from resnet_ablations.network.dimensions import OptionA, Projection
from resnet_ablations.network.resnet import ResNet, equal_stages
from resnet_ablations.network.shortcuts import Conv1x1, ExclusiveGating, Gate, Identity, Plain
from resnet_ablations.network.units import ResidualUnit

Config = Callable[..., RunConfig]


def of_settings(config: RunConfig, **settings: object) -> nn.Module:
    """Return the network of a configuration with changed `network` settings and random biases, γ and β."""
    changed = config.model_copy(update={"network": config.network.model_copy(update=settings)})
    torch.manual_seed(0)
    return shaken(network_for(changed, channels=3, classes=10))


def in_units(varied: str, shortcut: str) -> nn.Module:
    """Return a ResNet with two units a stage, and with the shortcut in these units."""
    config = small(combined("resnet20", shortcut=shortcut), units=2)
    return of_settings(
        config.model_copy(update={"shortcut": config.shortcut.model_copy(update={"varied_units": varied})})
    )


def units(network: nn.Module) -> list[ResidualUnit]:
    return [module for module in network.modules() if isinstance(module, ResidualUnit)]


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize(
    ("depth", "layers", "stages", "n"),
    [
        (8, 2, 3, 1),
        (20, 2, 3, 3),
        (110, 2, 3, 18),
        (1202, 2, 3, 200),
        (110, 1, 3, 36),
        (164, 3, 3, 18),
        (1001, 3, 3, 111),
        (10, 2, 4, 1),
        (4, 2, 1, 1),
    ],
)
def test_depths_of_equal_stages(depth: int, layers: int, stages: int, n: int) -> None:
    assert equal_stages(depth, layers, stages) == [n] * stages


@pytest.mark.parametrize("depth", [-4, 0, 2, 7, 57, 109, 111])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=r"must be 6n\+2 \(8, 14, 20, …\)"):
        equal_stages(depth, 2, 3)


@pytest.mark.parametrize("network", ["resnet20", "resnet164", "resnet110_1layer", "imagenet_resnet50"])
def test_depth_counts_the_weight_layers(network: str) -> None:
    """The convolutions of branches and stem, and the classifier; projections do not count (v1, Table 1)."""
    config = small(combined(network), units=2)
    built = network_for(config, channels=3, classes=10)
    projections = [p for module in built.modules() if isinstance(module, Projection) for p in convolutions(module)]
    layers = [m for m in built.modules() if isinstance(m, nn.Conv2d | nn.Linear) and m not in projections]
    assert len(layers) == config.network.depth


@pytest.mark.parametrize("network", ["resnet20", "resnet164", "imagenet_resnet34", "imagenet_resnet50"])
def test_feature_maps_halve_at_each_stage_but_the_first(network: str) -> None:
    config = small(combined(network), units=2)
    sizes: list[tuple[int, ...]] = []
    built = network_for(config, channels=3, classes=10)
    for unit in units(built):
        unit.register_forward_hook(lambda unit, inputs, output: sizes.append(tuple(output.shape[1:])))
    built(torch.randn(2, 3, 64, 64))
    settings = config.network
    first = 16 if settings.stem.max_pool else 64
    assert sizes == [
        (width * settings.expansion, first // 2**stage, first // 2**stage)
        for stage, width in enumerate(settings.widths)
        for _ in range(2)
    ]


def test_no_convolution_has_a_bias_but_a_gates(config: Config) -> None:
    for shortcut in ("identity", "constant_scaling", "conv1x1", "dropout", "exclusive_gating", "plain"):
        network = build_network(config(f"shortcut={shortcut}", "network.dimension_change=projection"))
        gates = {id(gate.conv) for gate in network.modules() if isinstance(gate, Gate)}
        assert all((conv.bias is not None) == (id(conv) in gates) for conv in convolutions(network))


@pytest.mark.parametrize("init", ["fan_in", "fan_out"])
def test_he_initialisation(config: Config, init: str) -> None:
    """N(0, √(2/fan)) within five standard errors; convolutions that widen distinguish fan-in from fan-out."""
    choices = ("network.dimension_change=projection", "shortcut=exclusive_gating", "shortcut.batch_norm=true")
    seen = set()
    for conv in convolutions(build_network(config("network.depth=20", f"network.init={init}", *choices))):
        channels = conv.in_channels if init == "fan_in" else conv.out_channels
        expected = math.sqrt(2 / (channels * conv.kernel_size[0] * conv.kernel_size[1]))
        errors = 5 / math.sqrt(2 * conv.weight.numel())
        assert conv.weight.std().item() == pytest.approx(expected, rel=errors)
        assert conv.weight.mean().item() == pytest.approx(0, abs=errors * expected * math.sqrt(2))
        seen.add((conv.in_channels, conv.out_channels, *conv.kernel_size))
    assert {(16, 32, 3, 3), (32, 64, 3, 3), (16, 32, 1, 1), (64, 64, 1, 1)} <= seen


def test_he_initialisation_is_normal_not_uniform(config: Config) -> None:
    network = build_network(config("network.depth=20"))
    weights = torch.cat([conv.weight.flatten() / conv.weight.std() for conv in convolutions(network)])
    assert (weights.abs() > 2).float().mean().item() == pytest.approx(0.0455, abs=0.002)


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_initial_weights_are_those_of_the_seed_whatever_torchs_random_state(config: Config, shortcut: str) -> None:
    weights = []
    for state, seed in ((0, 0), (1, 0), (0, 1)):
        torch.manual_seed(state)
        run = config(f"shortcut={shortcut}", f"seed={seed}", "network.dimension_change=projection")
        weights.append(build_network(run).state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
    for name in ("stem.0.weight", "units.2.branch.3.weight", "classifier.weight"):
        assert not torch.equal(weights[0][name], weights[2][name]), name


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
def test_initial_gate_weights_and_biases(config: Config, shortcut: str, weights: str, batch_norm: str) -> None:
    settings = ["shortcut.gate_bias=-3.5", f"shortcut.gate_weights={weights}", f"shortcut.batch_norm={batch_norm}"]
    network = build_network(config(f"shortcut={shortcut}", "shortcut.varied_units=all", *settings))
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


@pytest.mark.parametrize("form", ["zero_pad", "zero_pad_both_sides", "average_pool"])
def test_option_a_has_no_parameters_not_even_where_dimensions_change(form: str) -> None:
    """Option B's projections instead of option A are a common mistake."""
    network = of_settings(small(combined("resnet20"), units=3), dimension_change=form)
    assert [type(unit.shortcut.match) is OptionA for unit in units(network)] == [i in (3, 6) for i in range(9)]
    assert not [p for unit in units(network) for p in unit.shortcut.parameters()]
    assert {conv.kernel_size for conv in convolutions(network)} == {(3, 3)}


@pytest.mark.parametrize(
    ("activation", "normalised"),
    [
        ("original", True),
        ("bn_after_addition", False),
        ("relu_before_addition", True),
        ("relu_only_preactivation", True),
        ("full_preactivation", False),
    ],
)
@pytest.mark.parametrize(("network", "projecting"), [("resnet164", [0, 2, 4]), ("imagenet_resnet34", [2, 4, 6])])
def test_option_b_projects_where_dimensions_change_and_nowhere_else(
    network: str, projecting: list[int], activation: str, normalised: bool
) -> None:
    """Batch normalisation follows only if F ends in one; KaimingHe/resnet-1k-layers has none."""
    config = small(combined(network, activation), units=2)
    matches = [unit.shortcut.match for unit in units(of_settings(config, dimension_change="projection"))]
    kinds = [nn.Conv2d, nn.BatchNorm2d] if normalised else [nn.Conv2d]
    for index, match in enumerate(matches):
        assert [type(layer) for layer in match.modules() if not list(layer.children())] == (
            kinds if index in projecting else [nn.Identity]
        )


def test_option_c_projects_everywhere() -> None:
    network = of_settings(small(combined("imagenet_resnet34", shortcut="conv1x1"), units=2))
    assert [type(unit.shortcut) for unit in units(network)] == [Conv1x1] * 8
    strides = [unit.shortcut.conv.stride for unit in units(network)]
    assert strides == [(1, 1), (1, 1), *[(2, 2), (1, 1)] * 3]
    assert all(isinstance(unit.shortcut.normalise, nn.BatchNorm2d) for unit in units(network))


@pytest.mark.parametrize("varied", ["all", "same_shape"])
def test_which_units_get_the_shortcut(varied: str) -> None:
    changing = ExclusiveGating if varied == "all" else Identity
    network = in_units(varied, "exclusive_gating")
    expected = [ExclusiveGating, ExclusiveGating, *[changing, ExclusiveGating] * 2]
    assert [type(unit.shortcut) for unit in units(network)] == expected


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_by_default_gates_alone_leave_out_the_units_that_change_dimensions(shortcut: str) -> None:
    """The two have option A's x and F(x), as in the original network."""
    expected = "same_shape" if shortcut in ("exclusive_gating", "shortcut_only_gating") else "all"
    assert composed(f"shortcut={shortcut}").shortcut.varied_units == expected


def test_plain_units_of_one_shape_leave_option_a_in_the_others() -> None:
    network = in_units("same_shape", "plain")
    assert [type(unit.shortcut) for unit in units(network)] == [Plain, Plain, *[Identity, Plain] * 2]


@pytest.mark.parametrize("depth_units", [1, 2, 5])
@pytest.mark.parametrize("network", ["resnet20", "resnet110_1layer", "resnet164", "imagenet_resnet34"])
def test_a_plain_net_is_its_layers_one_after_the_other(network: str, depth_units: int) -> None:
    """v1's plain nets, also where dimensions change; no additional parameter."""
    config = small(combined(network, shortcut="plain"), units=depth_units)
    plain = of_settings(config).double()
    assert not [p for unit in units(plain) for p in unit.shortcut.parameters()]
    layers: list[nn.Module] = [*plain.stem]
    for unit in units(plain):
        layers += [*unit.branch, *unit.after_addition]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), plain.classifier]
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(plain(images), nn.Sequential(*layers)(images), rtol=1e-12, atol=1e-12)


def shortcuts_inputs(network: nn.Module, images: Tensor) -> list[str]:
    """Return for each unit whether its shortcut reads the unit's input or the activated input."""
    read: list[str] = []

    def note(unit: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        read.append("raw" if unit.shortcut.x is inputs[0] else "activated")

    for unit in units(network):
        unit.shortcut.register_forward_pre_hook(lambda shortcut, inputs: setattr(shortcut, "x", inputs[0]))
        unit.register_forward_hook(note)
    network(images)
    return read


@pytest.mark.parametrize("activation", ["relu_only_preactivation", "full_preactivation"])
@pytest.mark.parametrize(
    ("dimension_change", "shared", "changing"),
    [
        ("projection", "projections", "activated"),
        ("projection", "dimension_changes", "activated"),
        ("zero_pad", "projections", "raw"),
        ("zero_pad", "dimension_changes", "activated"),
    ],
)
@pytest.mark.parametrize("network", ["resnet20", "resnet164"])
def test_which_shortcuts_read_the_activated_x(
    network: str, activation: str, dimension_change: str, shared: str, changing: str
) -> None:
    """Shortcuts of other units never read it, because x would not be the identity's any more."""
    settings = {"dimension_change": dimension_change, "shared_preactivation": shared}
    built = of_settings(small(combined(network, activation), units=2), **settings)
    # What enters the first unit is activated already.
    assert shortcuts_inputs(built, torch.randn(2, 3, 16, 16))[1:] == ["raw", *[changing, "raw"] * 2]
