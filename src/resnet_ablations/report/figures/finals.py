"""Figures that the papers do not have: the final errors of all rows, and final errors against cost."""

import math
import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.anchors import run_anchor, runs_link
from resnet_ablations.report.figures.axes import draw_marks, final_errors, log_ticks, show_grid, side_by_side
from resnet_ablations.report.figures.chart import Chart, NumbersRow, add_axes, panel_figure, sweep_note
from resnet_ablations.report.figures.svg import COLOURS, GREY, link
from resnet_ablations.report.frame import FAIL, Sweep, is_error
from resnet_ablations.results.frames import of_each_attempt

NAME_LETTERS = 30
"""The most letters on a line of a row's name."""
LABELS, NAME_LINE = 1.5, 0.112
"""The width of the strip's names and the height of a name's line, in inches."""
HOLDERS = ("o", "s", "D", "h")
"""Markers with room for a number, one for each column of the table."""
PLOT = 2.35
"""The height of a panel of costs in inches."""
KEY_LINE, KEY_LETTERS = 0.14, 54
"""The height in inches, and the most letters, of a line in the key of costs."""
COST_NOTE = (
    "Each mark shows a configuration: the median error over its seeds; the bar goes from the lowest error to the "
    "highest. Marks that would overlap are moved sideways."
)
AMOUNTS = {"seconds": "seconds of training", "multiply_adds": "million multiply-adds per image"}


def strip(sweep: Sweep) -> Chart | None:
    """Return a figure of each run's final error and the paper's number, in one row of marks for each table row.

    Return None unless a run has a result, the table has one column with one error metric, and the paper gives a number
    for it (printed or digitised). At scale `early` the figure omits the paper's numbers, because they are measured at
    the end of training.
    """
    cells = sweep.cells
    metric, *others = set(cells["metric"])
    printed = cells["printed"].notna().any() or cells["digitised"].notna().any()
    runs = cells[cells["value"].notna() | (cells["outcome"] == "diverged")]
    if len(sweep.experiment.columns) > 1 or others or not is_error(metric) or not printed or runs.empty:
        return None
    rows = cells.drop_duplicates("row").reset_index(drop=True)
    shown = rows["printed"].replace("fail", FAIL).fillna(rows["digitised"]).astype(float)
    papers = shown * math.nan if sweep.plan.scale == "early" else shown
    fails = (rows["printed"] == "fail") & papers.notna()
    names = [_broken(name) for name in rows["row_label"]]
    diverged = runs["outcome"] == "diverged"
    note = "Dot: a run" + "; cross: a diverged run" * bool(diverged.any())
    note += "; grey tick: the paper’s number" * bool(papers.notna().any())
    note += "; dotted: the paper’s “fail”, above 20 %" * bool(fails.any())
    height = max(0.23, NAME_LINE * max(name.count("\n") + 1 for name in names) + 0.02) * len(rows)
    ending = sweep_note(sweep, has_test_error=metric != "train_error")
    figure, (place,) = panel_figure([height + 0.55], f"{note}. Equal errors lie one under the other.{ending}")
    axes = add_axes(place, LABELS, 0.42, 0.12, height + 0.05)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    final_errors(axes, "x", [*runs["value"].dropna(), *papers.dropna()] or [FAIL])
    axes.set_xlabel(f"{METRICS[metric]}, scale {sweep.plan.scale}")
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params("y", labelsize=6.5)
    show_grid(axes, "both")
    end = axes.get_xlim()[1]
    ours = runs.assign(
        at=runs["value"].fillna(end),
        text=[f"{value:.2f} %" if value == value else "diverged" for value in runs["value"]],
    ).sort_values("at", kind="stable")
    numbers = []
    for number, (row, paper, fail) in enumerate(zip(rows.to_dict("records"), papers, fails.tolist(), strict=True)):
        text = "" if math.isnan(paper) else "fail" if fail else f"{paper:g} %"
        if text:
            url = link("", f"{row['row_label']}, the paper’s: {text}" + ", above 20 %" * fail)
            draw_marks(axes, [paper], [number], [url], marker="|", color=GREY, size=10, linewidths=1.8)
        if fail:
            axes.plot((paper, end), (number, number), color=GREY, linewidth=0.8, linestyle=":")
        own = ours[ours["row"] == row["row"]]
        for crosses, marks in own.groupby(own["outcome"] == "diverged"):
            _draw_runs(axes, number, marks, *(("x", COLOURS[1]) if crosses else ("o", COLOURS[0])))
        to = runs_link(cells[cells["row"] == row["row"]])[0]
        numbers.append(NumbersRow(row["row_label"], to, (text, ", ".join(own["text"]))))
    headings = ("row", "the paper’s", "ours: all runs, lowest error first")
    note = f"{note}{'.' * bool(ending)}{ending}"
    return Chart("strip", "final errors", note, headings, tuple(numbers), figure)


def _broken(name: str) -> str:
    """Return a row's name on one line or, before its parenthesis if that helps, on two."""
    if len(name) <= NAME_LETTERS:
        return name
    first, parenthesis, rest = name.partition(" (")
    if parenthesis and max(len(first), len(rest) + 1) <= NAME_LETTERS:
        return f"{first}\n({rest}"
    return textwrap.fill(name, NAME_LETTERS)


