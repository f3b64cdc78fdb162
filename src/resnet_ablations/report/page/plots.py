"""A panel as the page draws it: shapes in the units of its picture, and the values that stand behind them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from resnet_ablations.report.figures.axes import Axis
from resnet_ablations.report.figures.kinds import Axes, Kind, Stroke
from resnet_ablations.report.figures.lines import MOST_POINTS, Line, Quantity
from resnet_ablations.report.figures.panels import GREYS
from resnet_ablations.report.page.links import run_anchor


@dataclass(frozen=True)
class Canvas:
    """The picture, and the box in it where the curves lie."""

    width: float = 480
    height: float = 300
    left: float = 56
    top: float = 10
    right: float = 424
    bottom: float = 250


CANVAS = Canvas()
COLOURS = 6
"""That the style sheet has for lines."""
MARKERS = (
    "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
    "m-3.2-3.2h6.4v6.4h-6.4z",
    "m0-4.2l4 7h-8z",
    "m0-4.4l4.4 4.4l-4.4 4.4l-4.4-4.4z",
    "m0 4.2l4-7h-8z",
    "m-1.2-4h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8v-2.4h2.8z",
    "m-4.2-1.4h8.4v2.8h-8.4z",
)
"""Shapes, one a line: what tells lines apart without colour. Not as many as colours, so that pairs recur late."""
MOST_MARKERS = 7
NAMES: dict[Quantity, str] = {
    "train_loss": "training loss",
    "train_error": "training error",
    "test_error": "test error",
    "response": "standard deviation",
}


@dataclass(frozen=True)
class Curve:
    """One drawn curve; `line` is the place of its line in the panel, the paths are SVG's."""

    line: int
    path: str
    is_dashed: bool
    is_paper: bool = False
    band: str = ""
    markers: str = ""


@dataclass(frozen=True)
class Tick:
    """A text along an axis, and where."""

    at: str
    text: str


@dataclass(frozen=True)
class Plot:
    """A panel, ready to be written: `points` is what a script needs to read values off it."""

    anchor: str
    title: str
    description: str
    legend: tuple[str, ...]
    labels: dict[str, str]
    """Of the axes x and left, and right where there is one."""
    ticks: dict[str, tuple[Tick, ...]]
    curves: tuple[Curve, ...]
    is_grey: bool
    """The paper's curves are grey; otherwise they have their lines' colours, paler."""
    points: dict[str, Any]


def plot(name: str, title: str, kind: Kind, axes: Axes, lines: Sequence[Line], most: int) -> Plot:
    """The lines of a panel on these axes; no panel of its figure has more than `most`."""
    drawn = [
        curve
        for quantity, stroke in kind.strokes.items()
        for index, line in enumerate(lines)
        for curve in _curves(index, line, quantity, stroke, axes)
    ]
    sides = {"left": axes.left} | ({"right": axes.right} if axes.right else {})
    return Plot(
        anchor=name,
        title=title,
        description=" ".join(_described(line, kind, axes) for line in lines),
        legend=tuple(line.legend for line in lines),
        labels={"x": axes.x.label} | {side: axis.label for side, axis in sides.items()},
        ticks={"x": ticks(axes.x, CANVAS.left, CANVAS.right)}
        | {side: ticks(axis, CANVAS.bottom, CANVAS.top) for side, axis in sides.items()},
        # The paper's curves lie behind ours.
        curves=tuple(sorted(drawn, key=lambda curve: not curve.is_paper)),
        is_grey=most <= len(GREYS),
        points={
            "box": [CANVAS.left, CANVAS.top, CANVAS.right, CANVAS.bottom],
            "x": [axes.x.low, axes.x.high],
            "at": "layer" if axes.x.label.startswith("layer") else "iteration",
            "curves": [points for line in lines for points in _points(line, kind, axes)],
        },
    )


def placed(value: float, axis: Axis, start: float, end: float) -> float:
    """Where a value lies on an axis drawn from one place of the picture to another."""
    return start + (end - start) * axis.share(value)


