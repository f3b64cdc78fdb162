"""The figures of the recorded signals: gradient by depth, size of F, gates."""

from collections.abc import Iterator, Mapping
from typing import cast

import pandas as pd

from resnet_ablations.experiments import Column
from resnet_ablations.report.figures.chart import Chart
from resnet_ablations.report.figures.lines import Across, Axis, Curves, Line, LinePanel, PanelQuantity
from resnet_ablations.report.figures.panels import STYLES, in_parts, line_figure
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.labels import column_label
from resnet_ablations.report.theory.recorded_signals import Moment, recorded_cells, values

LOWEST = 1e-3
"""The lower end of logarithmic axes; ∏λ can be far below."""
GRADIENT = Axis("‖∂E/∂x‖ / that of the last output", "", is_log=True, lowest=LOWEST)
SIZE = Axis("‖F(x)‖ / ‖x‖", "", is_log=True, lowest=LOWEST)
GATE, MOVED = Axis("mean of g(x)", "", fits=True), Axis("mean of b_g, minus its start", "", fits=True)
Quantities = dict[str, PanelQuantity]
"""The quantities of a panel; a name is a column of the ratios and a moment."""
Values = dict[str, list[pd.Series]]
"""The values of each run of a line, by quantity."""
Name = tuple[str, str]
"""The name of a line: its cell, `ROW/COLUMN`, and its configuration."""


def _propagation(moment: str) -> Quantities:
    return {
        f"gradient {moment}": PanelQuantity("gradient", GRADIENT),
        f"direct {moment}": PanelQuantity("its direct term", GRADIENT, ":", 1.2),
        f"predicted {moment}": PanelQuantity("∏λ, the predicted direct term", GRADIENT, "--", 0.8),
    }


def _both_ends(column: str, axis: Axis) -> Quantities:
    after, before = PanelQuantity("after training", axis), PanelQuantity("before training", axis, "--", 0.9)
    return {f"{column} end": after, f"{column} start": before}


def _over_training(column: str, axis: Axis) -> Quantities:
    median, last = PanelQuantity("the median unit", axis), PanelQuantity("the last unit", axis, "--", 0.9)
    return {f"{column} median": median, f"{column} last": last}


MOVED_BY_UNIT = {"gate_moved end": PanelQuantity("after training", MOVED)}
FIGURES: dict[str, tuple[str, Across, dict[str, Quantities]]] = {
    "propagation": (
        "gradient by depth",
        "unit",
        {"Before training": _propagation("start"), "After training": _propagation("end")},
    ),
    "residuals": ("size of F(x) against x by unit", "unit", {"By unit": _both_ends("residual", SIZE)}),
    "residuals-training": (
        "size of F(x) against x over training",
        "iteration",
        {"Over training": _over_training("residual", SIZE)},
    ),
    "gates": (
        "gates by unit",
        "unit",
        {"Mean gate": _both_ends("gate_mean", GATE), "Bias of the gate": MOVED_BY_UNIT},
    ),
    "gates-training": (
        "gates over training",
        "iteration",
        {"Mean gate": _over_training("gate_mean", GATE), "Bias of the gate": _over_training("gate_moved", MOVED)},
    ),
}
"""The content of each figure, its horizontal axis, and its panels by title."""
OF_RESIDUALS = "F(x) is measured before a gate or another factor scales it; units that change dimensions are left out."
SAYS = {"residuals": OF_RESIDUALS, "residuals-training": OF_RESIDUALS}
"""The end of a figure’s note."""
OF_CONFIGURATIONS = "Of a row with several configurations, the first and the last are shown."
"""The end of a note; the median over such configurations, as gates with several b_g, is that of none of them."""
MOST_ROWS = {"propagation": 4}
"""The most rows in a panel of the figures whose rows have three lines each."""


def signal_figure(name: str, sweep: Sweep, data: ReportData) -> Chart | None:
    """Return the figure `name` of `FIGURES`; None if no run of the sweep has recorded signals for it."""
    title, _, shapes = FIGURES[name]
    every = {quantity: shape for of in shapes.values() for quantity, shape in of.items()}
    recorded = {
        line: {quantity: _values(rows, quantity, sweep, data) for quantity in every}
        for cell in recorded_cells(sweep, data)
        for line, rows in _lines(cell, sweep.cell(cell), data).items()
    }
    recorded = {line: of for line, of in recorded.items() if _shown(of, every)}
    panels = [
        panel
        for column in sweep.experiment.columns
        for panel in _panels(name, column, len(sweep.experiment.columns) > 1, recorded)
    ]
    hides = any(
        (curve < LOWEST).any()
        for of in recorded.values()
        for quantity, shape in every.items()
        for curve in of[quantity]
        if shape.axis.is_log
    )
    has_several = len({cell for cell, _ in recorded}) < len(recorded)
    says = [SAYS.get(name, ""), OF_CONFIGURATIONS * has_several, f"Values below {LOWEST:g} are not drawn." * hides]
    return line_figure(name, sweep, panels, title, " ".join(filter(None, says))) if panels else None


def _panels(name: str, column: Column, several: bool, recorded: Mapping[Name, Values]) -> Iterator[LinePanel]:
    """Yield the panels of one column of the table: each group of its rows in all shapes that have curves.

    `recorded` has the values of each line; `several` says whether the table has several columns.
    """
    _, across, shapes = FIGURES[name]
    names = [(cell, one) for cell, one in recorded if cell.endswith(f"/{column.id}")]
    for end, group in in_parts(names, MOST_ROWS.get(name, len(STYLES))):
        for title, quantities in shapes.items():
            lines = [Line(cell, _shown(recorded[cell, one], quantities), one) for cell, one in group]
            if any(line.curves for line in lines):
                of = f", {column_label(column)}" if several else ""
                yield LinePanel(f"{title}{of}{end}", lines, quantities, across)


def _lines(cell: str, rows: pd.DataFrame, data: ReportData) -> dict[Name, pd.DataFrame]:
    """Return the rows of the first and of the last configuration of a cell with recorded signals."""
    known = rows.loc[rows["key"].isin(list(data.signals)), "configuration"].to_list()
    return {(cell, one): rows[rows["configuration"] == one] for one in (known[0], known[-1])}


def _shown(of: Values, quantities: Quantities) -> list[Curves]:
    """Return the curves of each quantity that has a point on its axis."""
    return [
        (quantity, True, of[quantity])
        for quantity, shape in quantities.items()
        if any(not shape.axis.is_log or (curve > shape.axis.lowest).any() for curve in of[quantity])
    ]


def _values(rows: pd.DataFrame, quantity: str, sweep: Sweep, data: ReportData) -> list[pd.Series]:
    column, _, moment = quantity.partition(" ")
    return [of for _, of in values(sweep, rows, data, column, cast(Moment, moment))]
