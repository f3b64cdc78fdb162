"""The plan of a sweep: every run, composed and checked before the first one starts."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from resnet_ablations.cell_runs import CellRuns, Overrides, Replacements, keys_set, replacements_at, runs_of_cells
from resnet_ablations.config import RunConfig, identifying_data_once
from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError
from resnet_ablations.experiments import Experiment, load_experiment
from resnet_ablations.overrides import (
    SWEEP_KEYS,
    SweepSettings,
    check_repeated,
    choices_of,
    compose,
    line_of,
    sweep_settings,
)
from resnet_ablations.results.keys import NUMBERS, is_location
from resnet_ablations.results.sweeps import PlannedConfiguration, SweepPlan

T = TypeVar("T")

PROGRESS_SECONDS = 5.0
"""Seconds of planning before the first line of progress, and between two lines."""
IN_CURVE = ("test_error", "train_error")
"""The metrics in the curve of a run or of a longer run; other metrics exist only for a finished network."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its overrides, as Hydra's launchers take it, and its configuration."""

    overrides: Overrides
    config: RunConfig
    served_by: str | None = None
    """The key of a longer run whose first iterations are this run."""


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep, each once; for an experiment, also the plan that is saved in `results/sweeps/`."""

    jobs: tuple[Job, ...]
    record: SweepPlan | None
    settings: SweepSettings


def plan(overrides: Sequence[str]) -> Plan:
    """Return the plan of a multirun command line: an experiment at a scale, or a product of comma-separated values.

    Raise `UserError` with every mistake in any of its runs.
    """
    check_repeated(overrides)
    with identifying_data_once():
        return _plan(tuple(line for line in overrides if not line.lstrip("+~").startswith("hydra")))


# Cached: `train.main` plans before Hydra starts, and Hydra's sweeper needs the same plan.
@lru_cache(maxsize=1)
def _plan(overrides: Overrides) -> Plan:
    own = [line for line in overrides if line.lstrip("+").startswith("sweep.")]
    settings = sweep_settings(own)
    choices = choices_of([line for line in overrides if line not in own])
    if "experiment" in choices:
        return _plan_experiment(choices.pop("experiment"), choices.pop("scale", ["quick"]), choices, settings)
    if unused := [key for key in SWEEP_KEYS if key in choices]:
        raise UserError(
            *(f"{key}: needs an experiment; name it first: sweep NAME, or experiment=NAME" for key in unused)
        )
    # A frozen configuration has its seed; `compose` refuses another one beside it.
    seeds = None if "frozen" in choices else choices.pop("seed", None)
    products = list(itertools.product(*([line_of(key, value) for value in values] for key, values in choices.items())))
    composed = _each_composed(products)
    jobs = [job for product in products for job in _with_seeds(composed[product], product, seeds)]
    return Plan(_unique(_without_errors(jobs)), None, settings)


def _plan_experiment(
    names: list[str], scales: list[str], choices: dict[str, list[str]], settings: SweepSettings
) -> Plan:
    if len(names) > 1 or len(scales) > 1:
        raise UserError("experiment, scale: a sweep has one of each; run several sweeps one after the other")
    experiment, scale_name = load_experiment(names[0]), scales[0]
    if scale_name not in experiment.scales:
        allowed = ", ".join(experiment.scales)
        raise UserError(f"scale={scale_name}: no such scale of {experiment.name}; allowed: {allowed}")
    scale = experiment.scales[scale_name]
    seeds = choices.pop("seed", [str(seed) for seed in scale.seeds])
    rows, columns = _chosen(choices, experiment)
    replacements = replacements_at(experiment, scale)
    _check_choices(choices, experiment, replacements)
    extra = [line_of(key, values[0]) for key, values in choices.items()]
    cells = runs_of_cells(experiment, scale, extra)
    # The logger's settings name the sweep of a run: its experiment and scale.
    configs = _composed(cells, (f"experiment={experiment.name}", f"scale={scale_name}"))
    servers = _servers(cells, configs)
    chosen = [cell for cell in cells if cell.row in rows and cell.column in columns]
    jobs: list[Job] = []
    for overrides in dict.fromkeys(overrides for cell in chosen for overrides in cell.own):
        config = configs[overrides]
        jobs += _without_errors(_with_seeds(config, overrides, seeds, servers.get(config.configuration)))
    if not jobs:
        raise UserError(
            f"scale={scale_name}: none of the chosen cells of {experiment.name} is run at this scale; "
            "choose other rows, other columns or another scale"
        )
    configurations = {
        config.configuration: PlannedConfiguration(
            overrides=list(overrides),
            served_by=[server.configuration] if (server := servers.get(config.configuration)) else [],
            config={group: value for group, value in config.scientific.items() if group != "seed"},
        )
        for overrides, config in configs.items()
    }
    record = SweepPlan(
        name=_sweep_name(experiment.name, scale_name, extra, list(configurations)),
        experiment=experiment.name,
        scale=scale_name,
        overrides=extra,
        replacements=replacements,
        seeds=sorted({*scale.seeds, *(job.config.seed for job in jobs)}),
        cells=_table(experiment, cells, configs),
        numbers=NUMBERS,
        configurations=configurations,
    )
    return Plan(_unique(jobs), record, settings)


def _chosen(choices: dict[str, list[str]], experiment: Experiment) -> tuple[list[str], list[str]]:
    """Return the ids of the chosen rows and columns; all if none are chosen. A,B and [A,B] mean the same."""
    existing = {"rows": [row.id for row in experiment.rows], "columns": [column.id for column in experiment.columns]}
    chosen = {
        key: [name.strip() for value in choices.pop(key, ids) for name in value.strip("[]").split(",")]
        for key, ids in existing.items()
    }
    mistakes = [
        f"{key}={','.join(unknown)}: no such {key.removesuffix('s')} of {experiment.name}; allowed: {', '.join(ids)}"
        for key, ids in existing.items()
        if (unknown := [name for name in chosen[key] if name not in ids])
    ]
    if mistakes:
        raise UserError(*mistakes)
    return chosen["rows"], chosen["columns"]


def _check_choices(choices: dict[str, list[str]], experiment: Experiment, replacements: Replacements) -> None:
    """Raise `UserError` for overrides of keys in which the cells differ, and for keys with several values."""
    setters = keys_set(experiment, replacements)
    mistakes = [
        f"{key}: the {setters[name]} of {experiment.name} set it; remove the override"
        for key in choices
        if (name := key.lstrip("~")) in setters
    ]
    mistakes += [
        f"{key}={','.join(values)}: must be one value; with an experiment only seed takes several"
        for key, values in choices.items()
        if len(values) > 1
    ]
    if mistakes:
        raise UserError(*mistakes)


def _composed(cells: list[CellRuns], sweep: Overrides) -> dict[Overrides, RunConfig]:
    """Return every configuration of the cells by its overrides, each composed once."""
    composed = _each_composed([overrides for cell in cells for overrides in cell.own], sweep)
    return dict(zip(composed, _without_errors(list(composed.values())), strict=True))


def _servers(cells: list[CellRuns], configs: dict[Overrides, RunConfig]) -> dict[str, RunConfig]:
    """Return, by configuration name, the longer run that can replace it in all of its cells."""
    servers: dict[str, RunConfig] = {}
    needs_own_end: set[str] = set()
    composed: dict[Overrides, RunConfig | UserError] = {**configs}
    for cell in cells:
        for overrides, longer in zip(cell.own, cell.longer, strict=True):
            config = configs[overrides]
            if longer not in composed:
                composed[longer] = _compose(longer)
            server = composed[longer]
            if cell.metric not in IN_CURVE:
                needs_own_end.add(config.configuration)
            elif isinstance(server, RunConfig) and _serves(server, config):
                servers[config.configuration] = server
    return {name: server for name, server in servers.items() if name not in needs_own_end}


def _table(
    experiment: Experiment, cells: list[CellRuns], configs: dict[Overrides, RunConfig]
) -> dict[str, dict[str, list[str]]]:
    """Return the names of each cell's configurations, by row and column, without duplicates."""
    table: dict[str, dict[str, list[str]]] = {row.id: {} for row in experiment.rows}
    for cell in cells:
        names = (configs[overrides].configuration for overrides in cell.own)
        table[cell.row][cell.column] = list(dict.fromkeys(names))
    return table


