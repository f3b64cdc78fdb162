"""Print the runs of a sweep, their states, and the cost of the missing ones, from a few timed steps; keep nothing."""

import argparse

from rich.filesize import decimal
from rich.table import Table

from resnet_ablations.config import RunConfig
from resnet_ablations.console import standard_console
from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError, exit_on_user_error
from resnet_ablations.overrides import check_options
from resnet_ablations.report.claims.power import advice
from resnet_ablations.results.provenance import attempts, same_code
from resnet_ablations.results.states import State
from resnet_ablations.results.sweeps import SweepPlan
from resnet_ablations.sweep.estimates import (
    GPU_FLOPS,
    disk_bytes,
    hours_at_assumed_rate,
    multiply_adds_left,
    time_left,
)
from resnet_ablations.sweep.planning import Job, plan
from resnet_ablations.sweep.run_sweep import result_of
from resnet_ablations.sweep.slots import checked_runs_per_device, slots_for
from resnet_ablations.sweep.slurm_settings import checked_settings, runs_per_job
from resnet_ablations.sweep.squeue import states_of


def main() -> None:
    """Print the runs of a sweep and the cost of the missing ones."""
    parser = argparse.ArgumentParser(
        prog="resnet-ablations plan",
        description=__doc__,
        epilog="example: resnet-ablations plan shortcuts scale=paper seed=0,1",
    )
    parser.add_argument("overrides", nargs="*", metavar="EXPERIMENT or KEY=VALUE", help="as for resnet-ablations sweep")
    with exit_on_user_error():
        print_plan(parser.parse_args().overrides)


def print_plan(overrides: list[str]) -> None:
    """Print the runs of a multirun command line and the cost of the missing ones; raise `UserError`."""
    planned = plan(overrides)
    launcher = check_options(overrides)
    runs_per_device = checked_runs_per_device(launcher.get("runs_per_device"))
    missing = [job.config for job in planned.jobs if result_of(job) is None]
    on_slurm = "array_parallelism" in launcher
    if missing and on_slurm:
        checked_settings(missing, launcher)
    cells = {} if planned.record is None else cells_of(planned.record)
    table = Table(box=None)
    for column in ("cell", "run", "iterations", "state"):
        table.add_column(column, overflow="fold")
    states = states_of([job.config.folder for job in planned.jobs])
    for job in planned.jobs:
        in_cells = ", ".join(cells.get(job.config.configuration, []))
        iterations = f"{job.config.schedule.iterations:,}"
        table.add_row(in_cells, job.config.key, iterations, description_of(job, states[job.config.key]))
    # Without a terminal, 120 columns keep each key in one piece.
    standard_console(120).print(table)
    print(f"{len(planned.jobs)} runs, {len(planned.jobs) - len(missing)} finished, {len(missing)} to train")
    if (record := planned.record) is not None:
        for line in advice(record.experiment, record.scale, len(record.seeds)):
            print(line)
    if missing:
        if on_slurm:
            each, at_once = runs_per_job(launcher), launcher["array_parallelism"]
            jobs = -(-len(missing) // each)
            submitted = "1 job" if jobs == 1 else f"{jobs} jobs, at most {at_once} at a time"
            together = "one run" if each == 1 else f"{each} runs at the same time"
            print(f"SLURM: {submitted}, with {together} in {'it' if jobs == 1 else 'each'}")
        print_cost(missing, runs_per_device)


def cells_of(record: SweepPlan) -> dict[str, list[str]]:
    """Return the cells of each configuration, as `ROW/COLUMN`, or `ROW` if there is only one column."""
    columns = {column for cells in record.cells.values() for column in cells}
    names: dict[str, list[str]] = {}
    for row, cells in record.cells.items():
        for column, configurations in cells.items():
            for configuration in configurations:
                names.setdefault(configuration, []).append(row if len(columns) == 1 else f"{row}/{column}")
    return names


def description_of(job: Job, state: State) -> str:
    """Return the outcome or the progress of a run, with a note if other code or another run gave the result."""
    if (result := result_of(job)) is not None:
        text = result.outcome if result.key == job.config.key else f"served by {result.key}"
        if same_code(result.provenance) is False:
            commits = dict.fromkeys(str(attempt.get("commit"))[:7] for attempt in attempts(result.provenance))
            text += f", of another code version ({', '.join(commits)})"
        return text
    if state.outcome == "damaged":
        return f"damaged, trained again: {state.reason}"
    if state.resumable_from is None:
        return state.outcome
    return f"{state.outcome}, resumable from step {state.resumable_from:,}"


def print_cost(runs: list[RunConfig], runs_per_device: int | None) -> None:
    """Print the multiply-adds left to train, and the time and disk space on this machine."""
    multiply_adds = multiply_adds_left(runs)
    rate = f"at {GPU_FLOPS / 1e12:g} TFLOP/s, assumed"
    hours = rounded(hours_at_assumed_rate(multiply_adds))
    counted = f"{multiply_adds:.1e}".replace("e+", "e")
    print(f"to train: {len(runs)} runs, {counted} multiply-adds (about {hours} GPU-hours {rate})")
    progress = ProgressLines("timing steps")
    try:
        slots = slots_for(runs, runs_per_device)
        print(f"disk: up to {decimal(disk_bytes(runs, slots.count))} while they train")
        time = time_left(runs, slots, timed=lambda done, of: progress.at(done, of, "networks"))
    except UserError as error:  # for example, only the cluster has a GPU
        print(f"on this machine: {error}")
        return
    if time.networks:
        timed = f"from a few timed steps of each of {time.networks} networks, on random images"
        if runs_per_device is not None and runs_per_device > 1 and slots.gpus:
            timed += f"; it assumes that a run is alone on its GPU, but {runs_per_device} runs share it"
        at_once = min(slots.count, len(runs))
        print(f"on this machine: about {duration(time.seconds)}, {at_once} runs at once ({timed})")
    for configuration in time.too_large:
        print(f"{configuration}: not in this estimate: this machine has too little memory to time its steps")


def duration(seconds: float) -> str:
    """Return a time in the largest unit in which the time is at least 2."""
    units = (("days", 86400), ("h", 3600), ("min", 60), ("s", 1))
    name, size = next((unit for unit in units if seconds >= 2 * unit[1]), units[-1])
    return f"{rounded(seconds / size)} {name}"


def rounded(number: float) -> str:
    """Return a number with two significant digits, or as a whole number from 10 on."""
    return f"{number:.2g}" if number < 10 else f"{number:,.0f}"


if __name__ == "__main__":
    main()
