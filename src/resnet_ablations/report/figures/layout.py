"""Panels put together into the paper's figures."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from resnet_ablations.experiments import Figure as Panel
from resnet_ablations.report.figures.kinds import KINDS
from resnet_ablations.report.figures.lines import Figure, Line
from resnet_ablations.report.figures.panels import GREYS, draw_panel, line_colour, line_marker, paper_colour, symbols
from resnet_ablations.results.sweeps import SweepPlan

PANEL_WIDTH, PANEL_HEIGHT = 2.8, 1.9
LEFT, RIGHT, BETWEEN = 0.6, 0.5, 0.85
"""Measures in inches: quicker than a layout found by drawing."""
LETTERS = 21
"""Of a legend's names, that are an inch long."""


def draw(figure: Figure, plan: SweepPlan) -> Drawing:
    """The panels in a grid of two columns.

    All have the same axes: the paper's at its own scale, otherwise such as fit everything drawn.
    """
    panels, of_panels = figure.panels, figure.lines
    kind = KINDS[panels[0].kind]
    axes_of_all = kind.axes_of([line for lines in of_panels for line in lines], plan.scale == "paper")
    columns = min(2, len(panels))
    height = math.ceil(len(panels) / columns)
    names = [[line.legend for line in lines] for lines in of_panels]
    ncols = min((_fitting(some, PANEL_WIDTH + RIGHT, 6) for some in names if len(some) > 1), default=1)
    legend_rows = [math.ceil(len(some) / ncols) for some in names]
    key = _key(panels, plan, of_panels)
    key_columns = _fitting([str(handle.get_label()) for handle in key], columns * (PANEL_WIDTH + BETWEEN), 8)
    drawing, subplots = _grid(columns, height, max(legend_rows), math.ceil(len(key) / key_columns))
    for number, (panel, lines) in enumerate(zip(panels, of_panels, strict=True)):
        place = drawing.add_subplot(subplots[number])
        left, *right = draw_panel(kind, place, lines, axes_of_all, max(map(len, of_panels)))
        letter = f"({chr(ord('a') + number)}) " if len(panels) > 1 else ""
        beside = legend_rows[number - number % columns :][:columns]
        left.set_title(symbols(f"{letter}{panel.title}"), y=1, pad=17 + 10 * (max(beside) - 1))
        if panel.sorted:
            left.set_xlabel(f"{left.get_xlabel()} (sorted by magnitude)")
        _name_lines(left, lines, ncols)
        if number % columns > 0:
            left.set_ylabel("")
        if number % columns < columns - 1 and number < len(panels) - 1:
            for axes in right:
                axes.set_ylabel("")
        if number + columns < len(panels):
            left.set_xlabel("")
    drawing.legend(handles=key, loc="lower center", ncols=key_columns, borderaxespad=0.3)
    return drawing


def _grid(columns: int, height: int, legend_rows: int, key_rows: int) -> tuple[Drawing, GridSpec]:
    """A figure with places for so many panels, with so many rows of names over each and under all."""
    top, under = (space + 0.14 * (legend_rows - 1) for space in (0.45, 0.75))
    bottom = 0.7 + 0.15 * (key_rows - 1)
    width = LEFT + columns * PANEL_WIDTH + (columns - 1) * BETWEEN + RIGHT
    whole = top + height * PANEL_HEIGHT + (height - 1) * under + bottom
    grid = GridSpec(
        *(height, columns),
        left=LEFT / width,
        right=1 - RIGHT / width,
        bottom=bottom / whole,
        top=1 - top / whole,
        wspace=BETWEEN / PANEL_WIDTH,
        hspace=under / PANEL_HEIGHT,
    )
    return Drawing(figsize=(width, whole)), grid


def _name_lines(axes: Axes, lines: Sequence[Line], ncols: int) -> None:
    """The panel's own legend: outside the axes, where no curve can run through it."""
    handles = [
        Line2D([], [], color=line_colour(index), marker=line_marker(index), label=symbols(line.legend))
        for index, line in enumerate(lines)
    ]
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderpad": 0, "borderaxespad": 0.4}
    for handle in handles:
        handle.set(linewidth=2.2, markersize=4.5)
    axes.legend(handles=handles, ncols=ncols, handlelength=1.6, handletextpad=0.6, labelspacing=0.3, **place)
    if not any(line.cell.n for line in lines):
        frame = {"facecolor": "white", "edgecolor": "0.6"}
        axes.text(0.5, 0.5, "no run yet", ha="center", va="center", transform=axes.transAxes, bbox=frame)


def _fitting(names: Sequence[str], inches: float, handle: int) -> int:
    """How many names of a legend fit beside one another, each behind a handle as long as so many letters."""
    for columns in range(len(names), 1, -1):
        # As matplotlib fills them: one column after the other, the first ones with one more.
        widths = [max(map(len, column)) + handle for column in np.array_split(np.array(names, dtype=object), columns)]
        if sum(widths) <= inches * LETTERS:
            return columns
    return 1


def _key(panels: Sequence[Panel], plan: SweepPlan, of_panels: Sequence[Sequence[Line]]) -> list[Artist]:
    """What the lines are, in words, for all panels at once."""
    strokes = KINDS[panels[0].kind].strokes
    handles: list[Artist] = [
        Line2D([], [], color="black", linestyle=stroke.style, linewidth=stroke.width, label=stroke.name)
        for stroke in strokes.values()
    ]
    most = max(map(len, of_panels))
    indices = [index for lines in of_panels for index, line in enumerate(lines) if line.paper.keys() & strokes.keys()]
    if indices and most > len(GREYS):
        handles.append(Line2D([], [], color=GREYS[1], linewidth=0.8, label="the paper’s, in paler colours"))
    elif indices:
        for index in sorted(set(indices)):
            names = {lines[index].label for lines in of_panels if len(lines) > index}
            name = names.pop() if len(names) == 1 else ("baseline", "variant")[index]
            grey = paper_colour(index, most)
            handles.append(Line2D([], [], color=grey, linewidth=0.8, label=symbols(f"the paper’s {name}")))
    if len(plan.seeds) > 1:
        handles.append(Patch(color="0.5", alpha=0.35, linewidth=0, label="all seeds"))
    return handles
