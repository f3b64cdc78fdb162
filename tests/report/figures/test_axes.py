"""Axes as data: their ends, their ticks, and where a value lies on them."""

import pytest

from resnet_ablations.report.figures.axes import amounts_axis, final_errors_axis, linear_axis, log_axis


def test_where_a_value_lies() -> None:
    assert linear_axis("", 10, 30).share(15) == pytest.approx(0.25)
    assert log_axis("", 1, 100).share(10) == pytest.approx(0.5)
    axis = final_errors_axis("", [0, 100])
    unit = 0.5 / 0.9  # as matplotlib has it: half a decade, lengthened so that the slopes of both parts meet
    assert axis.share(0) == 0
    assert axis.share(100) == 1
    assert axis.share(0.5) == pytest.approx(unit / 2 / (2 + unit))
    assert axis.share(10) == pytest.approx((1 + unit) / (2 + unit))


@pytest.mark.parametrize(
    ("errors", "ends", "fewest"),
    [([0.0], (0, 1), 3), ([5.5, 6.5], (5, 10), 4), ([0.3, 87.0], (0, 100), 8), ([100.0], (100, 101), 1)],
)
def test_errors_lie_between_ticks(errors: list[float], ends: tuple[float, float], fewest: int) -> None:
    axis = final_errors_axis("", errors)
    assert (axis.low, axis.high) == ends
    assert len(axis.ticks) >= fewest
    assert len(axis.ticks) == len(axis.texts)


@pytest.mark.parametrize(
    ("amounts", "texts"),
    [
        ([7.8, 8.3], ("7", "8", "9")),
        ([60, 140], ("60", "70", "80", "90", "100", "150")),
        ([2.5, 16.0], ("2", "5", "10", "20")),
        ([1, 1500], ("1", "2", "10", "20", "100", "200", "1,000", "2,000")),
    ],
)
def test_amounts_lie_between_ticks(amounts: list[float], texts: tuple[str, ...]) -> None:
    assert amounts_axis("", amounts).texts == texts
