"""The figures of the recorded signals: gradient by depth, size of F, gates."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import pandas as pd

from resnet_ablations.experiments import Column
from resnet_ablations.report.figures.chart import Chart
from resnet_ablations.report.figures.lines import Across, Axis, Curves, LinePanel, PanelQuantity
from resnet_ablations.report.figures.panels import STYLES, in_parts, line_figure
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.labels import column_label
from resnet_ablations.report.theory.recorded_signals import Moment, recorded_cells, values

LOWEST = 1e-3
"""The lower end of logarithmic axes; ∏λ can be far below."""
GRADIENT = Axis("‖∂E/∂x‖ / that of the last output", "", is_log=True)
SIZE = Axis("‖F(x)‖ / ‖x‖", "", is_log=True)
GATE, MOVED = Axis("mean of g(x)", "", fits=True), Axis("mean of b_g, minus its start", "", fits=True)
Quantities = dict[str, PanelQuantity]
"""The quantities of a panel; a name is a column of the ratios and a moment."""


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
MOST_ROWS = {"propagation": 4}
"""The most rows in a panel of the figures whose rows have three lines each."""


def signal_figure(name: str, sweep: Sweep, data: ReportData) -> Chart | None:
    """Return the figure `name` of `FIGURES`; None if no run of the sweep has recorded signals for it."""
    panels = [panel for column in sweep.experiment.columns for panel in _panels(name, column, sweep, data)]
    hides = any(
        (of < LOWEST).any()
        for panel in panels
        for quantity, shape in panel.quantities.items()
        for cell in panel.cells
        for of in _values(sweep.cell(cell), quantity, sweep, data)
        if shape.axis.is_log
    )
    says = [SAYS.get(name, ""), f"Values below {LOWEST:g} are not drawn." * hides]
    return line_figure(name, sweep, panels, FIGURES[name][0], " ".join(filter(None, says))) if panels else None


def _panels(name: str, column: Column, sweep: Sweep, data: ReportData) -> Iterator[LinePanel]:
    """Yield the panels of one column of the table: each group of its rows in all shapes that have curves."""
    _, across, shapes = FIGURES[name]

    def curves_of(quantities: Quantities) -> Callable[[pd.DataFrame], list[Curves]]:
        return partial(_curves, quantities=quantities, sweep=sweep, data=data)

    every = curves_of({quantity: shape for of in shapes.values() for quantity, shape in of.items()})
    cells = [cell for cell in recorded_cells(sweep, data) if cell.endswith(f"/{column.id}") and every(sweep.cell(cell))]
    for end, group in in_parts(cells, MOST_ROWS.get(name, len(STYLES))):
        for title, quantities in shapes.items():
            curves = curves_of(quantities)
            if any(curves(sweep.cell(cell)) for cell in group):
                of = f", {column_label(column)}" if len(sweep.experiment.columns) > 1 else ""
                yield LinePanel(f"{title}{of}{end}", group, quantities, curves, across)


def _curves(rows: pd.DataFrame, quantities: Quantities, sweep: Sweep, data: ReportData) -> list[Curves]:
    """Return the curves of each quantity that has one; logarithmic axes show no value below `LOWEST`."""
    found: list[Curves] = []
    for quantity, shape in quantities.items():
        curves = _values(rows, quantity, sweep, data)
        shown = [of[of >= LOWEST] if shape.axis.is_log else of for of in curves]
        if shown := [of for of in shown if len(of)]:
            found.append((quantity, True, shown))
    return found


def _values(rows: pd.DataFrame, quantity: str, sweep: Sweep, data: ReportData) -> list[pd.Series]:
    column, _, moment = quantity.partition(" ")
    return [of for _, of in values(sweep, rows, data, column, cast(Moment, moment))]
