"""The jobs of this user in SLURM's queue; `sacct` is not used, since not every cluster has it."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.states import State, state_of
from resnet_ablations.sweep.cluster import other_cluster
from resnet_ablations.sweep.slurm_commands import SlurmError, slurm


def jobs_in_queue() -> dict[str, str] | None:
    """Return this user's pending, running and completing jobs with state and reason; None if squeue fails."""
    try:
        answer = _squeue("--array", "--format=%i %T (%r)")
    except SlurmError:
        return None
    return {job: state for job, _, state in (line.partition(" ") for line in answer.splitlines())}


def jobs_of_scripts(scripts: Collection[Path]) -> dict[str, tuple[Path, str]]:
    """Return the jobs in the queue that were submitted with these scripts: the script of each, and why it waits.

    Raise `SlurmError` if squeue fails. The names of the scripts are unique.
    """
    if not scripts:
        return {}
    by_name = {script.name: script for script in scripts}
    found = {}
    for line in _squeue("--format=%F|%r|%o").splitlines():
        job, reason, command = line.split("|", 2)
        if script := by_name.get(Path(command).name):
            found[job] = script, reason
    return found


def _squeue(*options: str) -> str:
    """Return a line for each of this user's jobs, also in hidden partitions; raise `SlurmError` if squeue fails.

    The user is given by number: not every user has a name on every machine.
    """
    return slurm("squeue", "--noheader", "--all", f"--user={os.getuid()}", *options)


def jobs_of(folders: Sequence[RunFolder]) -> dict[str, str] | None:
    """Return this user's jobs in the queue; None if they tell nothing of these runs.

    squeue is called only if a run is or was a SLURM job. The queue of another cluster than that of the runs' jobs says
    nothing about them.
    """
    if not any(status.job for folder in folders if (status := folder.status())):
        return None
    if other_cluster(folders[0].path.parents[1] / "slurm") is not None:
        return None
    return jobs_in_queue()


def remove_stale_locks(folders: Sequence[RunFolder]) -> None:
    """Remove the locks of dead owners of these runs; squeue is asked as in `jobs_of`."""
    locks = [RunLock(folder.path) for folder in folders]
    owners = [lock.named() for lock in locks]
    jobs = jobs_of(folders)
    for lock, owner in zip(locks, owners, strict=True):
        lock.remove_if_stale(jobs, owner)


def states_of(folders: Sequence[RunFolder]) -> dict[str, State]:
    """Return the state of each run by its key."""
    jobs = jobs_of(folders)
    return {folder.key: state_of(folder, jobs) for folder in folders}
