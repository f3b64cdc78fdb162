"""A panel drawn by matplotlib."""

import re
from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import NullLocator

from resnet_ablations.report.figures import kinds
from resnet_ablations.report.figures.axes import LINEAR_BELOW, LINEAR_DECADES, Axis
from resnet_ablations.report.figures.lines import Line

COLOURS = ("#003f7d", "#e08214", "#35978f", "#b2479a", "#7a5230", "#5aa9e6")
"""One a line of a panel: told apart by colour-blind readers, and the first two by their lightness alone."""
GREYS = ("0.45", "0.68")
MARKERS = ("o", "s", "^", "D", "v", "P")
"""One a line of a panel: they tell lines apart without colour."""
MARKS = 6
"""Of a line; one of fewer points is marked at each of them."""
FEW_POINTS = 5
"""Up to so many are marked one by one, and larger."""


def draw_panel(kind: kinds.Kind, axes: Axes, lines: Sequence[Line], made: kinds.Axes, most: int) -> list[Axes]:
    """Draw the lines of a panel, of which none has more than `most`; return the axes, the left one first."""
    places = {id(made.left): axes}
    set_axis("x", axes, made.x)
    set_axis("y", axes, made.left)
    if made.right is None:
        axes.yaxis.grid(True)
    else:
        places[id(made.right)] = right = axes.twinx()
        set_axis("y", right, made.right)
        right.yaxis.grid(True)
        # Both curves over the grid: the axes of the loss lie on top, and let those of the error through.
        axes.set_zorder(right.get_zorder() + 1)
        axes.patch.set_visible(False)
    for quantity, stroke in kind.strokes.items():
        place = places[id(made.of(quantity))]
        for index, line in enumerate(lines):
            colour = line_colour(index)
            paper, ours = line.paper.get(quantity), line.ours.get(quantity)
            if paper is not None:
                behind = paper_colour(index, most)
                place.plot(paper.index, paper, color=behind, linestyle=stroke.style, linewidth=0.8, zorder=1.5)
            if ours is not None:
                few = len(ours) <= FEW_POINTS
                (drawn,) = place.plot(ours.index, ours["median"], color=colour, linestyle=stroke.style)
                drawn.set(linewidth=stroke.width, marker=line_marker(index), markersize=3.5 if few else 2.8)
                drawn.set(markevery=_marked(len(ours), index, most), clip_on=not few)
                place.fill_between(ours.index, ours["low"], ours["high"], color=colour, alpha=0.25, linewidth=0)
    return list(places.values())


def line_colour(index: int) -> str:
    """Of our line of that index in its panel."""
    return COLOURS[index % len(COLOURS)]


def line_marker(index: int) -> str:
    """Of our line of that index in its panel."""
    return MARKERS[index % len(MARKERS)]


def _marked(points: int, index: int, most: int) -> tuple[int, int]:
    """The first point of a line that is marked, and every which one: elsewhere than those of the panel's others."""
    every = -(-points // MARKS) or 1
    return index * every // most, every


def symbols(text: str) -> str:
    """For matplotlib: `b_g` as a symbol, everything else as it stands."""
    return re.sub("b_g", r"$b_g$", text.replace("$", r"\$"))


def paper_colour(index: int, most: int) -> str:
    """Of the paper's curve behind that line: grey; a tinted grey where `most`, the lines of a panel, are over two."""
    if most <= len(GREYS):
        return GREYS[index]
    red, green, blue = (0.45 * own + 0.55 * 0.8 for own in to_rgb(line_colour(index)))
    return to_hex((red, green, blue))


def set_axis(name: Literal["x", "y"], axes: Axes, axis: Axis) -> None:
    """Make one of matplotlib's axes such."""
    near_zero = {"linthresh": LINEAR_BELOW, "linscale": LINEAR_DECADES} if axis.scale == "symlog" else {}
    (axes.set_xscale if name == "x" else axes.set_yscale)(axis.scale, **near_zero)
    axes.set(**{f"{name}label": axis.label})
    drawn = axes.xaxis if name == "x" else axes.yaxis
    drawn.set_ticks(axis.ticks, labels=axis.texts)
    drawn.set_minor_locator(NullLocator())
    axes.set(**{f"{name}lim": (axis.low, axis.high)})
