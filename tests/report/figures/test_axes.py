"""Axes whose ends are ticks, and marks that do not hide each other."""

import math

import pytest
from matplotlib.figure import Figure

from resnet_ablations.report.figures.axes import final_errors, log_ticks, side_by_side, staggered
from resnet_ablations.report.figures.chart import panel_figure


@pytest.mark.parametrize(
    ("errors", "ends", "fewest"),
    [([0.0], (0, 1), 3), ([5.5, 6.5], (5, 10), 4), ([0.3, 87.0], (0, 100), 8), ([100.0], (100, 101), 1)],
)
def test_errors_lie_between_ticks(errors: list[float], ends: tuple[float, float], fewest: int) -> None:
    axes = Figure().add_subplot()
    final_errors(axes, "x", errors)
    assert axes.get_xlim() == ends
    assert len(axes.get_xticks()) >= fewest
    assert len(axes.get_xticklabels()) == len(axes.get_xticks())


@pytest.mark.parametrize(
    ("ends", "texts"),
    [
        ((7.5, 9.5), ["8", "9"]),
        ((55, 140), ["60", "70", "80", "90", "100", "120"]),
        ((2.1, 19), ["3", "4", "5", "7", "10", "15"]),
        ((0.9, 1500), ["1", "10", "100", "1,000"]),
    ],
)
def test_amounts_have_ticks_at_round_numbers(ends: tuple[float, float], texts: list[str]) -> None:
    axes = Figure().add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    log_ticks(axes, "x")
    shown = {label.get_text() for label in axes.get_xticklabels()}
    assert set(texts) <= shown


@pytest.mark.parametrize("side", ["x", "y"])
def test_equal_marks_lie_side_by_side(side: str) -> None:
    axes = Figure().add_subplot()
    axes.set(xlim=(0, 100), ylim=(0, 10))
    x, y = side_by_side(axes, [50, 50, 50, 10], [5, 5, 5, 5], 6, side)  # type: ignore[arg-type]
    places = axes.transData.transform(list(zip(x, y, strict=True)))
    gaps = [math.dist(one, other) for i, one in enumerate(places) for other in places[:i]]
    assert min(gaps) >= 0.95 * 6 * 100 / 72 - 1e-6
    assert x[0] == pytest.approx(50)
    assert y[0] == pytest.approx(5)
    assert (x[3], y[3]) == (pytest.approx(10), pytest.approx(5))
    kept = y if side == "x" else x
    assert kept[:3] == pytest.approx([5.0] * 3 if side == "x" else [50.0] * 3)


def test_too_many_marks_for_the_room_still_have_places() -> None:
    axes = Figure().add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    x, _ = side_by_side(axes, [0.5] * 30, [0.5] * 30, 6, "x", most=2)
    assert len(x) == 30
    assert len({round(place, 6) for place in x}) == 5


def test_lines_have_marks_at_places_of_their_own() -> None:
    first, second = staggered(100, 0, 2), staggered(100, 1, 2)
    assert 0 < len(first) <= 6
    assert not set(first) & set(second)
    assert staggered(1, 0, 1) == [0]


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.5e-4, 2e4, {"10⁻⁴", "0.001", "1,000", "10⁴"}), (1.5e4, 6e4, {"2·10⁴", "5·10⁴"})],
)
def test_a_long_label_beside_an_axis_is_a_power_of_ten(low: float, high: float, shown: set[str]) -> None:
    axes = Figure().add_subplot()
    axes.set_ylim(low, high)
    log_ticks(axes, "y")
    labels = {
        axes.yaxis.get_major_formatter()(tick) for tick in axes.yaxis.get_major_locator()() if low <= tick <= high
    }
    assert shown <= labels
    assert max(map(len, labels)) <= 7


@pytest.mark.parametrize(("panels", "width"), [(1, 3.45), (2, 3.45), (3, 6.9), (4, 6.9)])
def test_two_panels_fill_one_column(panels: int, width: float) -> None:
    figure, places = panel_figure([1.0] * panels, "A note.")
    assert (figure.get_figwidth(), len(places)) == (width, panels)
