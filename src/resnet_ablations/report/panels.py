"""The kinds of panel: what is drawn of each line, on which axes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from resnet_ablations.report.lines import Line, Quantity

COLOURS = ("#003f7d", "#e08214", "#35978f", "#b2479a", "#7a5230", "#5aa9e6")
"""One a line of a panel: told apart by colour-blind readers, and the first two by their lightness alone."""
GREYS = ("0.45", "0.68")
FEW_POINTS = 5
"""Up to so many are marked one by one."""
PAPER_LOSS_AXIS, PAPER_ERROR_AXIS = (0.002, 2.0), (0.0, 20.0)
"""Of v2's figures."""


@dataclass(frozen=True)
class Stroke:
    """How a quantity is drawn, and what a figure's key calls it."""

    name: str
    style: Literal["-", "--"]
    width: float


@dataclass(frozen=True)
class Kind:
    """A kind of panel: its quantities, and how its axes are made."""

    shows: str
    strokes: dict[Quantity, Stroke]
    axes_for: Callable[[Axes, Sequence[Line], bool], list[Axes]]
    """From bare axes, all lines that they must fit, and whether they are the paper's own: the axes of each quantity."""


def draw_panel(
    kind: Kind, axes: Axes, lines: Sequence[Line], panels: Sequence[Sequence[Line]], as_printed: bool
) -> list[Axes]:
    """Draw the lines of one of the panels, on axes that fit those of all; return the axes, the left one first."""
    alike = [line for panel in panels for line in panel]
    most = max(map(len, panels))
    places = kind.axes_for(axes, alike, as_printed)
    for place, (quantity, stroke) in zip(places, kind.strokes.items(), strict=True):
        for index, line in enumerate(lines):
            colour = line_colour(index)
            paper, ours = line.paper.get(quantity), line.ours.get(quantity)
            if paper is not None:
                behind = paper_colour(index, most)
                place.plot(paper.index, paper, color=behind, linestyle=stroke.style, linewidth=0.8, zorder=1.5)
            if ours is not None:
                few = len(ours) <= FEW_POINTS
                (drawn,) = place.plot(ours.index, ours["median"], color=colour, linestyle=stroke.style)
                drawn.set(linewidth=stroke.width, marker="o" if few else "", markersize=3, clip_on=not few)
                place.fill_between(ours.index, ours["low"], ours["high"], color=colour, alpha=0.25, linewidth=0)
    return list(dict.fromkeys(places))


def line_colour(index: int) -> str:
    """Of our line of that index in its panel."""
    return COLOURS[index % len(COLOURS)]


def paper_colour(index: int, most: int) -> str:
    """Of the paper's curve behind that line: grey; a tinted grey where `most`, the lines of a panel, are over two."""
    if most <= len(GREYS):
        return GREYS[index]
    red, green, blue = (0.45 * own + 0.55 * 0.8 for own in to_rgb(line_colour(index)))
    return to_hex((red, green, blue))


def _loss_and_error_axes(axes: Axes, lines: Sequence[Line], as_printed: bool) -> list[Axes]:
    """v2, Fig. 1, 3 and 6: training loss on the left axis, logarithmic; test error on the right one."""
    error_axes = axes.twinx()
    loss = _values(lines, "train_loss")
    loss = loss[(loss > 0) & (loss < math.inf)]
    as_printed = as_printed or loss.empty
    _iterations(axes, lines)
    axes.set_yscale("log")
    low, high = PAPER_LOSS_AXIS if as_printed else (float(loss.min()) / 1.15, float(loss.max()) * 1.15)
    axes.set_ylim(low, high)
    decades = math.log10(high / low)
    digits = (1, 1.5, 2, 3, 4, 5, 7) if decades < 1 else (1, 2, 5) if decades < 3.2 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=digits))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("training loss")

    error_axes.set_ylim(*(PAPER_ERROR_AXIS if as_printed else (0, _top(_values(lines, "test_error")))))
    error_axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    error_axes.yaxis.grid(True)
    error_axes.set_ylabel("test error (%)")
    # Both curves over the grid: the axes of the loss lie on top, and let those of the error through.
    axes.set_zorder(error_axes.get_zorder() + 1)
    axes.patch.set_visible(False)
    return [axes, error_axes]


def _errors_axes(axes: Axes, lines: Sequence[Line], as_printed: bool) -> list[Axes]:
    """v1, Fig. 4 and 6: training and test error on one axis, which ends where the paper's curves are cut off."""
    low, high = 0.0, _top(pd.concat([_values(lines, "train_error"), _values(lines, "test_error")]))
    paper = [curve for line in lines for curve in line.paper.values()]
    if as_printed and paper:
        printed = pd.concat(paper)
        # A digitised curve may run a little over the edge.
        low, high = 10 * math.floor((printed.min() + 1) / 10), 10 * math.ceil((printed.max() - 1) / 10)
    _iterations(axes, lines)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.grid(True)
    axes.set_ylabel("error (%)")
    return [axes, axes]


def _responses_axes(axes: Axes, lines: Sequence[Line], _: bool) -> list[Axes]:
    """v1, Fig. 7: the standard deviation of the response of each layer."""
    values = _values(lines, "response")
    axes.set_xlim(0, 1 + max(values.index, default=1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("layer index")
    axes.set_ylim(0, 1 if values.empty else float(values.max()) * 1.05)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.grid(True)
    axes.set_ylabel("standard deviation")
    return [axes]


def _iterations(axes: Axes, lines: Sequence[Line]) -> None:
    ends = [line.end for line in lines] + [curve.index.max() for line in lines for curve in line.paper.values()]
    axes.set_xlim(0, max([1, *ends]))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.set_xlabel("iterations")


def _top(errors: pd.Series) -> float:
    """The next ten above errors in %."""
    return 100 if errors.empty else min(100, 10 * math.ceil(float(errors.max()) * 1.02 / 10))


def _values(lines: Sequence[Line], quantity: Quantity) -> pd.Series:
    """Everything drawn of a quantity."""
    tables = [line.ours[quantity] for line in lines if quantity in line.ours]
    columns = [table[name] for table in tables for name in ("low", "high")]
    columns += [line.paper[quantity] for line in lines if quantity in line.paper]
    return pd.concat(columns) if columns else pd.Series(dtype=float)


KINDS = {
    "loss_and_error": Kind(
        "training loss and test error",
        {
            "train_loss": Stroke("training loss (left axis)", "--", 1.1),
            "test_error": Stroke("test error (right axis)", "-", 1.5),
        },
        _loss_and_error_axes,
    ),
    "errors": Kind(
        "training error and test error",
        {"train_error": Stroke("training error", "--", 0.8), "test_error": Stroke("test error", "-", 1.7)},
        _errors_axes,
    ),
    "responses": Kind(
        "standard deviation of each layer’s response",
        {"response": Stroke("standard deviation of a layer’s response", "-", 1.2)},
        _responses_axes,
    ),
}
