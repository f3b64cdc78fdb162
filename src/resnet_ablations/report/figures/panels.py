"""A figure of lines: one panel for a group of cells, one line for each cell and quantity, with the range of seeds."""

import math
import textwrap
from collections.abc import Sequence
from itertools import cycle
from typing import TypeVar

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from resnet_ablations.report.figures.axes import MARKERS, draw_marks, log_ticks, show_grid, staggered
from resnet_ablations.report.figures.chart import Chart, NumbersRow, add_axes, panel_figure, sweep_note
from resnet_ablations.report.figures.lines import EVERY_NUMBER, Axis, LinePanel, PanelQuantity, figure_points
from resnet_ablations.report.figures.svg import COLOURS, link
from resnet_ablations.report.frame import Sweep
from resnet_ablations.report.labels import listed

STYLES = list(zip(COLOURS, MARKERS, strict=True))
"""The colour and the marker of each line of a panel."""
STROKES = {"-": "solid", "--": "dashed", ":": "dotted"}
PLOT = 1.55
"""The height of a panel's axes in inches."""
LEGEND_LETTERS = {1: 58, 2: 22}
"""The most characters in a line of a legend with one column or two."""
T = TypeVar("T")


def in_parts(lines: Sequence[T], most: int = len(STYLES)) -> list[tuple[str, Sequence[T]]]:
    """Return the lines in groups of at most `most`, one for each panel, with the end of its title (`, part 1 of 2`)."""
    parts = math.ceil(len(lines) / most)
    size = math.ceil(len(lines) / max(parts, 1))
    ends = [f", part {part} of {parts}" if parts > 1 else "" for part in range(1, parts + 1)]
    return [(end, lines[part * size : (part + 1) * size]) for part, end in enumerate(ends)]


def line_figure(name: str, sweep: Sweep, panels: Sequence[LinePanel], shows: str = "", says: str = "") -> Chart:
    """Return a figure of a sweep; `shows` is its content, by default its quantities, and `says` ends its note."""
    across = panels[0].across
    quantities = {quantity: shape for panel in panels for quantity, shape in panel.quantities.items()}
    lines = figure_points(panels, sweep)
    points = lines.dropna(subset="quantity").astype({"ours": bool})
    legends = [some["legend"].to_list() for _, some in lines.drop_duplicates(["panel", "line"]).groupby("panel")]
    columns = [2 if len(some) > 2 and max(map(len, some)) <= LEGEND_LETTERS[2] else 1 for some in legends]
    legends = [[textwrap.fill(label, LEGEND_LETTERS[1]) for label in some] for some in legends]
    heights = [
        math.ceil(sum(1 + label.count("\n") for label in some) / number)
        for some, number in zip(legends, columns, strict=True)
    ]
    head = 0.28 + 0.125 * max(heights)
    has_test_error = any(shape.is_test_error for shape in quantities.values())
    note = _note(quantities, points, across) + sweep_note(sweep, has_test_error) + f" {says}" * bool(says)
    figure, places = panel_figure([head + PLOT + 0.42] * len(panels), note)
    last = max([1.0, *points["x"] + (across != "iteration"), *lines["end"] * (across == "iteration")])
    for number, (place, panel) in enumerate(zip(places, panels, strict=True)):
        letter = f"({chr(ord('a') + number)}) " if len(panels) > 1 else ""
        _name_lines(place, f"{letter}{panel.title}", legends[number], columns[number])
        axes = _axes(place, panel.quantities)
        axes[False].set(xlim=(0, last), xlabel=across + " (sorted by magnitude)" * panel.is_sorted)
        axes[False].xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes[False].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        for shape in panel.quantities.values():
            same = [quantity for quantity, other in quantities.items() if other.axis == shape.axis]
            ends = _ends(shape.axis, points[points["quantity"].isin(same)], as_printed=sweep.plan.scale == "paper")
            _set_axis(axes[shape.on_right], shape.axis, ends)
        here = points[points["panel"] == number]
        for _, some in here.groupby(["line", "quantity", "ours"], sort=False):
            line, quantity, ours = some.iloc[0][["line", "quantity", "ours"]]
            shape, style = quantities[quantity], STYLES[line % len(STYLES)]
            if ours:
                of = len(panel.lines)
                turn = (line + list(panel.quantities).index(quantity)) % of  # the quantities of a line differ, too
                _draw_ours(axes[shape.on_right], some, shape, style, (turn, of), across)
            else:
                _draw_papers(axes[shape.on_right], some, shape, style[0])
        if here.empty:
            axes[False].text(0.5, 0.5, "no run yet", ha="center", va="center", transform=axes[False].transAxes)
    shows = shows or listed([quantity.name for quantity in quantities.values()])
    headings, rows = _numbers(panels, points, quantities)
    return Chart(name, shows, note, headings, rows, figure)


