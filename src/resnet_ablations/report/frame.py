"""The data frame with one row for each planned run of each cell: the numbers of tables, verdicts and final figures."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from resnet_ablations.declared import changes_since
from resnet_ablations.errors import UserError
from resnet_ablations.experiments import METRICS, SCALES, Experiment, load_experiment, load_others
from resnet_ablations.paths import ROOT
from resnet_ablations.report.labels import cell_label, column_label, listed, row_label
from resnet_ablations.report.signal_ratios import first_gradient, ratios
from resnet_ablations.results.frames import (
    flat_settings,
    load_curves,
    load_lesions,
    load_path_gradients,
    load_responses,
    load_results,
    load_signals,
)
from resnet_ablations.results.results_folder import readable
from resnet_ablations.results.sweeps import SweepPlan, plan_files, read_plan

PUBLISHED = ROOT / "results" / "reference"
"""The published results; an installed package has their runs only."""
FAIL = 20.0
"""The test error (%) above which the paper's tables say "fail"."""
COLUMNS = {
    **dict.fromkeys(("sweep", "experiment", "scale", "row", "column", "row_label", "column_label", "label"), "str"),
    **dict.fromkeys(("metric", "configuration", "overrides"), "str"),
    "seed": "Int64",
    **dict.fromkeys(("key", "outcome"), "str"),
    **dict.fromkeys(("value", *METRICS), "float64"),
    **dict.fromkeys(("iterations", "run_iterations"), "Int64"),
    "from_longer_run": "bool",
    **dict.fromkeys(("seconds", "images_per_second"), "float64"),
    **dict.fromkeys(("parameters", "multiply_adds"), "Int64"),
    **dict.fromkeys(("commit", "dirty", "machine", "printed"), "object"),
    "digitised": "float64",
    **dict.fromkeys(("curve", "baseline", "remark", "redeclared"), "str"),
    "others": "float64",
    "others_n": "Int64",
    **dict.fromkeys(("reference", "reference_low", "reference_high"), "float64"),
    "reference_n": "Int64",
}
Run = dict[Any, Any]
"""A row of the frame."""
CellId = tuple[str, str]
"""The ids of a row and a column."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """A sweep's plan, its experiment and its rows of the frame; two sweeps are equal only if they are the same object.

    `published` has the same rows as `cells` with the results of the published runs; it is empty where there are none.
    `others` is `load_others` with a column `is_counted`: True if the value has the metric that its cell shows.
    """

    plan: SweepPlan
    experiment: Experiment
    cells: pd.DataFrame
    published: pd.DataFrame
    others: pd.DataFrame

    def cell(self, name: str) -> pd.DataFrame:
        """Return the rows of a cell: `ROW/COLUMN`, or `ROW` where there is one column."""
        place = self.experiment.full_cell_id(name)
        return self._rows[place] if place in self._rows else self.cells.head(0)

    @cached_property
    def _rows(self) -> dict[str, pd.DataFrame]:
        """The rows of each cell, by `ROW/COLUMN`."""
        return {"/".join(map(str, place)): rows for place, rows in self.cells.groupby(["row", "column"], sort=False)}

    def cells_with(self, has_runs: Callable[[pd.DataFrame], bool]) -> list[str]:
        """Return the cells, `ROW/COLUMN`, for whose rows `has_runs` is true; of cells with the same runs, the first."""
        first = {frozenset(rows["key"]): cell for cell, rows in reversed(self._rows.items()) if has_runs(rows)}
        return list(first.values())[::-1]

    @cached_property
    def first_rows(self) -> dict[CellId, Run]:
        """The first row of each cell; all rows of a cell share its names and the paper's number."""
        first = self.cells.drop_duplicates(["row", "column"])
        return {(cell["row"], cell["column"]): cell for cell in first.to_dict("records")}

    @property
    def redeclared(self) -> dict[str, list[str]]:
        """The labels of cells that are declared differently since their runs, by the difference."""
        found: dict[str, list[str]] = {}
        for cell in self.first_rows.values():
            if cell["redeclared"]:
                found.setdefault(cell["redeclared"], []).append(cell["label"])
        return found

    def named(self, labels: Sequence[str]) -> str:
        """Return the labels of some cells as one text: `all cells`, or at most four in quotation marks."""
        planned = sum(cell["configuration"] != "" for cell in self.first_rows.values())
        return "all cells" if len(labels) == planned else listed([f"“{label}”" for label in labels], 4)

    @cached_property
    def settings(self) -> pd.DataFrame:
        """The settings: one row for each configuration, columns with dotted names such as `schedule.iterations`.

        A class is given as its name in snake_case.
        """
        of = {name: flat_settings(planned.config) for name, planned in self.plan.configurations.items()}
        return pd.DataFrame(list(of.values()), index=list(of), dtype="object")

    @property
    def runs(self) -> pd.DataFrame:
        """One row for each configuration and seed, from the first cell that has the configuration."""
        return self.cells[self.cells["configuration"] != ""].drop_duplicates(["configuration", "seed"])


