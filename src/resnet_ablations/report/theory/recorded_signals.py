"""The signals of a sweep's runs: by unit at both ends of training, and over training."""

from collections.abc import Iterator
from typing import Literal

import pandas as pd

from resnet_ablations.report.frame import ReportData, Run, Sweep

Moment = Literal["start", "end", "training"]
"""`start`: before the first update. `end`: at the final iteration. `training`: at each recorded iteration."""
UNTRAINED = 1
"""The most iterations of a run that counts as untrained; it has no end."""
AT_FIRST_UNIT = ("gradient", "direct", "predicted")
"""Ratios of the first unit to the output of the last one."""
OF_EACH_UNIT = ("residual", "gate_mean", "gate_bias")
"""Values that differ between units without an order."""


def values(rows: pd.DataFrame, data: ReportData, column: str, moment: Moment) -> list[tuple[Run, pd.Series]]:
    """Return the runs of some rows of the frame that have values of a column at a moment, with these values.

    The values are by unit, or, for `training`, those of the median unit by iteration.
    """
    found = [(run, _values(run, data.signals[run["key"]], column, moment)) for run in _runs(rows, data)]
    return [(run, of_run) for run, of_run in found if len(of_run)]


def _runs(rows: pd.DataFrame, data: ReportData) -> Iterator[Run]:
    return (run for run in rows.to_dict("records") if run["key"] in data.signals)


def _values(run: Run, signals: pd.DataFrame, column: str, moment: Moment) -> pd.Series:
    known = signals.loc[signals["iteration"] <= run["iterations"]].dropna(subset=column)
    if moment == "training":
        return known.groupby("iteration")[column].median()
    end = run["iterations"] if run["iterations"] > UNTRAINED else None
    return known[known["iteration"] == (0 if moment == "start" else end)].set_index("unit")[column]


def recorded_cells(sweep: Sweep, data: ReportData) -> list[str]:
    """Return the cells, `ROW/COLUMN`, with recorded signals; only the first one of cells that share their runs."""
    return sweep.cells_with(lambda rows: any(_runs(rows, data)))


def signal_table(sweep: Sweep, data: ReportData) -> pd.DataFrame:
    """Return one row for each run of a cell and each end of training; `at` is `start` or `end`.

    `gradient`, `direct` and `predicted` are those at the first unit. `residual`, `gate_mean` and `gate_bias` are the
    median over the units, with their `_low` and `_high`; `negative` and `gate_open` are means over the units.
    """
    lines: dict[tuple[str, str], Run] = {}
    for cell in recorded_cells(sweep, data):
        rows = sweep.cell(cell)
        for at in ("start", "end"):
            for name in (*AT_FIRST_UNIT, *OF_EACH_UNIT, "negative", "gate_open"):
                for run, of in values(rows, data, name, at):
                    named = {key: run[key] for key in ("row", "column", "label", "key", "seed")} | {"at": at}
                    line = lines.setdefault((cell, f"{run['key']} {at}"), named)
                    if name in AT_FIRST_UNIT:
                        line[name] = of.get(1)
                    elif name in OF_EACH_UNIT:
                        line |= {name: of.median(), f"{name}_low": of.min(), f"{name}_high": of.max()}
                    else:
                        line[name] = of.mean()
    ends = [f"{name}{end}" for name in OF_EACH_UNIT for end in ("", "_low", "_high")]
    columns = ["row", "column", "label", "key", "seed", "at", *AT_FIRST_UNIT, *ends, "negative", "gate_open"]
    return pd.DataFrame(list(lines.values()), columns=columns)