def _axes(place: SubFigure, quantities: dict[str, PanelQuantity]) -> dict[bool, Axes]:
    """Return the axes on the left (False) and on the right (True); they are the same if no quantity is on the right."""
    two = any(quantity.on_right for quantity in quantities.values())
    left = add_axes(place, 0.57, 0.4, 0.48 if two else 0.15, PLOT)
    right = left.twinx() if two else left
    show_grid(right, "y")
    left.set_zorder(right.get_zorder() + two)  # the grid of the error must not cover the loss
    return {False: left, True: right}


def _name_lines(place: SubFigure, title: str, legends: Sequence[str], columns: int) -> None:
    """Write the title and the legend above the axes, so that no curve crosses them."""
    height = place.bbox.height / 100
    place.text(0.03, 1 - 0.05 / height, title, va="top", size=8, weight="bold")
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=1.6, label=legend)
        for legend, (colour, marker) in zip(legends, cycle(STYLES), strict=False)
    ]
    place.legend(handles=handles, ncols=columns, loc="upper left", bbox_to_anchor=(0.02, 1 - 0.2 / height))


def _draw_papers(axes: Axes, points: pd.DataFrame, shape: PanelQuantity, colour: str) -> None:
    url = link("", f"the paper’s {points['label'].iloc[0]}: {shape.name}")
    axes.plot(points["x"], points["median"], color=colour, alpha=0.55, linewidth=0.7, linestyle=shape.stroke, url=url)


def _draw_ours(
    axes: Axes, points: pd.DataFrame, shape: PanelQuantity, style: tuple[str, str], turn: tuple[int, int], across: str
) -> None:
    """Draw a line and its marks, with a bar for the range of the seeds; in grey, bands could not be told apart.

    `turn` is the line's number among so many lines, which have their marks at other points. Points without a neighbour
    are marked, too.
    """
    colour, marker = style
    label, to, runs = points.iloc[0][["label", "to", "runs"]]
    name = f"{label}: {shape.name}"
    url = link(to, f"{name} ({runs})")
    axes.plot(points["x"], points["median"], color=colour, linewidth=shape.width, linestyle=shape.stroke, url=url)
    known = points["median"].notna()
    is_marked = known & ~known.shift(fill_value=False) & ~known.shift(-1, fill_value=False)
    is_marked[known.index[known][staggered(known.sum(), *turn)]] = True
    marks = points[is_marked]
    if shape.axis.is_log:
        marks = marks[marks["median"].between(shape.axis.lowest, shape.axis.highest, inclusive="neither")]
    if (marks["low"] < marks["high"]).any():
        axes.vlines(marks["x"], marks["low"], marks["high"], color=colour, linewidth=0.8)
    where = across.removesuffix(" index")
    values = list(zip(marks["x"], marks["median"], strict=True))
    urls = [link(to, f"{name} {value:.4g}{shape.axis.unit} at {where} {x:,.0f} ({runs})") for x, value in values]
    draw_marks(axes, marks["x"].to_list(), marks["median"].to_list(), urls, marker=marker, color=colour)


