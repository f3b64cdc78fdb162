"""A residual unit: the order of its layers, and that nothing overwrites the x which the shortcut needs."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.network.dimensions import UnitShape
from resnet_ablations.network.shortcuts import Identity
from resnet_ablations.network.units import Placement, ResidualUnit

ORIGINAL = Placement(
    first=[], between=["bn", "relu"], last=["bn"], after_addition=["relu"], stem=["bn", "relu"], end=[]
)
RELU_FIRST = Placement(first=["relu"], between=["bn", "relu"], last=["bn"], after_addition=[], stem=["bn"], end=[])
BN_RELU_FIRST = Placement(first=["bn", "relu"], between=["bn", "relu"], last=[], after_addition=[], stem=[], end=[])
RELU_LAST = Placement(first=[], between=["bn", "relu"], last=["bn", "relu"], after_addition=[], stem=[], end=[])
RELU_ALONE = Placement(first=[], between=["relu"], last=["relu"], after_addition=["relu"], stem=[], end=["relu"])
PLACEMENTS = {
    "original": ORIGINAL,
    "relu_first": RELU_FIRST,
    "bn_relu_first": BN_RELU_FIRST,
    "relu_last": RELU_LAST,
    "relu_alone": RELU_ALONE,
}
SHAPES = {"same": UnitShape(4, 4, 1, "zero_pad"), "wider": UnitShape(4, 8, 2, "zero_pad")}


def make(placement: Placement, shape: UnitShape) -> ResidualUnit:
    torch.manual_seed(0)
    return ResidualUnit(shape, placement, Identity(shape))


def activated(z: Tensor, names: object) -> Tensor:
    """BN by the batch's statistics with γ = 1 and β = 0, and ReLU, in the order named."""
    assert isinstance(names, list)
    for name in names:
        z = F.batch_norm(z, None, None, training=True) if name == "bn" else z.clamp(min=0)
    return z


def by_hand(unit: ResidualUnit, placement: Placement, shape: UnitShape, x: Tensor) -> Tensor:
    first, second = (module.weight for module in unit.branch if isinstance(module, nn.Conv2d))
    z = activated(x, placement.first)
    z = F.conv2d(z, first, stride=shape.stride, padding=1)
    z = activated(z, placement.between)
    z = F.conv2d(z, second, padding=1)
    z = activated(z, placement.last)
    return activated(unit.shortcut(x, z), placement.after_addition)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS)
def test_a_unit_is_its_placement_spelt_out(placement: Placement, shape: UnitShape) -> None:
    unit = make(placement, shape)
    x = torch.randn(6, 4, 8, 8)
    torch.testing.assert_close(unit(x), by_hand(unit, placement, shape, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS)
def test_a_unit_leaves_its_input_as_it_is(placement: Placement) -> None:
    unit = make(placement, SHAPES["same"])
    x = torch.randn(6, 4, 8, 8)
    before = x.clone()
    unit(x)
    torch.testing.assert_close(x, before, rtol=0, atol=0)


@pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS)
def test_gradients_pass_through_every_placement(placement: Placement) -> None:
    """In double precision, against finite differences: a layer that overwrites what backward needs shows here."""
    unit = make(placement, SHAPES["wider"]).double()
    x = torch.randn(2, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit, (x,), eps=1e-7, atol=1e-4)


def test_the_two_convolutions_have_no_bias_and_the_first_one_the_stride() -> None:
    unit = make(ORIGINAL, SHAPES["wider"])
    first, second = (module for module in unit.branch if isinstance(module, nn.Conv2d))
    assert (first.bias, second.bias) == (None, None)
    assert (first.stride, second.stride) == ((2, 2), (1, 1))
    assert (first.kernel_size, second.kernel_size) == ((3, 3), (3, 3))
