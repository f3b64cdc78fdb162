"""The jobs of this user in SLURM's queue; `sacct` is not used, since not every cluster has it."""

import getpass
import subprocess
from collections.abc import Sequence

from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.states import State, state_of

ANSWER_SECONDS = 30


def jobs_in_queue() -> dict[str, str] | None:
    """Return this user's pending, running and completing jobs with state and reason; None if squeue fails."""
    try:
        answer = slurm("squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i %T (%r)")
    except (OSError, subprocess.SubprocessError):
        return None
    return {job: state for job, _, state in (line.partition(" ") for line in answer.splitlines())}


def states_of(folders: Sequence[RunFolder]) -> dict[str, State]:
    """Return the state of each run by its key; squeue is called only if a run is or was a SLURM job."""
    jobs = jobs_in_queue() if any(status.job for folder in folders if (status := folder.status())) else None
    return {folder.key: state_of(folder, jobs) for folder in folders}


def slurm(*command: str) -> str:
    """Return the output of a SLURM command; raise `OSError` or `SubprocessError` if it is missing, fails or hangs."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS).stdout