def _note(quantities: dict[str, PanelQuantity], points: pd.DataFrame, across: str) -> str:
    """Return the explanation of the lines."""
    shapes = list(quantities.values())
    parts = ["one line for each row of the table"]
    if len(shapes) > 1:
        two = any(shape.on_right for shape in shapes)
        axis = {shape: f" ({'right' if shape.on_right else 'left'} axis)" * two for shape in shapes}
        parts = [f"{STROKES[shape.stroke]}: {shape.name}{axis[shape]}" for shape in shapes]
    if not points["ours"].all():
        parts.append("thin and pale: the paper’s")
    if (points["low"] < points["high"]).any():
        parts.append("line: median of the runs; bar: lowest to highest")
    if across in EVERY_NUMBER and points["median"].isna().any():
        parts.append("gap: no value")
    for quantity, shape in quantities.items():
        if (points.loc[points["ours"] & (points["quantity"] == quantity), "high"] > shape.axis.highest).any():
            parts.append(f"our {shape.name} above {shape.axis.highest:g}: beyond the axis")
    text = "; ".join(dict.fromkeys(parts))
    return f"{text[0].upper()}{text[1:]}."


def _ends(axis: Axis, points: pd.DataFrame, *, as_printed: bool) -> tuple[float, float]:
    """Return the ends of an upright axis: the paper's at its own scale, otherwise those that fit all points."""
    values = [value for value in (*points["low"], *points["high"]) if axis.lowest < value < axis.highest]
    if axis.papers_ends and (as_printed or (axis.is_log and not values)):
        return axis.papers_ends
    if axis.is_log:
        return min(values) / 1.15, min(max(values) * 1.15, axis.highest)
    if axis.fits:
        return 1.05 * min(0.0, points["low"].min()), 1.05 * max(values, default=1 if points.empty else 0)
    paper = points.loc[~points["ours"], "median"]
    if as_printed and len(paper):  # a digitised curve may run a little over the edge
        return 10 * math.floor((paper.min() + 1) / 10), 10 * math.ceil((paper.max() - 1) / 10)
    return 0, min(100, 10 * math.ceil(max(values, default=100) * 1.02 / 10))


def _set_axis(axes: Axes, axis: Axis, ends: tuple[float, float]) -> None:
    axes.set(ylabel=axis.label, ylim=ends)
    if axis.is_log:
        log_ticks(axes, "y")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _numbers(
    panels: Sequence[LinePanel], points: pd.DataFrame, quantities: dict[str, PanelQuantity]
) -> tuple[tuple[str, ...], tuple[NumbersRow, ...]]:
    """Return headings and rows of a table of the curves at five places of the x axis.

    It shows the last point at or before each place, and the range of the seeds in parentheses.
    """
    places = [math.ceil(max(points["x"], default=0) * part / 5) for part in range(1, 6)]
    rows = []
    for _, curve in points.dropna(subset="median").groupby(["panel", "line", "quantity", "ours"], sort=False):
        panel, quantity, ours, label, to = curve.iloc[0][["panel", "quantity", "ours", "label", "to"]]
        name, shape = f"{panels[panel].title}: {label}", quantities[quantity]
        texts = (_at(curve[curve["x"] <= place], shape.axis.unit) for place in places)
        rows.append(NumbersRow(name if ours else f"{name}, the paper’s", to if ours else "", (shape.name, *texts)))
    return ("curve", "shows", *(f"at {place:,}" for place in places)), tuple(rows)


def _at(before: pd.DataFrame, unit: str) -> str:
    """Return the median at the last of the points, and the range of the seeds."""
    if before.empty:
        return ""
    low, median, high = (f"{value:.3g}" for value in before.iloc[-1][["low", "median", "high"]])
    return f"{median}{unit}" if low == high else f"{median}{unit} ({low}–{high})"
