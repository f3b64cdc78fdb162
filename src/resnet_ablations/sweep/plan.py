"""What a sweep consists of: every run composed and checked before the first one starts."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.experiments import Experiment, Scale, load_experiment
from resnet_ablations.overrides import SWEEP_KEYS, choices_of, compose
from resnet_ablations.results.keys import is_location
from resnet_ablations.results.sweeps import PlannedConfiguration, SweepPlan

Overrides = tuple[str, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as Hydra's launchers and as we know it."""

    overrides: Overrides
    config: RunConfig
    served_by: str | None = None
    """The key of a longer run that has this one as its beginning."""


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep, each once, and for an experiment what is kept of it in `results/sweeps/`."""

    jobs: tuple[Job, ...]
    record: SweepPlan | None


def plan(overrides: Sequence[str]) -> Plan:
    """The plan of a multirun command line: an experiment at a scale, or Hydra's product of comma-separated values.

    Raise `UserError` with every mistake in any of its runs.
    """
    return _plan(tuple(line for line in overrides if not line.lstrip("+~").startswith("hydra")))


# Kept, for the command line is planned before Hydra starts, and Hydra, once started, cannot compose for the sweeper.
@lru_cache(maxsize=1)
def _plan(overrides: Overrides) -> Plan:
    choices = choices_of(overrides)
    if "experiment" in choices:
        return _plan_experiment(choices.pop("experiment"), choices.pop("scale", ["quick"]), choices)
    if alone := [key for key in SWEEP_KEYS if key in choices]:
        raise UserError(*(f"{key}: only with experiment=…" for key in alone))
    seeds = choices.pop("seed", None)
    products = itertools.product(*([f"{key}={value}" for value in values] for key, values in choices.items()))
    jobs = [job for product in products for job in _with_seeds(_compose(product), product, seeds)]
    return Plan(_once(_sound(jobs)), None)


def _plan_experiment(names: list[str], scales: list[str], choices: dict[str, list[str]]) -> Plan:
    if len(names) > 1 or len(scales) > 1:
        raise UserError("experiment, scale: one of each in a sweep")
    experiment, scale_name = load_experiment(names[0]), scales[0]
    if scale_name not in experiment.scales:
        allowed = ", ".join(experiment.scales)
        raise UserError(f"scale={scale_name}: no such scale of {experiment.name}; allowed: {allowed}")
    scale = experiment.scales[scale_name]
    seeds = choices.pop("seed", [str(seed) for seed in scale.seeds])
    wanted = choices.pop("rows", [row.id for row in experiment.rows])
    if unknown := [row_id for row_id in wanted if row_id not in (row.id for row in experiment.rows)]:
        allowed = ", ".join(row.id for row in experiment.rows)
        raise UserError(f"rows={','.join(unknown)}: no such row of {experiment.name}; allowed: {allowed}")
    _refuse(choices, experiment)
    extra = [f"{key}={values[0]}" for key, values in choices.items()]
    setting, shortened = _setting(experiment, scale)
    cells = [(row.id, cell) for row in experiment.rows for cell in row.configurations]
    composed = []
    for _, cell in cells:
        own = _merged(setting, shortened, cell, extra)
        longer = _merged(setting, cell, extra)
        composed.append((own, _compose(own), _compose(longer) if longer != own else None))
    _sound([config for _, config, _ in composed])
    jobs: list[Job] = []
    rows: dict[str, list[str]] = {row.id: [] for row in experiment.rows}
    configurations = {}
    for (row_id, _), (own, config, longer_config) in zip(cells, composed, strict=True):
        assert isinstance(config, RunConfig)
        server = longer_config if isinstance(longer_config, RunConfig) and _serves(longer_config, config) else None
        if row_id in wanted:
            jobs += _sound(_with_seeds(config, own, seeds, server))
        rows[row_id].append(config.configuration)
        configurations[config.configuration] = PlannedConfiguration(
            overrides=list(own),
            served_by=[server.configuration] if server is not None else [],
            config={group: value for group, value in config.scientific.items() if group != "seed"},
        )
    record = SweepPlan(
        name=_sweep_name(experiment.name, scale_name, extra, list(configurations)),
        experiment=experiment.name,
        scale=scale_name,
        overrides=extra,
        seeds=sorted({*scale.seeds, *(job.config.seed for job in jobs)}),
        iterations=jobs[0].config.schedule.iterations,
        rows=rows,
        configurations=configurations,
    )
    return Plan(_once(jobs), record)


def _refuse(choices: dict[str, list[str]], experiment: Experiment) -> None:
    """Raise for overrides that would undo the rows, or sweep what the experiment does not."""
    varied = {line.partition("=")[0] for row in experiment.rows for cell in row.configurations for line in cell}
    mistakes = [f"{key}: the rows of {experiment.name} set it" for key in choices if key in varied]
    mistakes += [
        f"{key}={','.join(values)}: one value; beside an experiment's rows only seed takes several"
        for key, values in choices.items()
        if len(values) > 1
    ]
    if mistakes:
        raise UserError(*mistakes)


def _setting(experiment: Experiment, scale: Scale) -> tuple[list[str], list[str]]:
    """The overrides of the scale, or of the one that it is the beginning of, and those that shorten it."""
    if scale.prefix_of is None:
        return [*experiment.overrides, *scale.overrides], []
    whole = experiment.scales[scale.prefix_of]
    return [*experiment.overrides, *whole.overrides, *scale.overrides], [f"schedule.iterations={scale.iterations}"]


def _merged(*lists: list[str]) -> Overrides:
    """All overrides, of each key the last one."""
    by_key: dict[str, str] = {}
    for line in itertools.chain(*lists):
        key = line.partition("=")[0].lstrip("+")
        by_key.pop(key, None)
        by_key[key] = line
    return tuple(by_key.values())


def _compose(overrides: Overrides) -> RunConfig | UserError:
    try:
        return compose(overrides)
    except UserError as error:
        return error


def _with_seeds(
    config: RunConfig | UserError, overrides: Overrides, seeds: list[str] | None, server: RunConfig | None = None
) -> list[Job | UserError]:
    """A run for each seed of a configuration; without seeds, for its own."""
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


def _sound(items: Sequence[T | UserError]) -> list[T]:
    """The items, if none of them is a mistake; otherwise raise with all mistakes, each once."""
    mistakes = [message for item in items if isinstance(item, UserError) for message in item.messages]
    if mistakes:
        raise UserError(*dict.fromkeys(mistakes))
    return [item for item in items if not isinstance(item, UserError)]


def _once(jobs: list[Job]) -> tuple[Job, ...]:
    return tuple({job.config.key: job for job in jobs}.values())


def _serves(longer: RunConfig, config: RunConfig) -> bool:
    """Whether the longer run tests where this one ends."""
    return config.schedule.iterations % longer.schedule.evaluate_every == 0


def _sweep_name(experiment: str, scale: str, extra: list[str], configurations: list[str]) -> str:
    """`EXPERIMENT-SCALE`; where overrides change what is run, with a hash of the configurations."""
    name = f"{experiment}-{scale}"
    if all(is_location(line) for line in extra):
        return name
    return f"{name}-{hashlib.sha256(' '.join(configurations).encode()).hexdigest()[:6]}"
