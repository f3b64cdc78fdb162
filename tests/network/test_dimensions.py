"""Options A and B of units that change dimensions; the three forms of option A against hand-written loops."""

import numpy as np
import pytest
import torch
from torch import nn

from resnet_ablations.network.dimensions import DimensionChange, OptionA, Projection, UnitShape

FORMS: list[DimensionChange] = ["zero_pad", "zero_pad_both_sides", "average_pool"]


def by_hand(x: np.ndarray, form: str, width: int, stride: int) -> np.ndarray:
    images, channels, height, wide = x.shape
    y = np.zeros((images, width, -(-height // stride), -(-wide // stride)), x.dtype)
    first = (width - channels) // 2 if form == "zero_pad_both_sides" else 0
    for n, c, i, j in np.ndindex(images, channels, *y.shape[2:]):
        window = x[n, c, stride * i : stride * (i + 1), stride * j : stride * (j + 1)]
        y[n, first + c, i, j] = window.mean() if form == "average_pool" else window[0, 0]
    return y


@pytest.mark.parametrize("size", [(8, 6), (7, 5), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", [8, 9])
@pytest.mark.parametrize("form", FORMS)
def test_option_a(form: DimensionChange, width: int, stride: int, size: tuple[int, int]) -> None:
    """Also for odd sizes, which a strided convolution rounds up."""
    x = np.random.default_rng(0).normal(size=(2, 4, *size)).astype(np.float32)
    match = UnitShape(4, width, stride, form, normalised=True).match()
    y = match(torch.from_numpy(x))
    np.testing.assert_allclose(y.numpy(), by_hand(x, form, width, stride), atol=1e-6)
    assert y.shape == nn.Conv2d(4, width, 3, stride, padding=1)(torch.from_numpy(x)).shape
    assert list(match.parameters()) == []


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_option_b_is_a_strided_linear_map_of_each_pixel(stride: int, normalised: bool) -> None:
    """v1, eq. 2: W_s x, then batch normalisation if `normalised`."""
    torch.manual_seed(0)
    match = UnitShape(4, 8, stride, "projection", normalised).match()
    assert isinstance(match, Projection)
    x = torch.randn(6, 4, 7, 8)
    weight, *others = match.parameters()
    assert weight.shape == (8, 4, 1, 1)
    assert len(others) == 2 * normalised
    expected = torch.einsum("oi,nihw->nohw", weight[:, :, 0, 0], x[:, :, ::stride, ::stride])
    if normalised:
        mean, variance = expected.mean((0, 2, 3), keepdim=True), expected.var((0, 2, 3), correction=0, keepdim=True)
        expected = (expected - mean) / torch.sqrt(variance + 1e-5)
    torch.testing.assert_close(match(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", [*FORMS, "projection"])
def test_units_that_keep_the_shape_leave_x_unchanged(form: DimensionChange) -> None:
    x = torch.randn(2, 4, 8, 6)
    match = UnitShape(4, 4, 1, form, normalised=True).match()
    assert match(x) is x
    assert list(match.parameters()) == []


@pytest.mark.parametrize(
    ("shape", "changes"),
    [((16, 16, 1), False), ((16, 32, 2), True), ((16, 32, 1), True), ((16, 16, 2), True)],
)
def test_which_units_change_their_inputs_shape(shape: tuple[int, int, int], changes: bool) -> None:
    assert UnitShape(*shape, "zero_pad", normalised=True).changes is changes
    for form, kind in (("zero_pad", OptionA), ("projection", Projection)):
        assert type(UnitShape(*shape, form, normalised=True).match()) is (kind if changes else nn.Identity)
