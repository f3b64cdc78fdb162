"""The papers' figures: curves of training, and the responses of layers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from resnet_ablations.experiments import Panel
from resnet_ablations.report.anchors import runs_link
from resnet_ablations.report.figures.axes import MARKERS, Side, draw_marks, log_ticks, staggered
from resnet_ablations.report.figures.chart import Chart, NumbersRow, add_axes, chart, panel_figure
from resnet_ablations.report.figures.lines import Line, lines_of
from resnet_ablations.report.figures.svg import COLOURS, link
from resnet_ablations.report.frame import ReportData, Sweep

PAPER_LOSS, PAPER_ERROR = (0.002, 2.0), (0.0, 20.0)
"""The axes of v2's figures."""
STYLES = list(zip(COLOURS, MARKERS, strict=True))
"""The colour and the marker of each line of a panel."""
PLOT = 1.55
"""Inches of the height of a panel's axes."""


@dataclass(frozen=True)
class Quantity:
    """The quantity of a curve, and its line style."""

    name: str
    stroke: Literal["-", "--"] = "-"
    width: float = 1.4
    unit: str = " %"
    on_right: bool = False


KINDS: dict[str, dict[str, Quantity]] = {
    "loss_and_error": {
        "train_loss": Quantity("training loss", "--", 1.1, unit=""),
        "test_error": Quantity("test error", on_right=True),
    },
    "errors": {"train_error": Quantity("training error", "--", 0.9), "test_error": Quantity("test error", width=1.7)},
    "responses": {"response": Quantity("standard deviation of each layer’s response", width=1.2, unit="")},
}
"""The quantities of each kind of panel."""


def paper_figures(sweep: Sweep, data: ReportData) -> Iterator[Chart]:
    """Yield the figures that the experiment declares; panels with one number are one figure."""
    for name in dict.fromkeys(panel.whole for panel in sweep.experiment.figures):
        panels = [panel for panel in sweep.experiment.figures if panel.whole == name]
        yield _figure(name, sweep, panels, [lines_of(panel, sweep, data) for panel in panels])


def _figure(name: str, sweep: Sweep, panels: list[Panel], lines: list[list[Line]]) -> Chart:
    kind, quantities = panels[0].kind, KINDS[panels[0].kind]
    every = [line for of_panel in lines for line in of_panel]
    columns = [2 if len(some) > 2 and max(len(line.legend) for line in some) <= 22 else 1 for some in lines]
    head = 0.28 + 0.125 * max(math.ceil(len(some) / number) for some, number in zip(lines, columns, strict=True))
    note = _note(quantities, every, len(sweep.plan.seeds))
    figure, places = panel_figure([head + PLOT + 0.42] * len(panels), note)
    drawn = []
    for number, (place, panel, of_panel) in enumerate(zip(places, panels, lines, strict=True)):
        axes = _axes(place, quantities)
        letter = f"({chr(ord('a') + number)}) " if len(panels) > 1 else ""
        _name_lines(place, f"{letter}{panel.title}", of_panel, columns[number])
        for index, line in enumerate(of_panel):
            for quantity, shape in quantities.items():
                _draw(axes[shape.on_right], line, quantity, shape, index, len(of_panel))
        if not any(line.ours or line.paper for line in of_panel):
            axes[False].text(0.5, 0.5, "no run yet", ha="center", va="center", transform=axes[False].transAxes)
        what = "layer index" if kind == "responses" else "iteration"
        axes[False].set_xlabel(what + " (sorted by magnitude)" * panel.sorted)
        drawn.append(axes)
    _set_limits(kind, drawn, every, as_printed=sweep.plan.scale == "paper")
    shows = " and ".join(quantity.name for quantity in quantities.values())
    return chart(name, shows, note, figure, *_numbers(panels, lines, quantities))


def _axes(place: SubFigure, quantities: dict[str, Quantity]) -> dict[bool, Axes]:
    """Return the left axes (False) and, for a quantity that has one, the right axes (True)."""
    two = any(quantity.on_right for quantity in quantities.values())
    left = add_axes(place, 0.52, 0.4, 0.48 if two else 0.15, PLOT)
    if not two:
        left.yaxis.grid(True)
        return {False: left}
    right = left.twinx()
    right.yaxis.grid(True)
    left.set_zorder(right.get_zorder() + 1)  # the loss lies over the error's grid
    return {False: left, True: right}


def _name_lines(place: SubFigure, title: str, lines: Sequence[Line], columns: int) -> None:
    """Write the title and the legend over the axes, where no curve can run through them."""
    height = place.bbox.height / 100
    place.text(0.03, 1 - 0.05 / height, title, va="top", size=8, weight="bold")
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=1.6, label=line.legend)
        for line, (colour, marker) in zip(lines, cycle(STYLES), strict=False)
    ]
    place.legend(handles=handles, ncols=columns, loc="upper left", bbox_to_anchor=(0.02, 1 - 0.2 / height))


