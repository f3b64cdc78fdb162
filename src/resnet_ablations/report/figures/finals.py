"""Beyond the papers' figures: the final errors of all rows beside one another, and against what they cost."""

import math
import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.anchors import run_anchor, runs_link
from resnet_ablations.report.figures.axes import draw_marks, final_errors, log_ticks, side_by_side
from resnet_ablations.report.figures.chart import Chart, NumbersRow, add_axes, chart, panel_figure
from resnet_ablations.report.figures.svg import COLOURS, GREY, link
from resnet_ablations.report.frame import FAIL, Sweep, is_error

LETTERS = 30
"""Letters of a row's name on a line of the strip."""
LABELS, NAME_LINE = 1.5, 0.112
"""Inches of the strip: the width of the names, and the height of a name's line."""
HOLDERS = ("o", "s", "D", "h")
"""Marks with room for a number, one a column of the table."""
PLOT = 2.35
"""Inches of the height of a panel of costs."""
KEY_LINE, KEY_LETTERS = 0.14, 54
"""Inches of the height of a line in the key of costs, and letters of it."""
AMOUNTS = {"seconds": "seconds of training", "multiply_adds": "million multiply-adds an image"}


def strip(sweep: Sweep) -> Chart | None:
    """Return every final error of a table with one column of printed errors, a row of marks a row; None without a run.

    At scale `early` without the paper's numbers, which are those at the end of training.
    """
    cells = sweep.cells
    metrics = set(cells["metric"])
    printed = cells["printed"].notna().any() or cells["digitised"].notna().any()
    if len(sweep.experiment.columns) > 1 or len(metrics) > 1 or not is_error(min(metrics)) or not printed:
        return None
    finished, diverged = cells[cells["value"].notna()], cells[cells["outcome"] == "diverged"]
    if finished.empty and diverged.empty:
        return None
    rows = [of_row for _, of_row in cells.groupby("row", sort=False)]
    early = sweep.plan.scale == "early"
    papers = [(None, "") if early else _printed(of_row) for of_row in rows]
    known = [number for number, _ in papers if number is not None]
    names = [_broken(of_row["row_label"].iloc[0]) for of_row in rows]
    note = "Dot: a run" + "; cross: a diverged run" * (len(diverged) > 0)
    note += "; grey tick: the paper’s number" * bool(known)
    note += "; dotted: the paper’s “fail”, above 20 %" * any(text == "fail" for _, text in papers)
    row_height = max(0.23, NAME_LINE * max(name.count("\n") + 1 for name in names) + 0.02)
    figure, (place,) = panel_figure([row_height * len(rows) + 0.55], f"{note}. Equal errors lie one under the other.")
    axes = add_axes(place, LABELS, 0.42, 0.12, row_height * len(rows) + 0.05)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    final_errors(axes, "x", [*finished["value"], *known] or [FAIL])
    axes.set_xlabel(f"{METRICS[min(metrics)]}, scale {sweep.plan.scale}")
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params("y", length=0, labelsize=6.5)
    axes.grid(True)
    numbers = []
    for number, (of_row, (paper, text)) in enumerate(zip(rows, papers, strict=True)):
        label = of_row["row_label"].iloc[0]
        if paper is not None:
            url = link("", f"{label}, the paper’s: {text}" + ", above 20 %" * (text == "fail"))
            draw_marks(axes, [paper], [number], [url], marker="|", color=GREY, size=10, linewidths=1.8)
        if paper is not None and text == "fail":
            axes.plot((paper, axes.get_xlim()[1]), (number, number), color=GREY, linewidth=0.8, linestyle=":")
        ours = _draw_runs(axes, number, of_row)
        numbers.append(NumbersRow(label, runs_link(of_row)[0], (text, ", ".join(ours))))
    headings = ("row", "the paper’s", "ours, by seed and configuration")
    return chart("strip", "final errors", note, figure, headings, numbers)


def _broken(name: str) -> str:
    """Return a row's name on one line or, before its parenthesis if that helps, on two."""
    if len(name) <= LETTERS:
        return name
    first, parenthesis, rest = name.partition(" (")
    if parenthesis and max(len(first), len(rest) + 1) <= LETTERS:
        return f"{first}\n({rest}"
    return textwrap.fill(name, LETTERS)


def _printed(of_row: pd.DataFrame) -> tuple[float | None, str]:
    """Return what the paper prints or shows, and its text; where it prints "fail", the least that this means."""
    printed, digitised = of_row["printed"].iloc[0], of_row["digitised"].iloc[0]
    if printed == "fail":
        return FAIL, "fail"
    number = digitised if pd.isna(printed) else printed
    return (None, "") if pd.isna(number) else (float(number), f"{number:g} %")


def _draw_runs(axes: Axes, number: int, of_row: pd.DataFrame) -> list[str]:
    """Draw a mark for each run of a row, and return the results as texts."""
    drawn = []
    for outcome, marker, colour in (("finished", "o", COLOURS[0]), ("diverged", "x", COLOURS[1])):
        runs = of_row[(of_row["outcome"] == outcome) & (of_row["value"].notna() | (outcome == "diverged"))]
        runs = runs.sort_values("value", kind="stable")
        errors = runs["value"].fillna(axes.get_xlim()[1]).to_list()
        texts = ["diverged" if outcome == "diverged" else f"{error:.2f} %" for error in errors]
        named = zip(runs["key"], runs["row_label"], runs["seed"], texts, strict=True)
        urls = [link(f"#{run_anchor(key)}", f"{row}, seed {seed}: {text} ({key})") for key, row, seed, text in named]
        if errors:
            x, y = side_by_side(axes, errors, [float(number)] * len(errors), 3.4, "y", most=2)
            draw_marks(axes, x, y, urls, marker=marker, color=colour)
        drawn += texts
    return drawn


