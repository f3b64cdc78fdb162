"""Lesions of a network, against networks that are written out."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from resnet_ablations.build import network_for
from resnet_ablations.config import RunConfig
from resnet_ablations.network.resnet import ResNet
from resnet_ablations.network.units import ResidualUnit
from resnet_ablations.probe.lesions import COUNTS, DRAWS, lesioned, lesions
from resnet_ablations.results.lesions import Lesion

Config = Callable[..., RunConfig]
Build = Callable[..., ResNet]
SCALED = "shortcut=constant_scaling", "shortcut.shortcut_scale=0.5", "shortcut.residual_scale=0.5"
NO_SHORTCUT = "shortcut=constant_scaling", "shortcut.shortcut_scale=0", "shortcut.residual_scale=1"


@pytest.fixture
def built(config: Config) -> Build:
    def build(*overrides: str, depth: int = 14) -> ResNet:
        """Return a network in evaluation mode, with statistics that are not the initial ones."""
        network = network_for(config(f"network.depth={depth}", *overrides), channels=3, classes=10).double()
        assert isinstance(network, ResNet)
        for _ in range(3):
            network(2 * images() + 1)
        return network.eval()

    return build


def images() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def deleted(*units: int) -> Lesion:
    return Lesion("deleted", len(units), None, units, None)


def closed_form(network: ResNet, remains: Callable[[ResidualUnit, Tensor], Tensor], numbers: set[int]) -> Tensor:
    """Return the logits where `remains` replaces the units `numbers`."""
    x = network.stem(images())
    for number, unit in enumerate(network.units, start=1):
        assert isinstance(unit, ResidualUnit)
        x = remains(unit, x) if number in numbers else unit(x)
    return network.classifier(network.end(x).mean(dim=(2, 3)))


REMAINS: dict[str, tuple[tuple[str, ...], Callable[[ResidualUnit, Tensor], Tensor]]] = {
    "identity": ((), lambda unit, x: unit.shortcut.match(x).relu()),
    "λ = 0.5": (SCALED, lambda unit, x: 0.5 * unit.shortcut.match(x)),
    "1×1 convolution": (("shortcut=conv1x1",), lambda unit, x: unit.shortcut.normalise(unit.shortcut.conv(x)).relu()),
    "dropout": (("shortcut=dropout",), lambda unit, x: 0.5 * unit.shortcut.match(x)),
    "option B": (("network.dimension_change=projection",), lambda unit, x: unit.shortcut.match(x).relu()),
    "pre-activation": (
        ("activation=full_preactivation", "network.shared_preactivation=projections"),
        lambda unit, x: unit.shortcut.match(x),
    ),
    "shared pre-activation": (
        ("activation=full_preactivation", "network.dimension_change=projection"),
        lambda unit, x: unit.shortcut.match(unit.first(x) if unit.shared else x),
    ),
    "BN after the addition": (
        ("activation=bn_after_addition",),
        lambda unit, x: unit.after_addition(unit.shortcut.match(x)),
    ),
    **{
        name: (
            (f"shortcut={name}", "shortcut.gate_bias=-1", "shortcut.varied_units=all"),
            lambda unit, x: ((1 - unit.shortcut.gate(x)) * unit.shortcut.match(x)).relu(),
        )
        for name in ("exclusive_gating", "shortcut_only_gating")
    },
}


@pytest.mark.parametrize("case", REMAINS)
def test_a_deleted_unit_leaves_what_its_shortcut_makes_of_x(built: Build, case: str) -> None:
    overrides, remains = REMAINS[case]
    network = built(*overrides)
    before = network(images())
    for numbers in ((2,), (3,), (1, 3, 4, 6)):  # units 3 and 5 change dimensions
        logits = lesioned(network, deleted(*numbers))(images())
        torch.testing.assert_close(logits, closed_form(network, remains, set(numbers)), rtol=1e-10, atol=1e-10)
        assert (logits - before).abs().max() > 1e-3
    assert torch.equal(network(images()), before)


@pytest.mark.parametrize("overrides", [("shortcut=plain",), NO_SHORTCUT], ids=["plain", "λ = 0"])
def test_a_unit_without_shortcut_is_replaced_by_the_identity(built: Build, overrides: tuple[str, ...]) -> None:
    network = built(*overrides)
    logits = lesioned(network, deleted(2, 4))(images())
    torch.testing.assert_close(logits, closed_form(network, lambda unit, x: x, {2, 4}), rtol=0, atol=0)
    assert [one.units for one in lesions(network, 0) if one.count == 1 and one.draw is None] == [(1,), (2,), (4,), (6,)]
    with pytest.raises(ValueError, match="unit 3 has no shortcut and changes dimensions"):
        lesioned(network, deleted(3))


def test_units_in_their_own_order_change_nothing(built: Build) -> None:
    network = built()
    same = lesioned(network, Lesion("shuffled", 0, None, (1, 2, 3, 4, 5, 6), 1.0))
    assert torch.equal(same(images()), network(images()))
    assert not same.training


def test_a_swap_exchanges_two_units(built: Build) -> None:
    network = built()
    logits = lesioned(network, Lesion("shuffled", 1, None, (2, 1, 3, 4, 5, 6), None))(images())
    x = network.stem(images())
    for number in (1, 0, 2, 3, 4, 5):
        x = network.units[number](x)
    assert torch.equal(logits, network.classifier(x.mean(dim=(2, 3))))


def test_only_units_with_the_same_layers_are_swapped(built: Build) -> None:
    for overrides, rows in (((), ({1, 2, 3}, {5, 6}, {8, 9})), (("activation=full_preactivation",), ({2, 3}, {5, 6}))):
        network = built(*overrides, depth=20)
        orders = [one.units for one in lesions(network, 0) if one.lesion == "shuffled"]
        assert len(orders) == DRAWS * (1 + len(COUNTS))
        for row in rows:
            assert {frozenset(order[number - 1] for number in row) for order in orders} == {frozenset(row)}
        still = set(range(1, 10)) - set.union(*rows, {8, 9})
        assert all(order[number - 1] == number for order in orders for number in still)


def test_the_lesions_of_a_seed(built: Build) -> None:
    network = built()
    found = lesions(network, 0)
    assert found == lesions(network, 0) != lesions(network, 1)
    assert found[:2] == [Lesion("none", 0, None, (), None), deleted(1)]
    assert {one.count for one in found if one.lesion == "deleted"} == {1, 2, 3, 4, 6}  # six units
    draw = [one for one in found if one.draw == 3]
    several = [set(one.units) for one in draw if one.lesion == "deleted"]
    assert [len(units) for units in several] == [2, 3, 4, 6]
    assert all(fewer < more for fewer, more in pairwise(several))
    swapped = [one for one in draw if one.lesion == "shuffled"]
    assert [one.count for one in swapped] == [1, *COUNTS]
    # One swap of a row of two reverses one pair of fifteen: τ = 1 − 2/15.
    assert swapped[0].tau == pytest.approx(1 - 2 / 15)
