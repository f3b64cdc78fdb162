"""Fig. 3 and its like: training loss dashed, test error solid, the original against a variant."""

import io
import math
import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from resnet_ablations.experiments import Experiment, Row, paper_curve
from resnet_ablations.experiments import Figure as Panel
from resnet_ablations.report.cells import Cell
from resnet_ablations.report.curves import coarser, error_points, finished_curves, loss_points, over_seeds, paper_loss
from resnet_ablations.results.sweeps import SweepPlan

STYLE = Path(__file__).with_name("paper.mplstyle")
COLOURS = ("#003f7d", "#e08214", "#35978f", "#b2479a")
"""One a row of a panel: told apart by colour-blind readers, and the first two by their lightness alone."""
GREYS = ("0.45", "0.68")
SCALES_OF_THE_PAPER = ("early", "paper")
"""The scales that share the paper's setting, so that its curves may lie behind ours."""
MOST_POINTS = 120
"""Of a loss curve: with more of them, its noise would fill the gaps between the dashes."""
FEW_POINTS = 5
"""Up to so many are marked one by one."""
PAPER_LOSS_AXIS, PAPER_ERROR_AXIS = (0.002, 2.0), (0.0, 20.0)
FORMATS = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
"""What is written, with the metadata that would differ from build to build taken out."""


def figure_name(plan: SweepPlan, experiment: Experiment) -> str:
    """The stem of the figure's files: `shortcuts-quick-fig3` for panels fig3a … fig3d."""
    characters = zip(*(panel.id for panel in experiment.figures), strict=False)
    common = "".join(same[0] for same in takewhile(lambda same: len(set(same)) == 1, characters))
    return f"{plan.name}-{common.rstrip('-_.') or 'figure'}"


def render(
    plan: SweepPlan, experiment: Experiment, cells: list[Cell], runs: pd.DataFrame, curves: pd.DataFrame
) -> dict[str, bytes]:
    """The experiment's panels in one figure: its file's content by format, the same bytes for the same data."""
    files = {}
    # After a reset: a reader's own matplotlibrc must not change the figures.
    with matplotlib.style.context(STYLE, after_reset=True):
        figure = draw(plan, experiment, cells, runs, curves)
        for suffix, metadata in FORMATS.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, metadata=metadata)
            files[suffix] = buffer.getvalue()
    return files


def draw(
    plan: SweepPlan, experiment: Experiment, cells: list[Cell], runs: pd.DataFrame, curves: pd.DataFrame
) -> Figure:
    """The panels in a grid of two columns, training loss on the left axis, test error on the right one.

    All panels have the same axes: the paper's at its own scale, otherwise such as fit everything drawn.
    """
    by_row = {cell.row.id: cell for cell in cells}
    lines = {
        row_id: _lines(experiment.row(row_id), plan, runs, curves)
        for row_id in dict.fromkeys(row_id for panel in experiment.figures for row_id in panel.rows)
    }
    columns = min(2, len(experiment.figures))
    height = math.ceil(len(experiment.figures) / columns)
    figure, subplots = _grid(columns, height)
    for number, panel in enumerate(experiment.figures):
        loss_axes = figure.add_subplot(subplots[number])
        error_axes = loss_axes.twinx()
        letter = f"({chr(ord('a') + number)}) " if len(experiment.figures) > 1 else ""
        loss_axes.set_title(_text(f"{letter}{panel.title}"), y=1, pad=17)
        _set_axes(loss_axes, error_axes, plan, list(lines.values()))
        _draw_panel(loss_axes, error_axes, panel, by_row, lines)
        if number % columns == 0:
            loss_axes.set_ylabel("training loss")
        if number % columns == columns - 1 or number == len(experiment.figures) - 1:
            error_axes.set_ylabel("test error (%)")
        if number + columns >= len(experiment.figures):
            loss_axes.set_xlabel("iterations")
    key = _key(plan)
    figure.legend(handles=key, loc="lower center", ncols=len(key) if columns > 1 else 2, borderaxespad=0.3)
    return figure


def _grid(columns: int, height: int) -> tuple[Figure, GridSpec]:
    """A figure with places for so many panels, by measures in inches: quicker than a layout found by drawing."""
    panel_width, panel_height, left, right, between, top, under, bottom = 2.8, 1.9, 0.6, 0.5, 0.85, 0.45, 0.75, 0.7
    width = left + columns * panel_width + (columns - 1) * between + right
    whole = top + height * panel_height + (height - 1) * under + bottom
    grid = GridSpec(
        *(height, columns),
        left=left / width,
        right=1 - right / width,
        bottom=bottom / whole,
        top=1 - top / whole,
        wspace=between / panel_width,
        hspace=under / panel_height,
    )
    return Figure(figsize=(width, whole)), grid


@dataclass(frozen=True)
class _Lines:
    """A row's curves by iteration: ours as `over_seeds` tables, and the paper's, where there are any."""

    loss: pd.DataFrame | None
    error: pd.DataFrame | None
    paper_loss: pd.Series | None
    paper_error: pd.Series | None


