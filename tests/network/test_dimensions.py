"""Option A in its three forms, against loops written by hand."""

import numpy as np
import pytest
import torch

from resnet_ablations.network.dimensions import DimensionChange, OptionA, UnitShape


def by_hand(x: np.ndarray, form: str, width: int) -> np.ndarray:
    images, channels, height, wide = x.shape
    y = np.zeros((images, width, height // 2, wide // 2), x.dtype)
    first = (width - channels) // 2 if form == "zero_pad_both_sides" else 0
    for n, c, i, j in np.ndindex(images, channels, height // 2, wide // 2):
        window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        y[n, first + c, i, j] = window.mean() if form == "average_pool" else window[0, 0]
    return y


@pytest.mark.parametrize("form", ["zero_pad", "zero_pad_both_sides", "average_pool"])
@pytest.mark.parametrize("width", [4, 8, 9])
def test_option_a(form: DimensionChange, width: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 8, 6)).astype(np.float32)
    match = UnitShape(4, width, 2, form).match()
    y = match(torch.from_numpy(x))
    np.testing.assert_allclose(y.numpy(), by_hand(x, form, width), atol=1e-6)
    assert list(match.parameters()) == []


@pytest.mark.parametrize("form", ["zero_pad", "zero_pad_both_sides", "average_pool"])
def test_where_the_shape_stays_x_is_x(form: DimensionChange) -> None:
    x = torch.randn(2, 4, 8, 6)
    assert UnitShape(4, 4, 1, form).match()(x) is x


@pytest.mark.parametrize(("shape", "changes"), [((16, 16, 1), False), ((16, 32, 2), True), ((16, 32, 1), True)])
def test_which_units_change_their_inputs_shape(shape: tuple[int, int, int], changes: bool) -> None:
    unit = UnitShape(*shape, "zero_pad")
    assert unit.changes is changes
    assert isinstance(unit.match(), OptionA) is changes
