"""The signals of a sweep's runs: by unit at both ends of training, and over training."""

from typing import Any, Literal

import pandas as pd

from resnet_ablations.report.frame import ReportData, Run, Sweep

Moment = Literal["start", "end", "median", "last"]
"""`start`: before the first update. `end`: at the final iteration. `median`, `last`: over training, of one unit."""
UNTRAINED = 1
"""The most iterations of a run that counts as untrained; it has no end."""
AT_FIRST_UNIT = ("gradient", "direct", "predicted")
"""Ratios of the first unit to the output of the last one."""
NAMES = ("row", "column", "label", "configuration", "key", "seed")
"""The columns of a run’s cell and the run."""
OF_EACH_UNIT = ("residual", "gate_mean", "gate_bias", "gate_moved")
"""Values that differ between units without an order."""


def values(
    sweep: Sweep, rows: pd.DataFrame, data: ReportData, column: str, moment: Moment
) -> list[tuple[Run, pd.Series]]:
    """Return the runs of some rows of the frame that have values of a column at a moment, with these values.

    The values are by unit, or, over training, those of the median or the last unit by iteration. `residual` leaves out
    the units that change the shape of x: their F(x) has another number of values than x.
    """
    found = []
    for run in _runs(rows, data):
        signals = data.signals[run["key"]]
        known = signals.loc[signals["iteration"] <= run["iterations"]].dropna(subset=column)
        if column == "residual" and len(known):
            changes = _shape_changing(sweep.plan.configurations[run["configuration"]].config, known["unit"].max())
            known = known[~known["unit"].isin(changes)]
        found.append((run, _values(run, known, column, moment)))
    return [(run, of_run) for run, of_run in found if len(of_run)]


def _shape_changing(config: dict[str, Any], units: int) -> list[int]:
    """Return the units that change the shape of x: the first of each stage that is not as wide as the stem."""
    network = config["network"]
    stages = len(network["widths"])
    counts = network["units"] or [units // stages] * stages
    firsts = [1 + sum(counts[:stage]) for stage in range(stages)]
    return firsts[network["stem"]["width"] == network["widths"][0] * network["expansion"] :]


def first_kept_unit(config: dict[str, Any], units: int) -> int:
    """Return the first unit from which on all units keep the shape of x: v2's eq. 5 is about such units."""
    return 1 + max(_shape_changing(config, units), default=0)


def _runs(rows: pd.DataFrame, data: ReportData) -> list[Run]:
    return rows.loc[rows["key"].isin(list(data.signals)), [*NAMES, "iterations"]].to_dict("records")


def _values(run: Run, known: pd.DataFrame, column: str, moment: Moment) -> pd.Series:
    if moment == "median":
        return known.groupby("iteration")[column].median()
    if moment == "last":
        return known[known["unit"] == known["unit"].max()].set_index("iteration")[column]
    end = run["iterations"] if run["iterations"] > UNTRAINED else None
    return known[known["iteration"] == (0 if moment == "start" else end)].set_index("unit")[column]


def recorded_cells(sweep: Sweep, data: ReportData) -> list[str]:
    """Return the cells, `ROW/COLUMN`, with recorded signals; only the first one of cells that share their runs."""
    return sweep.cells_with(lambda rows: bool(_runs(rows, data)))


def signal_table(sweep: Sweep, data: ReportData) -> pd.DataFrame:
    """Return one row for each run of a cell and each end of training; `at` is `start` or `end`.

    `gradient`, `direct` and `predicted` are those at the first unit. The columns of `OF_EACH_UNIT` are the median over
    the units, with their `_low` and `_high`; `negative` and `gate_open` are means over the units.
    """
    lines: dict[tuple[str, str], Run] = {}
    for cell in recorded_cells(sweep, data):
        rows = sweep.cell(cell)
        for at in ("start", "end"):
            for name in (*AT_FIRST_UNIT, *OF_EACH_UNIT, "negative", "gate_open"):
                for run, of in values(sweep, rows, data, name, at):
                    named = {key: run[key] for key in NAMES} | {"at": at}
                    line = lines.setdefault((cell, f"{run['key']} {at}"), named)
                    if name in AT_FIRST_UNIT:
                        line[name] = of.get(1)
                    elif name in OF_EACH_UNIT:
                        line |= {name: of.median(), f"{name}_low": of.min(), f"{name}_high": of.max()}
                    else:
                        line[name] = of.mean()
    ends = [f"{name}{end}" for name in OF_EACH_UNIT for end in ("", "_low", "_high")]
    columns = [*NAMES, "at", *AT_FIRST_UNIT, *ends, "negative", "gate_open"]
    return pd.DataFrame(list(lines.values()), columns=columns)