@dataclass(frozen=True)
class ReportData:
    """A results folder as the report reads it; the dictionaries are by the run's key."""

    path: Path
    sweeps: tuple[Sweep, ...]
    curves: dict[str, pd.DataFrame]
    responses: dict[str, pd.Series]
    """The standard deviation of each layer's response, by layer."""
    signals: dict[str, pd.DataFrame]
    """The ratios of the recorded signals, a row for each iteration and unit."""
    lesions: dict[str, pd.DataFrame]
    path_gradients: dict[str, pd.DataFrame]
    damaged: tuple[str, ...]
    """One message for each file that cannot be read and is left out."""


def load_cells(results: str | Path = "results") -> pd.DataFrame:
    """Return one row for each planned run of a cell: sweep × row × column × configuration × seed.

    A cell that is not run has one row, with an empty `configuration` and `key`, no `seed`, and an `outcome` that says
    why: `not ours` (another author's method), `not at this scale` or `not planned`. Otherwise the outcome is
    `finished`, `diverged` or `missing`.

    `row_label`, `column_label` and `label` (of the cell) are names for readers. `value` is the run's number in the
    cell's `metric`, NaN unless finished; the run's other metrics are columns of their own; errors are in %. `printed`
    (a number or "fail") and `digitised` are the paper's numbers, `curve` its digitised curve. `others` is the median of
    the `others_n` values that other people measured. `baseline` is the cell, `ROW/COLUMN`, that this one is compared
    with. `redeclared` says how `experiments/` and `conf/` declare the cell differently since its runs were planned; it
    is empty if they do not. `reference`, `reference_low` and `reference_high` are the median, the lowest and the
    highest of the `reference_n` published runs of the same configuration, whatever their seeds.

    `key` names the run that the numbers come from. Where a cell of scale `early` has no run of its own, a longer run
    serves it (`from_longer_run`): its errors are those at `iterations`, while `run_iterations` and `seconds` are the
    whole run's.

    A damaged file is left out with a warning, and named in `.attrs["damaged"]`.
    """
    data = _read(readable(results))
    frames = [sweep.cells for sweep in data.sweeps]
    cells = pd.concat(frames, ignore_index=True) if frames else _frame(pd.DataFrame())
    for message in data.damaged:
        warnings.warn(message, stacklevel=2)
    cells.attrs["damaged"] = list(data.damaged)
    return cells


def read_report_data(results: Path) -> ReportData:
    """Read a results folder; raise `UserError` if it has no sweep."""
    data = _read(results)
    if not data.sweeps and not data.damaged:
        raise UserError(f"{results}/sweeps: no sweep yet; start one with: resnet-ablations sweep shortcuts")
    return data


def is_error(metric: str) -> bool:
    """Return whether a metric is an error in %."""
    return metric.endswith("_error")


