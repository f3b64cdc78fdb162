"""Final errors as dots: the strip of a table's rows, and what the networks cost."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.figures.finals import Amount, CostPoint, Costs, Strip
from resnet_ablations.report.figures.panels import line_colour, symbols

TICKS = (0, 1, 2, 5, 10, 20, 50, 100)
"""Of errors in %: logarithmic above 1, linear below, where runs end that make no mistake."""
FINER = (0, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
"""Where fewer than four of those are in sight."""
PAPER = "0.35"
LINE = 0.2
"""Inches that a row of the strip is high."""
LETTERS = 18
"""Of a row's name, that are an inch long."""
HOLDERS = ("o", "s", "D", "h")
"""Marks that hold a number, one a column of the table."""
KEY_LINE = 0.145
"""Inches that a line of the key is high."""


AMOUNTS: dict[Amount, str] = {
    "seconds": "seconds of training",
    "multiply_adds": "multiply-adds an image, millions",
}


def amount_of(point: CostPoint, amount: Amount) -> float | None:
    """In the unit of `AMOUNTS`."""
    if amount == "seconds":
        return point.seconds
    return None if point.multiply_adds is None else point.multiply_adds / 1e6


def draw_strip(strip: Strip, title: str, scale: str) -> Drawing:
    """All rows in the paper's order, every seed a dot, the paper's number a tick."""
    left = max(len(row.label) for row in strip.rows) / LETTERS + 0.15
    width, height = left + 4.6, LINE * len(strip.rows) + 1.15
    drawing = Drawing(figsize=(width, height))
    axes = drawing.add_axes((left / width, 0.78 / height, 1 - (left + 0.15) / width, 1 - 1.1 / height))
    papers = [row.paper for row in strip.rows if row.paper is not None]
    _set_errors("x", axes, [*papers, *(error for row in strip.rows for error in row.errors)])
    end = axes.get_xlim()[1]
    for place, row in enumerate(strip.rows):
        if row.paper is not None:
            axes.plot(row.paper, place, "|", color=PAPER, markersize=11, markeredgewidth=1.6, clip_on=False)
        if row.paper_fails and row.paper is not None:
            axes.plot((row.paper, end), (place, place), color=PAPER, linewidth=0.8, linestyle=":")
        # One under the other, so that equal errors are seen.
        places = [place + 0.5 * ((index + 0.5) / len(row.errors) - 0.5) for index in range(len(row.errors))]
        axes.plot(row.errors, places, "o", color=line_colour(0), markersize=3.6, alpha=0.85, clip_on=False)
        if row.diverged:
            axes.plot(end, place, "x", color=line_colour(1), markersize=5, clip_on=False)
            axes.text(end, place, f"{row.diverged} ", ha="right", va="center", size=6.5)
    axes.set_yticks(range(len(strip.rows)), [symbols(row.label) for row in strip.rows])
    axes.set_ylim(len(strip.rows) - 0.4, -0.6)
    axes.tick_params("y", length=0)
    axes.set_xlabel(f"{METRICS[strip.metric]}, ours at scale {scale}")
    axes.set_title(symbols(title), loc="left", x=-(left - 0.05) / (width - left - 0.15))
    axes.grid(True)
    drawing.legend(handles=_strip_key(strip), loc="lower center", ncols=4, borderaxespad=0.2)
    return drawing


def _strip_key(strip: Strip) -> list[Line2D]:
    marks = [
        (True, "o", line_colour(0), 3.6, "one seed"),
        (bool(any(row.paper is not None for row in strip.rows)), "|", PAPER, 9, "the paper’s"),
        (any(row.diverged for row in strip.rows), "x", line_colour(1), 5, "diverged"),
    ]
    key = [
        Line2D([], [], color=colour, marker=marker, markersize=size, linestyle="", label=label)
        for there, marker, colour, size, label in marks
        if there
    ]
    if any(row.paper_fails for row in strip.rows):
        key.append(Line2D([], [], color=PAPER, linewidth=0.8, linestyle=":", label="the paper’s fail: above 20 %"))
    return key


