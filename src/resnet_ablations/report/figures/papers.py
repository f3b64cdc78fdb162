"""The papers' figures: curves of training, and the responses of layers."""

from collections.abc import Callable, Iterator, Mapping
from typing import get_args

import pandas as pd

from resnet_ablations.experiments import CurveQuantity, Experiment, Panel, paper_curve, paper_responses
from resnet_ablations.report.curves import by_size, coarser, error_points, paper_loss, train_points
from resnet_ablations.report.figures.chart import Chart
from resnet_ablations.report.figures.lines import Axis, Curves, Line, LinePanel, PanelQuantity
from resnet_ablations.report.figures.panels import in_parts, line_figure
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.labels import column_label

LOSS = Axis("training loss", "", is_log=True, highest=100.0, papers_ends=(0.002, 2.0))
TEST_ERROR, ERROR = Axis("test error (%)", papers_ends=(0.0, 20.0)), Axis("error (%)")
RESPONSE = Axis("standard deviation", "", fits=True)
KINDS: dict[str, dict[str, PanelQuantity]] = {
    "loss_and_error": {
        "train_loss": PanelQuantity("training loss", LOSS, "--", 1.1),
        "test_error": PanelQuantity("test error", TEST_ERROR, on_right=True, is_test_error=True),
    },
    "errors": {
        "train_error": PanelQuantity("training error", ERROR, "--", 0.9),
        "test_error": PanelQuantity("test error", ERROR, width=1.7, is_test_error=True),
    },
    "test_error": {"test_error": PanelQuantity("test error", ERROR, is_test_error=True)},
    "responses": {"response": PanelQuantity("standard deviation of each layer’s response", RESPONSE, width=1.2)},
}
"""The quantities of each kind of panel."""


def curve_figures(sweep: Sweep, data: ReportData) -> Iterator[Chart]:
    """Yield the figures that the experiment declares, or its default figure."""
    figures: dict[str, list[Panel]] = {}
    for panel in sweep.experiment.figures:
        figures.setdefault(panel.whole, []).append(panel)
    for name, panels in (figures or {"curves": default_panels(sweep.experiment)}).items():
        if panels:
            yield line_figure(name, sweep, [_lines(panel, sweep, data) for panel in panels])


def _lines(panel: Panel, sweep: Sweep, data: ReportData) -> LinePanel:
    quantities = KINDS[panel.kind]
    if panel.kind == "responses":
        lines = [Line(cell, _responses(sweep.cell(cell), panel, sweep, data)) for cell in panel.cells]
        return LinePanel(panel.title, lines, quantities, "layer index", panel.sorted)
    lines = [Line(cell, _curves(sweep.cell(cell), quantities, sweep, data)) for cell in panel.cells]
    return LinePanel(panel.title, lines, quantities)


def response_figure(sweep: Sweep, data: ReportData) -> Chart | None:
    """Return the responses of layers for any experiment; None if it declares such a figure, or has no responses."""
    cells = sweep.cells_with(lambda rows: any(rows["key"].isin(data.responses.keys()) & ~rows["from_longer_run"]))
    if not cells or any(panel.kind == "responses" for panel in sweep.experiment.figures):
        return None
    panels = [
        Panel(id="responses", title=f"Responses of layers{end}", kind="responses", cells=list(some))
        for end, some in in_parts(cells)
    ]
    lines = [_lines(panel, sweep, data) for panel in panels]
    return line_figure("responses", sweep, lines, "responses of layers, the quantity of v1’s Fig. 7")


def default_panels(experiment: Experiment) -> list[Panel]:
    """Return panels with the error curves of all rows that are run here: six rows or fewer in each, evenly divided."""
    panels: list[Panel] = []
    for column in experiment.columns:
        cells = [
            f"{row.id}/{place.id}"
            for row, place, cell in experiment.cells()
            if place is column and row.configurations and (cell.metric or column.metric) == "test_error"
        ]
        for end, some in in_parts(cells):
            title = column_label(column) + end if len(experiment.columns) > 1 else end.removeprefix(", ") or "all rows"
            panels.append(
                Panel(id=f"curves{len(panels)}", title=title[0].upper() + title[1:], kind="errors", cells=list(some))
            )
    return panels


def _curves(
    rows: pd.DataFrame, quantities: Mapping[str, PanelQuantity], sweep: Sweep, data: ReportData
) -> Iterator[Curves]:
    """Yield the paper's curve and ours of each quantity of a cell."""
    finished = rows[(rows["outcome"] == "finished") & rows["key"].isin(list(data.curves))]
    ends = zip(finished["key"], finished["iterations"], strict=True)
    runs = [data.curves[key][data.curves[key]["iteration"] <= end] for key, end in ends]
    is_the_papers = sweep.plan.scale in ("early", "paper") and rows["configuration"].iloc[0] != ""
    name = rows["curve"].iloc[0] if is_the_papers else ""
    stop = rows["iterations"].max() if sweep.plan.scale == "early" else None
    shown: list[CurveQuantity] = [quantity for quantity in get_args(CurveQuantity) if quantity in quantities]
    for quantity in shown:
        paper = paper_loss(name) if quantity == "train_loss" else paper_curve(name, quantity)
        yield quantity, False, [] if paper is None or not name or paper.loc[:stop].empty else [paper.loc[:stop]]
        ours = [error_points(run) if quantity == "test_error" else coarser(train_points(run, quantity)) for run in runs]
        yield quantity, True, ours


def _responses(rows: pd.DataFrame, panel: Panel, sweep: Sweep, data: ReportData) -> Iterator[Curves]:
    """Yield the paper's responses and ours of a cell's networks."""
    order: Callable[[pd.Series], pd.Series] = by_size if panel.sorted else pd.Series.sort_index
    curve = rows["curve"].iloc[0]
    paper = paper_responses(curve) if curve and sweep.plan.scale == "paper" else None
    yield "response", False, [] if paper is None else [order(paper)]
    own = rows.loc[~rows["from_longer_run"], "key"]  # a longer run's responses are those at its own end
    yield "response", True, [order(data.responses[key]) for key in own if key in data.responses]