def _read(results: Path) -> ReportData:
    plans, damaged = _load_plans(results)
    with warnings.catch_warnings(action="ignore"):
        loads = load_results, load_curves, load_responses, load_signals, load_lesions, load_path_gradients
        frames = [load(results) for load in loads]
        runs, curves, responses, signals, lesions, gradients = frames
        by_key = {str(key): ratios(of_run) for key, of_run in signals.groupby("key", sort=False)}
        runs["first_gradient"] = runs["key"].map({key: first_gradient(of_run) for key, of_run in by_key.items()})
        published: list[pd.DataFrame] = []
        keys = (key for plan, _ in plans for key in plan.run_keys)
        if results.resolve() != PUBLISHED.resolve() and any((PUBLISHED / "runs" / key).exists() for key in keys):
            published = [load_results(PUBLISHED), load_curves(PUBLISHED)]
    damaged += [message for frame in (*frames, *published) for message in frame.attrs["damaged"]]
    sweeps = []
    for plan, experiment in plans:
        planned, others = _with_others(_planned(plan, experiment))
        cells = _filled(planned, _runs(plan, runs, curves))
        reference = cells.head(0)
        if published:
            every = plan.model_copy(update={"seeds": sorted({*published[0]["seed"]})})
            if len(found := _runs(every, *published)):
                reference = _filled(_with_others(_planned(every, experiment))[0], found)
                cells = _with_reference(cells, reference)
        sweeps.append(Sweep(plan, experiment, cells, reference, others))
    return ReportData(
        results,
        tuple(sweeps),
        curves={str(key): curve for key, curve in curves.groupby("key", sort=False)},
        responses={str(key): layers.set_index("layer")["std"] for key, layers in responses.groupby("key", sort=False)},
        signals=by_key,
        lesions={str(key): of_run for key, of_run in lesions.groupby("key", sort=False)},
        path_gradients={str(key): of_run for key, of_run in gradients.groupby("key", sort=False)},
        damaged=tuple(dict.fromkeys(damaged)),
    )


def _load_plans(results: Path) -> tuple[list[tuple[SweepPlan, Experiment]], list[str]]:
    """Return the plans with their experiments, sorted, and a message for each that cannot be read."""
    plans: list[tuple[SweepPlan, Experiment]] = []
    damaged: list[str] = []
    for path in plan_files(results):
        try:
            plan = read_plan(path)
            if plan.scale not in SCALES:
                raise UserError(f"{path}: scale: must be one of {', '.join(SCALES)}; run the sweep again")
            plans.append((plan, load_experiment(plan.experiment)))
        except UserError as error:
            damaged += (f"{message}; left out" for message in error.messages)
    return sorted(
        plans, key=lambda found: (found[0].experiment, list(SCALES).index(found[0].scale), found[0].name)
    ), damaged


def _planned(plan: SweepPlan, experiment: Experiment) -> pd.DataFrame:
    """Return the frame's rows of one sweep without results, in the order of the paper's table."""
    metrics = {(row.id, column.id): cell.metric or column.metric for row, column, cell in experiment.cells()}
    changes = changes_since(plan, experiment)
    cells: list[dict[str, Any]] = []
    for row, column, cell in experiment.cells():
        place = row.id, column.id
        first = {"first_row": (experiment.rows[0].id, column.id), "first_column": (row.id, experiment.columns[0].id)}
        baseline = first.get(experiment.baseline or "", place)
        names = plan.cells.get(row.id, {}).get(column.id)
        why = "not ours" if not row.configurations else "not planned" if names is None else "not at this scale"
        described = {
            "sweep": plan.name,
            "experiment": experiment.name,
            "scale": plan.scale,
            "row": row.id,
            "column": column.id,
            "row_label": row_label(row, experiment),
            "column_label": column_label(column),
            "label": cell_label(row, column, experiment),
            "metric": metrics[place],
            "without_run": "missing" if names else why,
            "printed": cell.printed,
            "digitised": cell.digitised,
            "curve": cell.curve or "",
            "baseline": "/".join(baseline) if baseline != place and metrics.get(baseline) == metrics[place] else "",
            "remark": row.remark,
            "redeclared": changes.get(place, ""),
            "reference_n": 0,
        }
        cells += [described | {"configuration": name} for name in names or [""]]
    runs = [
        {"configuration": name, "overrides": " ".join(one.overrides), "iterations": one.iterations, "seed": seed}
        for name, one in plan.configurations.items()
        for seed in plan.seeds
    ]
    not_run = {"configuration": "", "overrides": "", "iterations": None, "seed": None}
    return pd.DataFrame(cells).merge(pd.DataFrame([*runs, not_run]).astype({"seed": "Int64"}), how="left")