def costs(sweep: Sweep) -> Chart | None:
    """Return final errors against what the networks cost, a mark a configuration; None with less than two.

    The error is the one that the experiment shows first, on test images. A longer run that serves has other costs.
    Seconds are compared where all the runs are of one machine, multiply-adds where they differ at all.
    """
    cells = sweep.cells
    metric = next((m for m in cells["metric"] if is_error(m) and m != "train_error"), "")
    own = cells[(cells["metric"] == metric) & ~cells["from_longer_run"] & cells["value"].notna()]
    if own.empty:
        return None
    own = own.drop_duplicates(["configuration", "seed"]).assign(multiply_adds=own["multiply_adds"].astype(float) / 1e6)
    points = _cost_points(own, [column.id for column in sweep.experiment.columns])
    comparable = {
        "seconds": len(set(own["machine"])) == 1,
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
    note = "Mark: the median of a configuration’s seeds; bar: lowest to highest. Equal marks lie side by side."
    heights = [PLOT + 0.5] * len(amounts) + [KEY_LINE * half + 0.12] * len(amounts)
    figure, places = panel_figure(heights, note)
    for number, (place, name) in enumerate(zip(places, amounts, strict=False)):
        axes = _cost_axes(place, points.dropna(subset=name), name)
        final_errors(axes, "y", own["value"].to_list())
        axes.set_ylabel(f"{METRICS[metric]}, scale {sweep.plan.scale}")
        _draw_costs(axes, points.dropna(subset=name), name)
        _draw_key(places[len(amounts) + number], key[number * half : (number + 1) * half])
    headings = ("configuration", *(AMOUNTS[name] for name in amounts), METRICS[metric])
    rows = []
    for point in points.to_dict("records"):
        costs_of_point = ["–" if pd.isna(point[name]) else f"{point[name]:,.4g}" for name in amounts]
        error = f"{point['error']:.2f} %" + point["spread"].replace(" %)", ")")
        rows.append(NumbersRow(f"{point['number']} {point['label']}", point["to"], (*costs_of_point, error)))
    return chart("cost", "final errors and what they cost", note, figure, headings, rows)


def _cost_points(own: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return a row for each configuration: its cell's number, its error (%) and costs, medians over the seeds."""
    groups = own.groupby(["label", "configuration"], sort=False)
    points = groups[["seconds", "multiply_adds"]].median().assign(error=groups["value"].median())
    points["low"], points["high"] = groups["value"].min(), groups["value"].max()
    points["number"] = points.groupby("label", sort=False).ngroup() + 1
    ends = zip(points["low"], points["high"], strict=True)
    points["spread"] = [f" ({low:.2f}–{high:.2f} %)" if low < high else "" for low, high in ends]
    column = groups["column"].first().map(columns.index)
    points["colour"], points["marker"] = (
        [COLOURS[i % len(COLOURS)] for i in column],
        [HOLDERS[i % len(HOLDERS)] for i in column],
    )
    points["to"], points["runs"] = zip(*(runs_link(runs) for _, runs in groups), strict=True)
    return points.reset_index()


def _cost_axes(place: SubFigure, points: pd.DataFrame, name: str) -> Axes:
    axes = add_axes(place, 0.5, 0.4, 0.15, PLOT)
    low, high = points[name].min(), points[name].max()
    wide = max((high / low) ** 0.08, 1.03)
    axes.set(xscale="log", xlim=(low / wide, high * wide), xlabel=AMOUNTS[name])
    log_ticks(axes, "x")
    axes.grid(True)
    return axes


def _draw_costs(axes: Axes, points: pd.DataFrame, name: str) -> None:
    x, y = side_by_side(axes, points[name].to_list(), points["error"].to_list(), 8.0, "x")
    for at, error, point in zip(x, y, points.to_dict("records"), strict=True):
        axes.plot((at, at), (point["low"], point["high"]), color=point["colour"], linewidth=0.9, clip_on=False)
        label = f"{point['number']} {point['label']}: {point['error']:.2f} %{point['spread']}"
        url = link(point["to"], f"{label}, {point[name]:,.4g} {AMOUNTS[name]}, {point['runs']}")
        edges = {"edgecolors": point["colour"], "linewidths": 0.9}
        draw_marks(axes, [at], [error], [url], marker=point["marker"], color="white", size=8.0, **edges)
        text = axes.text(at, error, str(point["number"]), size=5.2, ha="center", va="center_baseline", url=url)
        text.set(zorder=4, clip_on=False)


def _draw_key(place: SubFigure, lines: list[tuple[str, str, str]]) -> None:
    width, height = place.bbox.width / 100, place.bbox.height / 100
    for index, (number, text, colour) in enumerate(lines):
        up = 1 - (KEY_LINE * (index + 0.6)) / height
        place.text(0.3 / width, up, number, size=7, ha="right", va="center", color=colour, weight="bold")
        place.text(0.37 / width, up, text, size=7, va="center")
