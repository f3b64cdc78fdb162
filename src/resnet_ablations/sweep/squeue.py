"""What SLURM says of this user's jobs; `sacct`, which not every cluster has, is not asked."""

import getpass
import subprocess

ANSWER_SECONDS = 30


def jobs_in_queue() -> dict[str, str] | None:
    """The jobs that are pending, running or completing, with state and reason; None where SLURM does not say."""
    try:
        answer = slurm("squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i %T (%r)")
    except (OSError, subprocess.SubprocessError):
        return None
    return {job: state for job, _, state in (line.partition(" ") for line in answer.splitlines())}


def slurm(*command: str) -> str:
    """What one of SLURM's commands prints; raise `OSError` or `SubprocessError` if it is not there, fails or hangs."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS).stdout