def ticks(axis: Axis, start: float, end: float) -> tuple[Tick, ...]:
    """The texts along an axis drawn from one place of the picture to another."""
    return tuple(
        Tick(f"{placed(tick, axis, start, end):.1f}", text) for tick, text in zip(axis.ticks, axis.texts, strict=True)
    )


def _curves(index: int, line: Line, quantity: Quantity, stroke: Stroke, axes: Axes) -> Iterable[Curve]:
    dashed, up = stroke.style == "--", axes.of(quantity)
    if (paper := line.paper.get(quantity)) is not None:
        yield Curve(index, _path(_placed(paper, axes.x, up)), dashed, is_paper=True)
    if (ours := line.ours.get(quantity)) is not None and len(ours):
        median = _placed(ours["median"], axes.x, up)
        band = ""
        if (ours["low"] < ours["high"]).any():
            edges = [*_placed(ours["low"], axes.x, up), *reversed(_placed(ours["high"], axes.x, up))]
            band = _path([point for point in edges if point is not None]) + "z"
        yield Curve(index, _path(median), dashed, band=band, markers=_markers(median, index))


def _placed(points: pd.Series, x: Axis, y: Axis) -> list[tuple[float, float] | None]:
    """In the picture's units; None where there is nothing to draw."""
    return [
        (placed(at, x, CANVAS.left, CANVAS.right), placed(value, y, CANVAS.bottom, CANVAS.top))
        if math.isfinite(value) and not (y.scale == "log" and value <= 0)
        else None
        for at, value in zip(points.index.astype(float), points.astype(float), strict=True)
    ]


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """Straight lines from point to point, broken off where there is none."""
    parts, pen = [], "M"
    for point in points:
        if point is not None:
            parts.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "M" if point is None else "L"
    return "".join(parts)


def _markers(points: Sequence[tuple[float, float] | None], index: int) -> str:
    """The line's shape at some of its points, not the same ones as its neighbours'."""
    inside = [point for point in points if point is not None and CANVAS.top <= point[1] <= CANVAS.bottom]
    step = -(-len(inside) // MOST_MARKERS) or 1
    shape = MARKERS[index % len(MARKERS)]
    # From the end, where the result is.
    return "".join(f"M{x:.1f} {y:.1f}{shape}" for x, y in inside[::-1][index % step :: step])


def _described(line: Line, kind: Kind, axes: Axes) -> str:
    """In words, for who does not see the curve."""
    parts = []
    for quantity in kind.strokes:
        ours = line.ours.get(quantity)
        if ours is not None and len(values := ours["median"].dropna()):
            first, last = (f"{value:.3g}{_unit(quantity)}" for value in (values.iloc[0], values.iloc[-1]))
            change = last if len(values) == 1 else f"from {first} to {last}"
            parts.append(f"{NAMES[quantity]} {change} at {axes.x.label.split()[0].rstrip('s')} {values.index[-1]:,g}")
    return f"{line.legend}{': ' if parts else ''}{', '.join(parts)}."


def _points(line: Line, kind: Kind, axes: Axes) -> Iterable[dict[str, Any]]:
    """The values of each run's curve and of the paper's, thinned as they are drawn."""
    for quantity in kind.strokes:
        axis = axes.of(quantity)
        curves = {key: (line.label, points) for key, points in line.runs.get(quantity, {}).items()}
        if (paper := line.paper.get(quantity)) is not None:
            curves[""] = (f"the paper’s {line.label}", paper.iloc[:: -(-len(paper) // MOST_POINTS)])
        for key, (label, points) in curves.items():
            shown = points[points.map(math.isfinite)]
            yield {
                "run": key,
                "to": f"#{run_anchor(key)}" if key else "",
                "label": label,
                "shows": NAMES[quantity],
                "unit": _unit(quantity),
                "y": [axis.low, axis.high, int(axis.scale == "log")],
                "at": [round(float(at), 1) for at in shown.index],
                "values": [
                    round(value, 2) if _unit(quantity) else float(f"{value:.4g}") for value in map(float, shown)
                ],
            }


def _unit(quantity: Quantity) -> str:
    return " %" if quantity.endswith("_error") else ""
