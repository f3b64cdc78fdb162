"""What SLURM says of this user's jobs; `sacct`, which not every cluster has, is not asked."""

import getpass
import subprocess
from collections.abc import Sequence

from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.states import State, state_of

ANSWER_SECONDS = 30


def jobs_in_queue() -> dict[str, str] | None:
    """The jobs that are pending, running or completing, with state and reason; None where SLURM does not say."""
    try:
        answer = slurm("squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i %T (%r)")
    except (OSError, subprocess.SubprocessError):
        return None
    return {job: state for job, _, state in (line.partition(" ") for line in answer.splitlines())}


def states_of(folders: Sequence[RunFolder]) -> dict[str, State]:
    """The state of each run by its key; SLURM is asked only where a run is or was one of its jobs."""
    jobs = jobs_in_queue() if any(status.job for folder in folders if (status := folder.status())) else None
    return {folder.key: state_of(folder, jobs) for folder in folders}


def slurm(*command: str) -> str:
    """What one of SLURM's commands prints; raise `OSError` or `SubprocessError` if it is not there, fails or hangs."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS).stdout
