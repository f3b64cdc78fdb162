"""Run a plan: what is finished is left alone, the rest goes to the launcher."""

from collections.abc import Callable
from typing import Any

from resnet_ablations.results.run_folder import Result, RunFolder
from resnet_ablations.results.sweeps import save_sweep
from resnet_ablations.sweep.plan import Job, Plan

Launch = Callable[[list[list[str]]], Any]
"""Takes the overrides of each run and returns when all of them have ended."""


def run_sweep(plan: Plan, launch: Launch) -> None:
    """Train the plan's missing runs; raise `SystemExit(1)` if one of them left no result."""
    results = plan.jobs[0].config.paths.results
    for source in {job.config.data.model_dump_json(): job.config.data.source for job in plan.jobs}.values():
        source.prepare()
    if plan.record is not None:
        save_sweep(results, plan.record)
    missing = [job for job in plan.jobs if result_of(job) is None]
    name = "sweep" if plan.record is None else plan.record.name
    print(
        f"{name}: {len(plan.jobs)} runs, {len(plan.jobs) - len(missing)} finished, {len(missing)} to train", flush=True
    )
    stopped = None
    if missing:
        try:
            launch([list(job.overrides) for job in missing])
        except SystemExit as end:
            stopped = end
    failed = 0
    for job in missing:
        if result_of(job) is None:
            failed += 1
            folder = job.config.folder
            status = folder.status()
            reason = f"{status.outcome}: {status.reason}".rstrip(": ") if status else "never started"
            print(f"{job.config.key}: {reason}; see {folder.log}")
    if failed:
        print(f"{name}: {failed} of {len(missing)} runs left no result; the same command goes on with them")
    if stopped is not None:
        raise stopped
    if failed:
        raise SystemExit(1)


def result_of(job: Job) -> Result | None:
    """The run's result, or that of a longer run which has it as its beginning."""
    keys = [key for key in (job.config.key, job.served_by) if key is not None]
    found = (RunFolder(job.config.paths.results, key).result() for key in keys)
    return next((result for result in found if result is not None), None)
