"""Final errors as the page draws them, every dot a link to its run: the strip of a table's rows, and what they cost."""

from dataclasses import dataclass

from resnet_ablations.report.figures.finals import CostPanel, Costs, Strip, StripRow
from resnet_ablations.report.page.links import link_to, run_anchor
from resnet_ablations.report.page.plots import CANVAS, Tick, placed, ticks

TRACK = 22
"""Pixels that a row of the strip is high."""
HOLDERS = (0, 1, 3)
"""The places of those markers that have room for a number."""


@dataclass(frozen=True)
class Dot:
    """A mark that leads to its run; `says` is what it stands for, part by part."""

    x: str
    y: str
    says: tuple[str, ...]
    to: str


@dataclass(frozen=True)
class Track:
    """A row of the strip; the paper's number lies at `paper`, if anywhere, and is said in `printed`."""

    label: str
    paper: str
    paper_fails: bool
    printed: str
    dots: tuple[Dot, ...]
    crosses: tuple[Dot, ...]
    """The diverged runs."""


@dataclass(frozen=True)
class StripPlot:
    """The strip: places across it are in per cent of its width, so that it fits any."""

    anchor: str
    label: str
    ticks: tuple[Tick, ...]
    tracks: tuple[Track, ...]


@dataclass(frozen=True)
class CostDot:
    """A configuration, by the number of its cell, with the range of its seeds; what leads to them is `dot`."""

    dot: Dot
    number: int
    column: int
    """Of the table."""
    low: str
    high: str


@dataclass(frozen=True)
class CostPlot:
    """Errors against one amount, in the units of the page's pictures; labels and ticks are those of axes x and left."""

    labels: dict[str, str]
    ticks: dict[str, tuple[Tick, ...]]
    dots: tuple[CostDot, ...]


@dataclass(frozen=True)
class CostFigure:
    """What the networks of a table cost: a plot an amount, and the cells by number, each with its column."""

    anchor: str
    plots: tuple[CostPlot, ...]
    names: tuple[tuple[str, int], ...]


def strip_plot(name: str, strip: Strip) -> StripPlot:
    """The strip as the page draws it."""
    texts = zip(strip.axis.ticks, strip.axis.texts, strict=True)
    across = tuple(Tick(_per_cent(strip, tick), text) for tick, text in texts)
    return StripPlot(name, strip.axis.label, across, tuple(_track(row, strip) for row in strip.rows))


def _track(row: StripRow, strip: Strip) -> Track:
    runs = sorted(row.runs.items(), key=lambda run: run[1])
    dots = [
        # One under the other, so that equal errors are seen.
        Dot(
            _per_cent(strip, error),
            f"{TRACK * (0.5 + 0.6 * ((index + 0.5) / len(runs) - 0.5)):.1f}",
            (row.label, key, f"{error:.2f} %"),
            f"#{run_anchor(key)}",
        )
        for index, (key, error) in enumerate(runs)
    ]
    middle = f"{TRACK / 2:g}"
    crosses = [Dot("100%", middle, (row.label, key, "diverged"), f"#{run_anchor(key)}") for key in row.diverged]
    printed = "" if row.paper is None else "fail, above 20 %" if row.paper_fails else f"{row.paper:g} %"
    place = "" if row.paper is None else _per_cent(strip, row.paper)
    return Track(row.label, place, row.paper_fails, printed, tuple(dots), tuple(crosses))


def _per_cent(strip: Strip, error: float) -> str:
    return f"{100 * strip.axis.share(error):.2f}%"


def cost_figure(name: str, sweep: str, costs: Costs) -> CostFigure:
    """The plots as the page draws them."""
    columns = {point.number: point.column for point in costs.points}
    names = tuple((label, columns[number]) for number, label in enumerate(costs.names, start=1))
    return CostFigure(name, tuple(_cost_plot(panel, costs, sweep) for panel in costs.panels), names)


def _cost_plot(panel: CostPanel, costs: Costs, sweep: str) -> CostPlot:
    def up(error: float) -> str:
        return f"{placed(error, costs.axis, CANVAS.bottom, CANVAS.top):.1f}"

    dots = []
    for amount, point in sorted(panel.points, key=lambda point: point[0]):
        link = link_to(point.keys, sweep, point.cell)
        spread = f" ({point.low:.2f}–{point.high:.2f} %)" if point.low < point.high else ""
        says = (
            f"{point.number} {costs.names[point.number - 1]}",
            link.text,
            f"{point.error:.2f} %{spread}",
            f"{amount:,.4g} {panel.axis.label}",
        )
        x = f"{placed(amount, panel.axis, CANVAS.left, CANVAS.right):.1f}"
        dot = Dot(x, up(point.error), says, link.to)
        dots.append(CostDot(dot, point.number, point.column, up(point.low), up(point.high)))
    return CostPlot(
        {"x": panel.axis.label, "left": costs.axis.label},
        {"x": ticks(panel.axis, CANVAS.left, CANVAS.right), "left": ticks(costs.axis, CANVAS.bottom, CANVAS.top)},
        tuple(dots),
    )