def _draw(axes: Axes, line: Line, quantity: str, shape: Quantity, index: int, lines: int) -> None:
    (colour, marker), style = STYLES[index % len(STYLES)], shape.stroke
    name = f"{line.label}: {shape.name}"
    if (paper := line.paper.get(quantity)) is not None:
        url = link("", f"the paper’s {name}")
        axes.plot(paper.index, paper, color=colour, alpha=0.55, linewidth=0.7, linestyle=style, url=url)
    if (ours := line.ours.get(quantity)) is None:
        return
    if (ours["low"] < ours["high"]).any():
        axes.fill_between(ours.index, ours["low"], ours["high"], color=colour, alpha=0.22, linewidth=0)
    to, runs = runs_link(line.rows)
    runs = f"median of {runs}" if runs.endswith(" runs") else runs
    url = link(to, f"{name}, {runs}")
    axes.plot(ours.index, ours["median"], color=colour, linewidth=shape.width, linestyle=style, url=url)
    points = ours["median"].replace([math.inf], math.nan).dropna()
    points = points.iloc[staggered(len(points), index, lines)]
    at = "layer" if quantity == "response" else "iteration"
    urls = [link(to, f"{name} {value:.4g}{shape.unit} at {at} {x:,.0f}, {runs}") for x, value in points.items()]
    draw_marks(axes, points.index.to_list(), points.to_list(), urls, marker=marker, color=colour)


def _note(quantities: dict[str, Quantity], lines: Sequence[Line], seeds: int) -> str:
    """Return the meaning of the lines in words."""
    shapes = list(quantities.values())
    parts = [shapes[0].name]
    if len(shapes) > 1:
        two = any(shape.on_right for shape in shapes)
        axis = {shape: f" ({'right' if shape.on_right else 'left'} axis)" * two for shape in shapes}
        parts = [f"{'solid' if shape.stroke == '-' else 'dashed'}: {shape.name}{axis[shape]}" for shape in shapes]
    if any(line.paper.keys() & quantities.keys() for line in lines):
        parts.append("thin and pale: the paper’s")
    if seeds > 1:
        parts.append("line: median of the seeds; band: lowest to highest")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _set_limits(kind: str, panels: list[dict[bool, Axes]], lines: Sequence[Line], *, as_printed: bool) -> None:
    """Give all panels the same axes: the paper's at its own scale, otherwise those that fit everything drawn."""
    left, right = [axes[False] for axes in panels], [axes[True] for axes in panels if True in axes]
    if kind == "responses":
        _limit(left, "x", 0, 1 + _highest(left, "x", 1))
        _limit(left, "y", 0, 1.05 * _highest(left, "y", 1), "standard deviation")
        return
    ends = [float(line.rows["iterations"].max()) for line in lines if line.rows["iterations"].notna().any()]
    _limit(left, "x", 0, max([_highest(left, "x", 1), *ends]))
    for axes in left:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if kind == "errors":
        low, high = 0.0, _next_ten(_highest(left, "y", 100))
        paper = [curve for line in lines for curve in line.paper.values()]
        if as_printed and paper:
            printed = pd.concat(paper)
            # A digitised curve may run a little over the edge.
            low, high = 10 * math.floor((printed.min() + 1) / 10), 10 * math.ceil((printed.max() - 1) / 10)
        _limit(left, "y", low, high, "error (%)")
        return
    errors = PAPER_ERROR if as_printed else (0.0, _next_ten(_highest(right, "y", 100)))
    _limit(right, "y", *errors, "test error (%)")
    ours = [line.ours["train_loss"][end] for line in lines if line.ours for end in ("low", "high")]
    drawn = [*ours, *(line.paper["train_loss"] for line in lines if "train_loss" in line.paper)]
    losses = [value for values in drawn for value in values if 0 < value < math.inf]
    low, high = PAPER_LOSS if as_printed or not losses else (min(losses) / 1.15, max(losses) * 1.15)
    for axes in left:
        axes.set(ylabel="training loss", ylim=(low, high))
        log_ticks(axes, "y")


def _limit(panels: Sequence[Axes], side: Side, low: float, high: float, label: str = "") -> None:
    for axes in panels:
        axes.set(**{f"{side}lim": (low, high)} | ({f"{side}label": label} if label else {}))
        getattr(axes, f"{side}axis").set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _highest(panels: Sequence[Axes], side: Side, default: float) -> float:
    """Return the end of everything that is drawn; `default` where nothing is."""
    ends = [float(getattr(axes.dataLim, f"{side}1")) for axes in panels]
    return max(filter(math.isfinite, ends), default=default)


def _next_ten(error: float) -> float:
    return min(100, 10 * math.ceil(error * 1.02 / 10))


def _numbers(
    panels: Sequence[Panel], lines: Sequence[Sequence[Line]], quantities: dict[str, Quantity]
) -> tuple[list[str], list[NumbersRow]]:
    """Return the curves at five places: the last point drawn up to each, the range of the seeds in parentheses."""
    found: list[tuple[str, str, Quantity, pd.DataFrame]] = []
    for panel, line in ((panel, line) for panel, some in zip(panels, lines, strict=True) for line in some):
        label = f"{panel.title}: {line.label}"
        for quantity, shape in quantities.items():
            if quantity in line.ours:
                found.append((label, runs_link(line.rows)[0], shape, line.ours[quantity]))
            if (paper := line.paper.get(quantity)) is not None:
                same = pd.DataFrame(dict.fromkeys(("low", "median", "high"), paper))
                found.append((f"{label}, the paper’s", "", shape, same))
    last = max((float(table.index.max()) for *_, table in found), default=0)
    places = [math.ceil(last * part / 5) for part in range(1, 6)]
    rows = [
        NumbersRow(label, to, (shape.name, *(_at(table, place, shape.unit) for place in places)))
        for label, to, shape, table in found
    ]
    return ["curve", "shows", *(f"at {place:,}" for place in places)], rows


def _at(table: pd.DataFrame, place: float, unit: str) -> str:
    before = table.loc[:place].dropna()
    if before.empty:
        return ""
    low, median, high = (f"{before[name].iloc[-1]:.3g}" for name in ("low", "median", "high"))
    return f"{median}{unit}" if low == high else f"{median}{unit} ({low}–{high})"