def _with_others(planned: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the planned rows with the median of other people's values for each cell, and all these values."""
    place = ["row", "column"]
    shown = planned[[*place, "metric"]].drop_duplicates(place).rename(columns={"metric": "shown"})
    others = load_others(planned["experiment"].iloc[0]).merge(shown, on=place)
    others["is_counted"] = others["metric"] == others.pop("shown")
    values = others[others["is_counted"]].groupby(place, as_index=False)["value"]
    counted = values.agg(others="median", others_n="count")
    return planned.merge(counted, on=place, how="left").fillna({"others_n": 0}), others


def _filled(planned: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the planned rows with the results of the runs that fill them."""
    own = ["configuration", "seed", *(name for name in runs if name in COLUMNS and name not in planned)]
    cells = planned.merge(runs[own], on=own[:2], how="left").fillna({"key": "", "from_longer_run": False})
    cells["outcome"] = cells["outcome"].fillna(cells["without_run"])
    cells["value"] = [cell[cell["metric"]] for cell in cells.to_dict("records")]
    return _frame(cells)


def _with_reference(cells: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the statistics of the published rows of the same cell and configuration."""
    same = ["row", "column", "configuration"]
    published = reference.groupby(same)["value"].agg(
        reference="median", reference_low="min", reference_high="max", reference_n="count"
    )
    return _frame(cells.drop(columns=list(published)).join(published, same).fillna({"reference_n": 0}))


def _runs(plan: SweepPlan, results: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Return the run that fills each configuration and seed of the plan, if there is one.

    It is the run of the configuration itself, or the first longer run in `served_by` that can be read at the plan's
    iteration. A longer run provides only the errors of its curve at that iteration; its other metrics are NaN.
    """
    sources = [
        (name, planned.iterations, source)
        for name, planned in plan.configurations.items()
        for source in (name, *planned.served_by)
    ]
    results = results.rename(columns={"configuration": "source", "iterations": "run_iterations"})
    results = results[results["seed"].isin(plan.seeds)].reindex(columns=list(dict.fromkeys([*results, *METRICS])))
    curves = curves.dropna(subset="test_error").rename(columns={"iteration": "end"})
    curves = curves[["key", "end", "test_error", "train_error"]].add_suffix("_then")
    runs = pd.DataFrame(sources, columns=["configuration", "end", "source"]).merge(results, on="source")
    runs = runs.merge(curves, left_on=["key", "end"], right_on=["key_then", "end_then"], how="left")
    runs["from_longer_run"] = runs["source"] != runs["configuration"]
    is_read = runs["from_longer_run"] & runs["key_then"].notna()
    diverged_before = (runs["outcome"] == "diverged") & (runs["run_iterations"] <= runs["end"])
    runs.loc[is_read, "outcome"] = "finished"
    runs.loc[is_read | (runs["outcome"] != "finished"), list(METRICS)] = math.nan
    for name in ("test_error", "train_error"):
        runs[name] = runs[name].mask(is_read, runs[f"{name}_then"])
    usable = runs[~runs["from_longer_run"] | is_read | diverged_before]
    return usable.drop_duplicates(["configuration", "seed"])


def _frame(rows: pd.DataFrame) -> pd.DataFrame:
    frame = rows.reindex(columns=list(COLUMNS)).astype(COLUMNS)
    for name in (name for name, dtype in COLUMNS.items() if dtype == "object"):
        frame[name] = frame[name].where(frame[name].notna(), None)
    return frame
