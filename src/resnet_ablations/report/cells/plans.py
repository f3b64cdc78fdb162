"""The frozen plans of the sweeps, and the runs that fill one."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from resnet_ablations.errors import UserError, mistakes_in_file
from resnet_ablations.experiments import METRICS, SCALES
from resnet_ablations.results.sweeps import SweepPlan

RUN_COLUMNS = [
    *("configuration", "seed", "key", "outcome", "iterations", *METRICS),
    *("parameters", "multiply_adds", "seconds", "images_per_second", "commit", "dirty", "machine"),
]


def load_plans(results: Path) -> tuple[list[SweepPlan], list[str]]:
    """The plans of a results folder, by experiment and scale, and a message for each that cannot be read.

    Raise `UserError` where there is none.
    """
    plans, damaged = [], []
    for path in sorted(results.glob("sweeps/*.json")):
        try:
            plan = SweepPlan.model_validate_json(path.read_bytes())
            # Files of the report are called so.
            if plan.name != path.stem:
                raise ValueError(f"name: must be that of the file, {path.stem}")
            if plan.scale not in SCALES:
                raise ValueError(f"scale: must be one of {', '.join(SCALES)}")
            in_cells = {name for row in plan.cells.values() for names in row.values() for name in names}
            if unknown := in_cells - set(plan.configurations):
                raise ValueError(f"cells: unknown configurations {', '.join(sorted(unknown))}")
            plans.append(plan)
        except (OSError, ValueError) as error:
            damaged.append(f"{path}: damaged plan, left out: {_reason(error)}; delete the file and run the sweep again")
    if not plans and not damaged:
        raise UserError(f"{results}/sweeps: no sweep yet: run make sweep-shortcuts")
    return sorted(plans, key=lambda plan: (plan.experiment, SCALES.index(plan.scale), plan.name)), damaged


def distinct(plan: SweepPlan, *keys: str) -> list[Any]:
    """The different values of the setting `KEYS[0].KEYS[1]…` over the plan's configurations."""
    values: list[Any] = []
    for configuration in plan.configurations.values():
        value: Any = configuration.config
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and value not in values:
            values.append(value)
    return values


def iterations(plan: SweepPlan, configurations: Iterable[str] | None = None) -> list[int]:
    """The different iterations at which configurations of the plan end, all of them if none are named, in order."""
    names = plan.configurations if configurations is None else configurations
    return sorted({plan.configurations[name].iterations for name in names})


def runs_of(plan: SweepPlan, results: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row a configuration and seed of the plan that has a result; its errors (%) are those where the plan ends it.

    `configuration` is the plan's; `key` names the run that the numbers come from: where there is no own one, a longer
    one of a configuration in `served_by`, read at that iteration. That one has the errors of its curve and no other
    metric.
    """
    by_seed = {(run["configuration"], run["seed"]): run for run in results.to_dict("records")}
    ends = iterations(plan)
    at_an_end = curves[curves["iteration"].isin(ends)].dropna(subset="test_error")
    on_the_way = {(row["key"], row["iteration"]): row for row in at_an_end.to_dict("records")}
    found: list[dict[Any, Any]] = []
    for name, planned in plan.configurations.items():
        for seed in plan.seeds:
            run = by_seed.get((name, seed))
            longer = (by_seed.get((other, seed)) for other in planned.served_by)
            if run is None:
                parts = (_as_prefix(run, on_the_way, planned.iterations) for run in longer if run)
                run = next(filter(None, parts), None)
            if run is not None:
                found.append({**run, "configuration": name})
    return pd.DataFrame(found, columns=RUN_COLUMNS).astype({"multiply_adds": "Int64"})


def is_served(runs: pd.DataFrame) -> pd.Series:
    """Whether each run's numbers come from a longer run of another configuration."""
    return runs["key"] != runs["configuration"].astype(str) + "-s" + runs["seed"].astype(str)


def _as_prefix(run: dict[Any, Any], on_the_way: dict[Any, dict[Any, Any]], end: int) -> dict[Any, Any] | None:
    """A longer run as it was after `end` iterations: what became of it later does not matter here."""
    if (run["key"], end) in on_the_way:
        row = on_the_way[run["key"], end]
        errors = {"test_error": row["test_error"], "train_error": row["train_error"]}
        return {**run, "outcome": "finished", **dict.fromkeys(METRICS, math.nan), **errors}
    diverged_before = run["outcome"] == "diverged" and run["iterations"] <= end
    return run if diverged_before else None


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(mistakes_in_file(error)[:3])
    return str(error)
