"""What a sweep consists of: every run composed and checked before the first one starts."""

import hashlib
import itertools
from dataclasses import dataclass
from functools import lru_cache

from hydra import initialize_config_dir
from hydra.core.override_parser.types import Override

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.experiments import Experiment, Scale, load_experiment
from resnet_ablations.overrides import CONF, compose, parse
from resnet_ablations.results.keys import is_place
from resnet_ablations.results.sweeps import PlannedConfiguration, SweepPlan


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as Hydra's launchers and as we know it."""

    overrides: tuple[str, ...]
    config: RunConfig
    served_by: tuple[str, ...] = ()
    """Keys of longer runs that have this one as their beginning."""


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep, each once, and for an experiment what is kept of it in `results/sweeps/`."""

    jobs: tuple[Job, ...]
    record: SweepPlan | None


@lru_cache(maxsize=1)
def plan(overrides: tuple[str, ...]) -> Plan:
    """The plan of a multirun command line: an experiment at a scale, or Hydra's product of comma-separated values.

    Raise `UserError` with every mistake in any of its runs.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        parsed = parse([override for override in overrides if not override.startswith("hydra")])
        choices = {override.key_or_group: _choices(override) for override in parsed}
    experiment, scale = choices.pop("experiment", None), choices.pop("scale", ["scale=quick"])
    if experiment is None:
        products = itertools.product(*choices.values())
        return Plan(_composed([(product, ()) for product in products]), None)
    if len(experiment) > 1 or len(scale) > 1:
        raise UserError("experiment, scale: one of each in a sweep")
    return _plan_experiment(experiment[0], scale[0], choices)


def _plan_experiment(experiment_line: str, scale_line: str, choices: dict[str, list[str]]) -> Plan:
    name, scale_name = (line.partition("=")[2] for line in (experiment_line, scale_line))
    experiment = load_experiment(name)
    if scale_name not in experiment.scales:
        raise UserError(f"scale={scale_name}: no such scale of {name}; allowed: {', '.join(experiment.scales)}")
    scale = experiment.scales[scale_name]
    seeds = choices.pop("seed", [f"seed={seed}" for seed in scale.seeds])
    _refuse(choices, experiment)
    extra = [lines[0] for lines in choices.values()]
    setting = _setting(experiment, scale)
    wanted: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    for row in experiment.rows:
        for cell in row.configurations:
            longer = _merged(setting, cell, extra)
            cut = [] if scale.iterations is None else [f"schedule.iterations={scale.iterations}"]
            own = _merged(setting, cut, cell, extra)
            prefix = scale.prefix_of is not None and "schedule.iterations" not in choices
            wanted.append((row.id, own, longer if prefix else ()))
    jobs = _composed(
        [
            ((*own, seed), (*longer, seed) if longer else ())
            for (_, own, longer), seed in itertools.product(wanted, seeds)
        ]
    )
    by_cell = dict(zip(itertools.product(range(len(wanted)), seeds), jobs, strict=True))
    rows: dict[str, list[str]] = {row.id: [] for row in experiment.rows}
    configurations: dict[str, PlannedConfiguration] = {}
    for index, (row_id, own, _) in enumerate(wanted):
        job = by_cell[index, seeds[0]]
        rows[row_id].append(job.config.configuration)
        configurations[job.config.configuration] = PlannedConfiguration(
            overrides=list(own),
            served_by=[key.rpartition("-s")[0] for key in job.served_by],
            config={group: value for group, value in job.config.scientific.items() if group != "seed"},
        )
    record = SweepPlan(
        name=_sweep_name(name, scale_name, extra),
        experiment=name,
        scale=scale_name,
        overrides=extra,
        seeds=[job.config.seed for job in jobs[: len(seeds)]],
        iterations=jobs[0].config.schedule.iterations,
        rows=rows,
        configurations=configurations,
    )
    unique = {job.config.key: job for job in jobs}
    return Plan(tuple(unique.values()), record)


def _choices(override: Override) -> list[str]:
    """The lines that an override stands for: one, or one for each of its comma-separated values."""
    if not override.is_sweep_override():
        return [override.input_line or ""]
    key = override.get_key_element()
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _refuse(choices: dict[str, list[str]], experiment: Experiment) -> None:
    """Raise for overrides that would undo the rows, or sweep what the experiment does not."""
    varied = {line.partition("=")[0] for row in experiment.rows for cell in row.configurations for line in cell}
    mistakes = [f"{key}: the rows of {experiment.name} set it" for key in choices if key in varied]
    mistakes += [
        f"{key}: one value; beside an experiment's rows only seed takes several"
        for key, lines in choices.items()
        if len(lines) > 1
    ]
    if mistakes:
        raise UserError(*mistakes)


def _setting(experiment: Experiment, scale: Scale) -> list[str]:
    whole = scale if scale.prefix_of is None else experiment.scales[scale.prefix_of]
    return [*experiment.overrides, *whole.overrides, *(scale.overrides if scale is not whole else [])]


def _merged(*lists: list[str]) -> tuple[str, ...]:
    """All overrides, of each key the last one."""
    by_key: dict[str, str] = {}
    for line in itertools.chain(*lists):
        key = line.partition("=")[0].lstrip("+")
        by_key.pop(key, None)
        by_key[key] = line
    return tuple(by_key.values())


def _composed(jobs: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> tuple[Job, ...]:
    """Each run checked, and the key of the longer run that would serve it."""
    composed: list[Job] = []
    mistakes: dict[str, None] = {}
    for overrides, longer in jobs:
        try:
            served_by = (compose(list(longer)).key,) if longer else ()
            composed.append(Job(overrides, compose(list(overrides)), served_by))
        except UserError as error:
            mistakes.update(dict.fromkeys(error.messages))
    if mistakes:
        raise UserError(*mistakes)
    return tuple(composed)


def _sweep_name(experiment: str, scale: str, extra: list[str]) -> str:
    """`EXPERIMENT-SCALE`, with a hash of the overrides that change what is run."""
    scientific = sorted(line for line in extra if not is_place(line))
    name = f"{experiment}-{scale}"
    return f"{name}-{hashlib.sha256(' '.join(scientific).encode()).hexdigest()[:6]}" if scientific else name
