"""Run a plan: give the runs without a result to the launcher."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import freeze
from resnet_ablations.results.atomic_write import reporting_full_disk
from resnet_ablations.results.provenance import SOURCE, same_code
from resnet_ablations.results.run_folder import Result, RunFolder
from resnet_ablations.results.states import state_of
from resnet_ablations.results.sweeps import save_sweep
from resnet_ablations.sweep.planning import Job, Plan
from resnet_ablations.sweep.preflight import check_results_folder
from resnet_ablations.sweep.squeue import remove_stale_locks

Launch = Callable[[list[list[str]]], Any]
"""A function of the overrides of each run that returns when all have ended, or raises `Submitted`."""


class Submitted(Exception):
    """The runs were submitted to a scheduler, as the launcher printed, and this process does not wait for them."""


def run_sweep(plan: Plan, launch: Launch, at_once: Callable[[Sequence[RunConfig]], int] = len) -> None:
    """Train the plan's missing runs; raise `SystemExit` with 1 if a run has no result, with 0 after `Submitted`.

    `at_once` returns how many of the given runs the launcher trains at the same time. Killed runs are launched again,
    at most `sweep.retries` times.
    """
    results = plan.jobs[0].config.paths.results
    name = "sweep" if plan.record is None else plan.record.name
    missing = [job for job in plan.jobs if result_of(job) is None]
    configs = [job.config for job in missing]
    for settings in {config.logger.model_dump_json(): config.logger for config in configs}.values():
        settings.build().check()
    check_results_folder(results, configs, at_once(configs) if configs else 0)
    for source in {job.config.data.model_dump_json(): job.config.data.source for job in plan.jobs}.values():
        source.prepare()
    remove_stale_locks([run.folder for run in configs])
    with reporting_full_disk(results):
        if plan.record is not None:
            save_sweep(results, plan.record)
        for run in configs:
            if damage := run.folder.damage():
                print(f"{run.key}: its result is damaged, so it is trained again: {damage}", flush=True)
        overrides = _frozen(configs)
    print(
        f"{name}: {len(plan.jobs)} runs, {len(plan.jobs) - len(missing)} finished, {len(missing)} to train", flush=True
    )
    stopped: SystemExit | UserError | None = None
    first = again = [job for job in missing if job.config.key in overrides]
    tries = 1 + plan.settings.retries
    while again and tries and stopped is None:
        try:
            launch([overrides[job.config.key] for job in again])
        except (SystemExit, UserError) as end:
            if isinstance(end, UserError) and again is first and all(result_of(job) is None for job in missing):
                raise  # a mistake in the settings, as a rule
            stopped = end
        except Submitted:
            raise SystemExit(0) from None
        again, tries = _to_retry(again, plan.settings.fail_fast), tries - 1
        if again and tries and stopped is None:
            keys = ", ".join(job.config.key for job in again)
            print(f"{name}: retrying {len(again)} killed runs: {keys}", flush=True)
    for job in plan.jobs:
        if job.config.folder.result() is not None:
            job.config.folder.remove_leftovers()
    without = _summarise(name, missing)
    if stopped is not None:
        raise stopped
    if without:
        raise SystemExit(1)


def _frozen(runs: Sequence[RunConfig]) -> dict[str, list[str]]:
    """Write the configuration of each run; return the overrides that train it, by its key.

    A run whose configuration cannot be written is left out, with a line: its lock is a matter of this run alone.
    """
    overrides = {}
    for run in runs:
        try:
            overrides[run.key] = freeze(run)
        except UserError as error:
            print(f"{run.key}: not started: {error.messages[0]}", flush=True)
    return overrides


def _to_retry(jobs: Sequence[Job], fail_fast: bool) -> list[Job]:
    """Return the runs to launch again: the killed ones.

    With `fail_fast`, all runs without a result if every failed run was killed, otherwise none.
    """
    states = {job.config.key: state_of(job.config.folder) for job in jobs if result_of(job) is None}
    killed = {key for key, state in states.items() if state.killed}
    if fail_fast and killed:
        failed = {key for key, state in states.items() if state.outcome == "failed"}
        killed = set(states) if failed == killed else set()
    return [job for job in jobs if job.config.key in killed]


def _summarise(name: str, jobs: Sequence[Job]) -> int:
    """Print the outcomes, and reason and log of each run without a result; return how many have no result."""
    outcomes: Counter[str] = Counter()
    without = 0
    for job in jobs:
        if (result := result_of(job)) is not None:
            outcomes[result.outcome] += 1
            continue
        without += 1
        folder = job.config.folder
        state = state_of(folder)
        if state.outcome == "missing":
            outcomes["not started"] += 1
            continue
        outcomes[state.outcome] += 1
        print(f"{folder.key}: {state.outcome}: {state.reason}".rstrip(": ") + f"; see {folder.log}")
    if jobs:
        print(f"{name}: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    results = [result for job in jobs if (result := result_of(job)) is not None]
    if changed := [result.key for result in results if result.provenance.get("source") not in (None, SOURCE)]:
        print(f"{name}: these runs were trained after the code had changed during the sweep: {', '.join(changed)}")
    if resumed := [r.key for r in results if r.key not in changed and same_code(r.provenance) is False]:
        print(f"{name}: these runs were trained by other code before they were resumed: {', '.join(resumed)}")
    if without:
        print(f"{name}: {without} of {len(jobs)} runs have no result; the same command continues with them")
    return without


def result_of(job: Job) -> Result | None:
    """Return the result of the run, or of the longer run that serves it."""
    keys = [key for key in (job.config.key, job.served_by) if key is not None]
    found = (RunFolder(job.config.paths.results, key).result() for key in keys)
    return next((result for result in found if result is not None), None)