def _each_composed(lines: Sequence[Overrides], sweep: Overrides = ()) -> dict[Overrides, RunConfig | UserError]:
    """Return the configuration of each line of overrides; print the progress if it takes seconds."""
    different = list(dict.fromkeys(lines))
    progress = ProgressLines("planning", PROGRESS_SECONDS)
    composed: dict[Overrides, RunConfig | UserError] = {}
    for overrides in different:
        composed[overrides] = _compose(overrides, sweep)
        progress.at(len(composed), len(different), "configurations")
    return composed


def _compose(overrides: Overrides, sweep: Overrides = ()) -> RunConfig | UserError:
    try:
        return compose(overrides, sweep=sweep)
    except UserError as error:
        return error


def _with_seeds(
    config: RunConfig | UserError, overrides: Overrides, seeds: list[str] | None, server: RunConfig | None = None
) -> list[Job | UserError]:
    """Return a run for each seed of a configuration; without seeds, one run with its own seed."""
    if isinstance(config, UserError):
        return [config]
    jobs: list[Job | UserError] = []
    for seed in seeds or [str(config.seed)]:
        try:
            own = config.with_seed(seed)
            served_by = None if server is None else server.with_seed(seed).key
            jobs.append(Job((*overrides, f"seed={seed}"), own, served_by))
        except UserError as error:
            jobs.append(error)
    return jobs


def _without_errors(items: Sequence[T | UserError]) -> list[T]:
    """Return the items; raise one `UserError` with the messages of all errors among them."""
    mistakes = [message for item in items if isinstance(item, UserError) for message in item.messages]
    if mistakes:
        raise UserError(*dict.fromkeys(mistakes))
    return [item for item in items if not isinstance(item, UserError)]


def _unique(jobs: list[Job]) -> tuple[Job, ...]:
    return tuple({job.config.key: job for job in jobs}.values())


def _serves(longer: RunConfig, config: RunConfig) -> bool:
    """Return whether the longer run is evaluated at the iteration where this one ends, and continues."""
    iterations, schedule = config.schedule.iterations, longer.schedule
    return iterations < schedule.iterations and iterations % schedule.evaluate_every == 0


def _sweep_name(experiment: str, scale: str, extra: list[str], configurations: list[str]) -> str:
    """Return `EXPERIMENT-SCALE`, with a hash of the configurations if overrides change what is run."""
    name = f"{experiment}-{scale}"
    if all(is_location(line) for line in extra):
        return name
    return f"{name}-{hashlib.sha256(' '.join(configurations).encode()).hexdigest()[:6]}"
