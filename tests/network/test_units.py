"""A residual unit against its formula, for every branch and placement; no layer overwrites the shortcut's x."""

from itertools import zip_longest

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.network.dimensions import UnitShape
from resnet_ablations.network.shortcuts import Identity
from resnet_ablations.network.units import Branch, Placement, ResidualUnit, activations

NOT_IN_UNITS = {"stem": ["bn", "relu"], "end": []}
PLACEMENTS = {
    "original": Placement([], ["bn", "relu"], ["bn"], ["relu"], **NOT_IN_UNITS),
    "bn_after": Placement([], ["bn", "relu"], [], ["bn", "relu"], **NOT_IN_UNITS),
    "relu_before": Placement([], ["bn", "relu"], ["bn", "relu"], [], **NOT_IN_UNITS),
    "relu_first": Placement(["relu"], ["bn", "relu"], ["bn"], [], **NOT_IN_UNITS),
    "bn_relu_first": Placement(["bn", "relu"], ["bn", "relu"], [], [], **NOT_IN_UNITS),
    "relu_alone": Placement([], ["relu"], ["relu"], ["relu"], **NOT_IN_UNITS),
    "relu_bn": Placement(["relu", "bn"], ["relu", "bn"], ["relu", "bn"], ["relu", "bn"], **NOT_IN_UNITS),
    "relu_twice": Placement(["relu", "relu"], ["relu", "relu"], ["bn", "relu", "relu"], ["relu"], **NOT_IN_UNITS),
    "nothing": Placement([], [], [], [], **NOT_IN_UNITS),
}
BRANCHES = {
    "basic": Branch((3, 3), expansion=1, strided=0),
    "bottleneck": Branch((1, 3, 1), expansion=4, strided=0),
    "bottleneck_3x3": Branch((1, 3, 1), expansion=4, strided=1),
    "single": Branch((3,), expansion=1, strided=0),
    "wide": Branch((5, 3), expansion=1, strided=0),
}
SHAPES = {
    "same": UnitShape(8, 8, 1, "zero_pad", normalised=True),
    "wider": UnitShape(8, 16, 2, "zero_pad", normalised=True),
    "projected": UnitShape(8, 16, 2, "projection", normalised=True),
}

every_placement = pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS)
every_branch = pytest.mark.parametrize("branch", BRANCHES.values(), ids=BRANCHES)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def make(placement: Placement, branch: Branch, shape: UnitShape, *, shared: bool = False) -> ResidualUnit:
    torch.manual_seed(0)
    return ResidualUnit(
        first=activations(placement.first, shape.in_channels),
        shared=shared,
        branch=branch.build(shape, placement),
        shortcut=Identity(shape),
        after_addition=activations(placement.after_addition, shape.out_channels),
    ).double()


def some(images: int = 6, size: int = 8) -> Tensor:
    return torch.randn(images, 8, size, size, dtype=torch.float64)


def activated(z: Tensor, names: object) -> Tensor:
    """Apply BN with the batch's statistics, γ = 1 and β = 0, and ReLU, in the given order."""
    assert isinstance(names, list)
    for name in names:
        z = F.batch_norm(z, None, None, training=True) if name == "bn" else z.clamp(min=0)
    return z


def by_hand(unit: ResidualUnit, placement: Placement, branch: Branch, shape: UnitShape, x: Tensor) -> Tensor:
    weights = [module.weight for module in unit.branch if isinstance(module, nn.Conv2d)]
    first = z = activated(x, placement.first)
    for index, (weight, following) in enumerate(
        zip_longest(weights, [placement.between] * (len(weights) - 1), fillvalue=placement.last)
    ):
        stride = shape.stride if index == branch.strided else 1
        z = activated(F.conv2d(z, weight, stride=stride, padding=weight.shape[-1] // 2), following)
    return activated(unit.shortcut.match(first if unit.shared else x) + z, placement.after_addition)


@every_shape
@every_branch
@every_placement
@pytest.mark.parametrize("shared", [False, True])
def test_a_unit_is_its_placement_spelt_out(
    placement: Placement, branch: Branch, shape: UnitShape, shared: bool
) -> None:
    """Also the shortcut's input: the raw x, or the activated x if it is shared."""
    unit = make(placement, branch, shape, shared=shared)
    x = some()
    torch.testing.assert_close(unit(x), by_hand(unit, placement, branch, shape, x), rtol=1e-9, atol=1e-9)


@every_placement
def test_a_unit_leaves_its_input_as_it_is(placement: Placement) -> None:
    for branch in BRANCHES.values():
        x = some()
        before = x.clone()
        make(placement, branch, SHAPES["same"])(x)
        torch.testing.assert_close(x, before, rtol=0, atol=0)


@every_placement
def test_gradients_pass_through_every_placement(placement: Placement) -> None:
    """Against finite differences, which reveal a layer that overwrites a value needed in the backward pass."""
    unit = make(placement, BRANCHES["basic"], SHAPES["wider"])
    x = some(images=2, size=4).requires_grad_()
    assert torch.autograd.gradcheck(unit, (x,), eps=1e-7, atol=1e-4, fast_mode=True)


@every_branch
def test_the_convolutions_of_a_branch(branch: Branch) -> None:
    """No bias; the stage's width, except in the last one; the unit's stride in exactly one."""
    convolutions = [m for m in branch.build(SHAPES["wider"], PLACEMENTS["original"]) if isinstance(m, nn.Conv2d)]
    width, last = 16 // branch.expansion, len(convolutions) - 1
    assert [c.bias for c in convolutions] == [None] * len(convolutions)
    assert [c.kernel_size for c in convolutions] == [(kernel, kernel) for kernel in branch.kernels]
    assert [c.in_channels for c in convolutions] == [8] + [width] * last
    assert [c.out_channels for c in convolutions] == [width] * last + [16]
    assert [c.stride[0] for c in convolutions] == [2 if i == branch.strided else 1 for i in range(last + 1)]
