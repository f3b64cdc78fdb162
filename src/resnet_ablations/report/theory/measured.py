"""The measurements of a sweep: each a table with its sentence, and its figures."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from resnet_ablations.report.figures.chart import Chart
from resnet_ablations.report.figures.papers import response_figure
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.tables.table import Table
from resnet_ablations.report.theory.deficits import deficits, deficits_table
from resnet_ablations.report.theory.lesion_tables import lesion_charts, lesion_table, lesions_table
from resnet_ablations.report.theory.recorded_signals import signal_table
from resnet_ablations.report.theory.signal_figures import signal_figure
from resnet_ablations.report.theory.signal_tables import gates_table, propagation_table, residuals_table


@dataclass(frozen=True)
class Measurement:
    """A table whose note says what was measured, with its figures; `frames` are its CSV files by the name’s end."""

    table: Table
    figures: tuple[Chart, ...]
    frames: dict[str, pd.DataFrame]


def measurements(sweep: Sweep, data: ReportData) -> Iterator[Measurement]:
    """Yield what the sweep's runs can answer: from their curves, signals and lesions."""
    if len(runs := deficits(sweep, data)):
        yield Measurement(deficits_table(sweep, runs), (), {"deficits": runs})
    signals = signal_table(sweep, data)
    gated = signals.dropna(subset="gate_mean")
    for make, runs, figures in (
        (propagation_table, signals, ("propagation",)),
        (residuals_table, signals, ("residuals", "residuals-training")),
        (gates_table, gated, ("gates", "gates-training")),
    ):
        if len(runs):
            shown = [signal_figure(name, sweep, data) for name in figures]
            shown += [response_figure(sweep, data)] if make is residuals_table else []
            yield Measurement(make(sweep, runs), tuple(filter(None, shown)), {"signals": signals})
    if len(measured := lesion_table(sweep, data)):
        charts = tuple(lesion_charts(sweep, data))
        yield Measurement(lesions_table(sweep, measured), charts, {"lesions": measured})