def _lines(row: Row, plan: SweepPlan, runs: pd.DataFrame, curves: pd.DataFrame) -> _Lines:
    found = finished_curves(plan.rows.get(row.id, []), runs, curves)
    found = [curve[curve["iteration"] <= plan.iterations] for curve in found]
    ours = (
        over_seeds(coarser(loss_points(curve), MOST_POINTS) for curve in found) if found else None,
        over_seeds(error_points(curve) for curve in found) if found else None,
    )
    if row.curve is None or plan.scale not in SCALES_OF_THE_PAPER:
        return _Lines(*ours, None, None)
    end = plan.iterations if plan.scale == "early" else None
    return _Lines(*ours, paper_loss(row.curve).loc[:end], paper_curve(row.curve, "testerr").loc[:end])


def _draw_panel(
    loss_axes: Axes, error_axes: Axes, panel: Panel, cells: dict[str, Cell], lines: dict[str, _Lines]
) -> None:
    legend = []
    for index, row_id in enumerate(panel.rows):
        colour, grey = COLOURS[index % len(COLOURS)], GREYS[min(index, len(GREYS) - 1)]
        row = lines[row_id]
        for axes, ours, papers, style, width in (
            (loss_axes, row.loss, row.paper_loss, "--", 1.1),
            (error_axes, row.error, row.paper_error, "-", 1.5),
        ):
            if papers is not None:
                axes.plot(papers.index, papers, color=grey, linestyle=style, linewidth=0.8, zorder=1.5)
            if ours is not None:
                few = len(ours) <= FEW_POINTS
                (line,) = axes.plot(ours.index, ours["median"], color=colour, linestyle=style, linewidth=width)
                line.set(marker="o" if few else "", markersize=3, clip_on=not few)
                axes.fill_between(ours.index, ours["low"], ours["high"], color=colour, alpha=0.25, linewidth=0)
        legend.append(Line2D([], [], color=colour, linewidth=2.2, label=_text(_legend(cells[row_id]))))
    # Outside the axes, where no curve can run through it.
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderpad": 0, "borderaxespad": 0.4}
    loss_axes.legend(handles=legend, ncols=len(legend), handlelength=1.2, handletextpad=0.6, **place)
    if not any(cells[row_id].n for row_id in panel.rows):
        frame = {"facecolor": "white", "edgecolor": "0.6"}
        loss_axes.text(0.5, 0.5, "no run yet", ha="center", va="center", transform=loss_axes.transAxes, bbox=frame)


def _legend(cell: Cell) -> str:
    if cell.n:
        return f"{cell.row.case}, n = {cell.n}/{cell.planned}"
    return f"{cell.row.case}: {'diverged' if cell.diverged else 'no run yet'}"


def _set_axes(loss_axes: Axes, error_axes: Axes, plan: SweepPlan, lines: list[_Lines]) -> None:
    loss = _values([line.loss for line in lines], [line.paper_loss for line in lines])
    error = _values([line.error for line in lines], [line.paper_error for line in lines])
    loss = loss[(loss > 0) & (loss < math.inf)]
    as_printed = plan.scale == "paper" or loss.empty
    last = max([plan.iterations, *(line.paper_loss.index.max() for line in lines if line.paper_loss is not None)])
    loss_axes.set_xlim(0, last)
    loss_axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    loss_axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))

    loss_axes.set_yscale("log")
    low, high = PAPER_LOSS_AXIS if as_printed else (float(loss.min()) / 1.15, float(loss.max()) * 1.15)
    loss_axes.set_ylim(low, high)
    decades = math.log10(high / low)
    digits = (1, 1.5, 2, 3, 4, 5, 7) if decades < 1 else (1, 2, 5) if decades < 3.2 else (1,)
    loss_axes.yaxis.set_major_locator(LogLocator(subs=digits))
    loss_axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    loss_axes.yaxis.set_minor_locator(NullLocator())

    top = 100 if error.empty else min(100, 10 * math.ceil(float(error.max()) * 1.02 / 10))
    error_axes.set_ylim(*(PAPER_ERROR_AXIS if as_printed else (0, top)))
    error_axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    error_axes.yaxis.grid(True)
    # Both curves over the grid: the axes of the loss lie on top, and let those of the error through.
    loss_axes.set_zorder(error_axes.get_zorder() + 1)
    loss_axes.patch.set_visible(False)


def _values(ours: list[pd.DataFrame | None], papers: list[pd.Series | None]) -> pd.Series:
    """Everything drawn on one axis."""
    columns = [table[name] for table in ours if table is not None for name in ("low", "high")]
    columns += [curve for curve in papers if curve is not None]
    return pd.concat(columns) if columns else pd.Series(dtype=float)


def _key(plan: SweepPlan) -> list[Artist]:
    """What the lines are, in words, for all panels at once."""
    handles: list[Artist] = [
        Line2D([], [], color="black", linestyle="--", linewidth=1.1, label="training loss (left axis)"),
        Line2D([], [], color="black", linewidth=1.5, label="test error (right axis)"),
    ]
    if plan.scale in SCALES_OF_THE_PAPER:
        handles += [
            Line2D([], [], color=grey, linewidth=0.8, label=f"the paper’s {name}")
            for grey, name in zip(GREYS, ("original", "variant"), strict=True)
        ]
    if len(plan.seeds) > 1:
        handles.append(Patch(color="0.5", alpha=0.35, linewidth=0, label="all seeds"))
    return handles


def _text(text: str) -> str:
    """For matplotlib: `b_g` as a symbol, everything else as it stands."""
    return re.sub("b_g", r"$b_g$", text.replace("$", r"\$"))
