"""What a sweep would run and what is finished already, and what the rest costs; trains nothing, writes nothing."""

import sys

from rich.table import Table

from resnet_ablations.console import standard_console
from resnet_ablations.errors import exit_on_user_error
from resnet_ablations.results.states import state_of
from resnet_ablations.results.sweeps import SweepPlan
from resnet_ablations.sweep.cost import GPU_FLOPS, gpu_hours
from resnet_ablations.sweep.plan import Job, plan
from resnet_ablations.sweep.run import result_of


def main() -> None:
    """Print a line a run for the Hydra overrides of a sweep."""
    with exit_on_user_error():
        planned = plan(sys.argv[1:])
    cells = {} if planned.record is None else cells_of(planned.record)
    table = Table(box=None)
    for column in ("cell", "run", "iterations", "state"):
        table.add_column(column, overflow="fold")
    for job in planned.jobs:
        iterations = f"{job.config.schedule.iterations:,}"
        table.add_row(", ".join(cells.get(job.config.configuration, [])), job.config.key, iterations, state(job))
    # Off a terminal, keys stay in one piece.
    standard_console(120).print(table)
    missing = [job.config for job in planned.jobs if result_of(job) is None]
    print(f"{len(planned.jobs)} runs, {len(planned.jobs) - len(missing)} finished, {len(missing)} to train")
    if missing:
        rate = f"{GPU_FLOPS / 1e12:g} TFLOP/s"
        print(f"to train: about {gpu_hours(missing):.2g} GPU-hours (estimated from multiply-adds, {rate} sustained)")


def cells_of(record: SweepPlan) -> dict[str, list[str]]:
    """The cells that show each configuration, as `ROW/COLUMN`, or `ROW` where there is a sole column."""
    columns = {column for cells in record.cells.values() for column in cells}
    shown: dict[str, list[str]] = {}
    for row, cells in record.cells.items():
        for column, configurations in cells.items():
            for configuration in configurations:
                shown.setdefault(configuration, []).append(row if len(columns) == 1 else f"{row}/{column}")
    return shown


def state(job: Job) -> str:
    """How the run ended or how far it is; whose result serves it; and whether other code than today's made that."""
    if (result := result_of(job)) is not None:
        said = result.outcome if result.key == job.config.key else f"served by {result.key}"
        return said
    state = state_of(job.config.folder)
    if state.resumable_from is None:
        return state.outcome
    return f"{state.outcome}, resumable from step {state.resumable_from:,}"


if __name__ == "__main__":
    main()