def draw_costs(costs: Costs, title: str, scale: str) -> Drawing:
    """Final error against each amount that can be compared, a numbered point a configuration."""
    key = max(map(len, costs.names)) / LETTERS + 0.35
    left, wide, between, right = 0.5, 2.4, 0.4, 0.25
    panels = left + len(costs.amounts) * (wide + between) - between + right
    width, height = panels + key, max(2.9, KEY_LINE * len(costs.names) + 0.75)
    drawing = Drawing(figsize=(width, height))
    bottom, tall = 0.42 / height, (height - 0.75) / height
    errors = [error for point in costs.points for error in (point.low, point.high)]
    for number, amount in enumerate(costs.amounts):
        axes = drawing.add_axes(((left + number * (wide + between)) / width, bottom, wide / width, tall))
        shown = [(point, value) for point in costs.points if (value := amount_of(point, amount)) is not None]
        _set_errors("y", axes, errors)
        _set_amounts(axes, [value for _, value in shown], AMOUNTS[amount])
        axes.grid(True)
        for point, value in shown:
            _draw_point(axes, value, point)
        if number:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel(f"{METRICS[costs.metric]}, scale {scale}")
            axes.set_title(symbols(title))
    columns = {point.number: point.column for point in costs.points}
    for number, name in enumerate(costs.names, start=1):
        colour = line_colour(columns[number])
        place = 1 - (0.33 + KEY_LINE * (number - 0.5)) / height
        drawing.text((panels + 0.1) / width, place, str(number), size=7, ha="right", va="center", color=colour)
        drawing.text((panels + 0.17) / width, place, symbols(name), size=7, va="center")
    return drawing


def _draw_point(axes: Axes, amount: float, point: CostPoint) -> None:
    colour = line_colour(point.column)
    axes.plot((amount, amount), (point.low, point.high), color=colour, linewidth=0.9, clip_on=False)
    marker = HOLDERS[point.column % len(HOLDERS)]
    (drawn,) = axes.plot(amount, point.error, marker, color=colour, markerfacecolor="white", markersize=8.5)
    drawn.set(markeredgewidth=0.9, clip_on=False, zorder=3)
    axes.text(amount, point.error, str(point.number), size=5.2, ha="center", va="center_baseline", zorder=4)


def _set_errors(name: Literal["x", "y"], axes: Axes, errors: Sequence[float]) -> None:
    low = max(tick for tick in TICKS if tick <= min(errors))
    high = min((tick for tick in TICKS if tick >= max(errors)), default=TICKS[-1])
    high = max(high, low + 1)
    ticks = _between(TICKS, low, high)
    if len(ticks) < 4:
        ticks = _between(FINER, low, high)
    set_scale, set_ticks, set_limits = (
        (axes.set_xscale, axes.set_xticks, axes.set_xlim)
        if name == "x"
        else (axes.set_yscale, axes.set_yticks, axes.set_ylim)
    )
    set_scale("symlog", linthresh=1, linscale=0.5)
    set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    (axes.xaxis if name == "x" else axes.yaxis).set_minor_locator(NullLocator())
    set_limits(low, high)


def _between(ticks: Sequence[float], low: float, high: float) -> list[float]:
    return [tick for tick in ticks if low <= tick <= high]


def _set_amounts(axes: Axes, amounts: Iterable[float], label: str) -> None:
    """A logarithmic axis with ticks at 1, 2 and 5 times powers of ten, of which two at least are in sight."""
    amounts = list(amounts)
    steps = sorted(digit * 10.0**power for power in range(-3, 9) for digit in (1, 2, 5))
    low = max(step for step in steps if step <= min(amounts))
    high = min(step for step in steps if step >= max(amounts) and step > low)
    ticks = _between(steps, low, high)
    if math.log10(high / low) > 2:
        ticks = [tick for tick in ticks if f"{tick:e}"[0] != "5"]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)
    axes.set_xlabel(label)
