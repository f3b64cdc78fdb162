"""Final errors as dots, drawn by matplotlib: the strip of a table's rows, and what the networks cost."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from resnet_ablations.report.figures.finals import CostPoint, Costs, Strip
from resnet_ablations.report.figures.panels import line_colour, set_axis, symbols

PAPER = "0.35"
LINE = 0.2
"""Inches that a row of the strip is high."""
LETTERS = 18
"""Of a row's name, that are an inch long."""
HOLDERS = ("o", "s", "D", "h")
"""Marks that hold a number, one a column of the table."""
KEY_LINE = 0.145
"""Inches that a line of the key is high."""


def draw_strip(strip: Strip, title: str) -> Drawing:
    """All rows in the paper's order, every seed a dot, the paper's number a tick."""
    left = max(len(row.label) for row in strip.rows) / LETTERS + 0.15
    width, height = left + 4.6, LINE * len(strip.rows) + 1.15
    drawing = Drawing(figsize=(width, height))
    axes = drawing.add_axes((left / width, 0.78 / height, 1 - (left + 0.15) / width, 1 - 1.1 / height))
    set_axis("x", axes, strip.axis)
    end = strip.axis.high
    for place, row in enumerate(strip.rows):
        if row.paper is not None:
            axes.plot(row.paper, place, "|", color=PAPER, markersize=11, markeredgewidth=1.6, clip_on=False)
        if row.paper is not None and row.paper_fails:
            axes.plot((row.paper, end), (place, place), color=PAPER, linewidth=0.8, linestyle=":")
        errors = list(row.runs.values())
        # One under the other, so that equal errors are seen.
        places = [place + 0.5 * ((index + 0.5) / len(errors) - 0.5) for index in range(len(errors))]
        axes.plot(errors, places, "o", color=line_colour(0), markersize=3.6, alpha=0.85, clip_on=False)
        if row.diverged:
            axes.plot(end, place, "x", color=line_colour(1), markersize=5, clip_on=False)
            axes.text(end, place, f"{len(row.diverged)} ", ha="right", va="center", size=6.5)
    axes.set_yticks(range(len(strip.rows)), [symbols(row.label) for row in strip.rows])
    axes.set_ylim(len(strip.rows) - 0.4, -0.6)
    axes.tick_params("y", length=0)
    axes.set_title(symbols(title), loc="left", x=-(left - 0.05) / (width - left - 0.15))
    axes.grid(True)
    drawing.legend(handles=_strip_key(strip), loc="lower center", ncols=4, borderaxespad=0.2)
    return drawing


def _strip_key(strip: Strip) -> list[Line2D]:
    marks = [
        (True, "o", line_colour(0), 3.6, "one seed"),
        (any(row.paper is not None for row in strip.rows), "|", PAPER, 9, "the paper’s"),
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


def draw_costs(costs: Costs, title: str) -> Drawing:
    """Final error against each amount that can be compared, a numbered point a configuration."""
    key = max(map(len, costs.names)) / LETTERS + 0.35
    left, wide, between, right = 0.5, 2.4, 0.4, 0.25
    panels = left + len(costs.panels) * (wide + between) - between + right
    width, height = panels + key, max(2.9, KEY_LINE * len(costs.names) + 0.75)
    drawing = Drawing(figsize=(width, height))
    for number, panel in enumerate(costs.panels):
        place = left + number * (wide + between)
        axes = drawing.add_axes((place / width, 0.42 / height, wide / width, (height - 0.75) / height))
        set_axis("x", axes, panel.axis)
        set_axis("y", axes, costs.axis)
        axes.grid(True)
        for amount, point in panel.points:
            _draw_point(axes, amount, point)
        if number:
            axes.set_yticklabels([])
            axes.set_ylabel("")
        else:
            axes.set_title(symbols(title))
    columns = {point.number: point.column for point in costs.points}
    for number, name in enumerate(costs.names, start=1):
        colour = line_colour(columns[number])
        height_of_name = 1 - (0.33 + KEY_LINE * (number - 0.5)) / height
        drawing.text((panels + 0.1) / width, height_of_name, str(number), size=7, ha="right", va="center", color=colour)
        drawing.text((panels + 0.17) / width, height_of_name, symbols(name), size=7, va="center")
    return drawing


def _draw_point(axes: Axes, amount: float, point: CostPoint) -> None:
    colour = line_colour(point.column)
    axes.plot((amount, amount), (point.low, point.high), color=colour, linewidth=0.9, clip_on=False)
    marker = HOLDERS[point.column % len(HOLDERS)]
    (drawn,) = axes.plot(amount, point.error, marker, color=colour, markerfacecolor="white", markersize=8.5)
    drawn.set(markeredgewidth=0.9, clip_on=False, zorder=3)
    axes.text(amount, point.error, str(point.number), size=5.2, ha="center", va="center_baseline", zorder=4)
