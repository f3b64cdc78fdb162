"""The jobs of this user in SLURM's queue; `sacct` is not used, since not every cluster has it."""

import os
from collections.abc import Sequence

from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.states import State, state_of
from resnet_ablations.sweep.slurm_commands import SlurmError, slurm


def jobs_in_queue() -> dict[str, str] | None:
    """Return this user's pending, running and completing jobs with state and reason; None if squeue fails."""
    try:
        answer = squeue("--array", "--format=%i %T (%r)")
    except SlurmError:
        return None
    return {job: state for job, _, state in (line.partition(" ") for line in answer.splitlines())}


def squeue(*options: str) -> str:
    """Return a line for each of this user's jobs, also in hidden partitions; raise `SlurmError` if squeue fails.

    The user is given by number: not every user has a name on every machine.
    """
    return slurm("squeue", "--noheader", "--all", f"--user={os.getuid()}", *options)


def states_of(folders: Sequence[RunFolder]) -> dict[str, State]:
    """Return the state of each run by its key; squeue is called only if a run is or was a SLURM job."""
    jobs = jobs_in_queue() if any(status.job for folder in folders if (status := folder.status())) else None
    return {folder.key: state_of(folder, jobs) for folder in folders}
