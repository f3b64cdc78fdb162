"""Functions for all figures: ticks, marks with links, and equal marks side by side."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from resnet_ablations.report.labels import POWERS

ERRORS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Ticks of final errors in %."""
FINER_ERRORS = (0.0, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
"""Ticks for a range with fewer than four of `ERRORS`."""
MARKERS = ("o", "s", "^", "D", "v", "P")
"""The markers of a panel's lines: they tell lines apart without colour."""
Side = Literal["x", "y"]
MOST_LETTERS: dict[Side, int] = {"x": 9, "y": 5}
"""The most letters of a tick’s label that have room beside an axis."""


def show_grid(axes: Axes, side: Side | Literal["both"]) -> None:
    """Draw grid lines at the ticks and hide the tick marks."""
    axes.grid(True, axis=side, clip_on=False)
    axes.tick_params(side, length=0)


def log_ticks(axes: Axes, side: Side) -> None:
    """Set a logarithmic scale with ticks at round numbers; a short range has more ticks for each power of ten."""
    axes.set(**{f"{side}scale": "log"})
    low, high = getattr(axes, f"get_{side}lim")()
    decades = math.log10(high / low)
    fine = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    digits = fine if decades < 0.6 else (1, 1.5, 2, 3, 4, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2.2 else (1,)
    axis = getattr(axes, f"{side}axis")
    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, MOST_LETTERS[side])))
    axis.set_minor_locator(NullLocator())


def _tick(value: float, most: int) -> str:
    """Return a tick’s label; a label of more than `most` letters is written as a power of ten."""
    if len(text := f"{value:,.7g}") <= most:
        return text
    power = math.floor(math.log10(value) + 1e-9)
    digit = f"{value / 10**power:.3g}·" if round(value / 10**power, 2) != 1 else ""
    return f"{digit}10{str(power).translate(POWERS)}"


def final_errors(axes: Axes, side: Side, errors: Sequence[float]) -> None:
    """Set an axis of errors (%) that begins and ends at a tick; its scale is linear below 1 and logarithmic above."""
    low = max(tick for tick in ERRORS if tick <= min(errors))
    high = max(min((tick for tick in ERRORS if tick >= max(errors)), default=ERRORS[-1]), low + 1)
    ticks = [tick for tick in ERRORS if low <= tick <= high]
    if len(ticks) < 4:
        ticks = [tick for tick in FINER_ERRORS if low <= tick <= high]
    getattr(axes, f"set_{side}scale")("symlog", linthresh=1, linscale=0.5)
    getattr(axes, f"set_{side}lim")(low, high)
    axis = getattr(axes, f"{side}axis")
    axis.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())


def draw_marks(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    urls: Sequence[str],
    *,
    marker: str,
    color: str,
    size: float = 3.6,
    **more: Any,
) -> None:
    """Draw marks of `size` points, each with the URL that `svg.link` makes."""
    edges: dict[str, Any] = {} if marker in "x|" else {"edgecolors": "white", "linewidths": 0.4}
    axes.scatter(x, y, s=size**2, marker=marker, color=color, urls=urls, zorder=3, clip_on=False, **(edges | more))


def side_by_side(
    axes: Axes, x: Sequence[float], y: Sequence[float], size: float, side: Side, most: int = 10
) -> tuple[list[float], list[float]]:
    """Return the places of marks of `size` points; marks that would overlap are moved along one side.

    The limits of the axes must be set. A mark moves by `most` sizes at most; beyond that, marks may overlap.
    """
    step = size * axes.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
    move = np.array([step, 0.0] if side == "x" else [0.0, step])
    shifts = sorted(range(-most, most + 1), key=lambda shift: (abs(shift), shift))
    placed: list[np.ndarray] = []
    points = [(float(across), float(up)) for across, up in zip(x, y, strict=True)]
    for number, place in enumerate(axes.transData.transform(points)):
        free = (s for s in shifts if all(math.dist(place + s * move, other) >= 0.95 * step for other in placed))
        shift = next(free, shifts[number % len(shifts)])
        placed.append(place + shift * move)
        if shift:
            moved = axes.transData.inverted().transform(placed[-1]).tolist()
            points[number] = (moved[0], points[number][1]) if side == "x" else (points[number][0], moved[1])
    return [point[0] for point in points], [point[1] for point in points]


def staggered(points: int, index: int, lines: int, marks: int = 6) -> list[int]:
    """Return the positions of a line's points that have marks; they differ between the lines of a panel."""
    every = -(-points // marks) or 1
    return list(itertools.islice(range(index * every // max(lines, 1), points, every), marks))