def _draw_runs(axes: Axes, number: int, runs: pd.DataFrame, marker: str, colour: str) -> None:
    x, y = side_by_side(axes, runs["at"].to_list(), [float(number)] * len(runs), 3.4, "y", most=2)
    urls = [
        link(f"#{run_anchor(run['key'])}", f"{run['row_label']}, seed {run['seed']}: {run['text']} ({run['key']})")
        for run in runs.to_dict("records")
    ]
    draw_marks(axes, x, y, urls, marker=marker, color=colour)


def costs(sweep: Sweep) -> Chart | None:
    """Return the figure of final errors against cost, with a mark for each configuration; None for fewer than two.

    The error is the first test error that the experiment shows. Longer runs are left out: they cost more. Seconds are
    compared unless the runs are known to be from several machines, multiply-adds only if they differ.
    """
    cells = sweep.cells
    metric = next((m for m in cells["metric"] if is_error(m) and m != "train_error"), "")
    own = cells[(cells["metric"] == metric) & ~cells["from_longer_run"] & cells["value"].notna()]
    if own.empty:
        return None
    own = own.drop_duplicates(["configuration", "seed"]).assign(multiply_adds=own["multiply_adds"].astype(float) / 1e6)
    points = _cost_points(own, [column.id for column in sweep.experiment.columns])
    comparable = {
        "seconds": len(of_each_attempt(own["machine"])) == 1,
        "multiply_adds": len(points["multiply_adds"].dropna().unique()) > 1,
    }
    amounts = [name for name in AMOUNTS if comparable[name] and points[name].count() > 1]
    if not amounts:
        return None
    key = [
        ("" if line else str(point["number"]), text, point["colour"])
        for point in points.drop_duplicates("number").to_dict("records")
        for line, text in enumerate(textwrap.wrap(point["label"], KEY_LETTERS))
    ]
    half = math.ceil(len(key) / len(amounts))
    note = COST_NOTE + sweep_note(sweep, has_test_error=True)
    heights = [PLOT + 0.5] * len(amounts) + [KEY_LINE * half + 0.12] * len(amounts)
    figure, places = panel_figure(heights, note)
    for number, name in enumerate(amounts):
        axes = add_axes(places[number], 0.5, 0.4, 0.15, PLOT)
        low, high = points[name].min(), points[name].max()
        wide = max((high / low) ** 0.08, 1.03)
        axes.set(xscale="log", xlim=(low / wide, high * wide), xlabel=AMOUNTS[name])
        log_ticks(axes, "x")
        final_errors(axes, "y", own["value"].to_list())
        axes.set_ylabel(f"{METRICS[metric]}, scale {sweep.plan.scale}")
        show_grid(axes, "both")
        _draw_costs(axes, points.dropna(subset=name), name)
        _draw_key(places[len(amounts) + number], key[number * half : (number + 1) * half])
    headings = ("configuration", *(AMOUNTS[name] for name in amounts), METRICS[metric])
    rows = []
    for point in points.to_dict("records"):
        costs_of_point = ["–" if pd.isna(point[name]) else f"{point[name]:,.4g}" for name in amounts]
        error = f"{point['error']:.2f} %" + point["spread"].replace(" %)", ")")
        rows.append(NumbersRow(f"{point['number']} {point['label']}", point["to"], (*costs_of_point, error)))
    return Chart("cost", "final errors and what they cost", note, headings, tuple(rows), figure)


def _cost_points(own: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return a row for each configuration: its cell's number, its error (%) and costs, medians over the seeds."""
    groups = own.groupby(["label", "configuration"], sort=False)
    points = groups[["seconds", "multiply_adds"]].median().assign(error=groups["value"].median())
    points["low"], points["high"] = groups["value"].min(), groups["value"].max()
    points["number"] = points.groupby("label", sort=False).ngroup() + 1
    ends = zip(points["low"], points["high"], strict=True)
    points["spread"] = [f" ({low:.2f}–{high:.2f} %)" if low < high else "" for low, high in ends]
    column = groups["column"].first().map(columns.index)
    points["colour"] = [COLOURS[i % len(COLOURS)] for i in column]
    points["marker"] = [HOLDERS[i % len(HOLDERS)] for i in column]
    points["to"], points["runs"] = zip(*(runs_link(runs) for _, runs in groups), strict=True)
    return points.reset_index()


def _draw_costs(axes: Axes, points: pd.DataFrame, name: str) -> None:
    x, y = side_by_side(axes, points[name].to_list(), points["error"].to_list(), 8.0, "x")
    for at, error, point in zip(x, y, points.to_dict("records"), strict=True):
        axes.plot((at, at), (point["low"], point["high"]), color=point["colour"], linewidth=0.9, clip_on=False)
        label = f"{point['number']} {point['label']}: {point['error']:.2f} %{point['spread']}"
        url = link(point["to"], f"{label}, {point[name]:,.4g} {AMOUNTS[name]} ({point['runs']})")
        edges = {"edgecolors": point["colour"], "linewidths": 0.9}
        draw_marks(axes, [at], [error], [url], marker=point["marker"], color="white", size=8.0, **edges)
        text = axes.text(at, error, str(point["number"]), size=5.2, ha="center", va="center_baseline")
        text.set(zorder=4, clip_on=False)


def _draw_key(place: SubFigure, lines: list[tuple[str, str, str]]) -> None:
    width, height = place.bbox.width / 100, place.bbox.height / 100
    for index, (number, text, colour) in enumerate(lines):
        up = 1 - (KEY_LINE * (index + 0.6)) / height
        place.text(0.3 / width, up, number, size=7, ha="right", va="center", color=colour, weight="bold")
        place.text(0.37 / width, up, text, size=7, va="center")
