"""The state of a run, read from its folder: finished, resumable or absent, and whether a process trains it."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from resnet_ablations.errors import UserError
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.run_folder import RunFolder, Status

Outcome = Literal["finished", "diverged", "failed", "interrupted", "running", "queued", "missing", "damaged"]


@dataclass(frozen=True)
class State:
    """The outcome of a run, or its progress."""

    outcome: Outcome
    iteration: int = 0
    iterations: int | None = None
    images_per_second: float = 0.0
    seconds_left: float | None = None
    test_error: float | None = None
    """The test error of a finished run in %."""
    reason: str = ""
    killed: bool = False
    """True for a failed run whose process was killed before it could write a reason."""
    job: str = ""
    """The SLURM job that trains the run or will train it."""
    resumable_from: int | None = None
    """The iteration of the newest checkpoint."""

    @property
    def done(self) -> bool:
        """True if the run has a result."""
        return self.outcome in ("finished", "diverged")


def _outcome(status: Status | None) -> str | None:
    return None if status is None else status.outcome


def state_of(folder: RunFolder, jobs: Container[str] | None = None) -> State:
    """Return the state of a run; `jobs` are the jobs in SLURM's queue, None if unknown.

    A run whose status is `running` and whose process is gone was killed. If `jobs` is known: a killed or interrupted
    run whose job is in the queue is queued, because SLURM will start it again; a queued run whose job has left the
    queue is interrupted. A run whose lock or result cannot be read has failed: nobody can train it or use it.
    """
    if jobs is not None and not folder.is_mine:
        jobs = None  # squeue lists only this user's jobs
    status, resumable_from = folder.status(), folder.resumable_from()
    lock, unreadable, gone = RunLock(folder.path), "", False
    try:
        gone = lock.owner(jobs) is None and status is not None and status.outcome == "running"
    except UserError as error:
        unreadable = error.messages[0]
    # Read last: the run may end while its other files are read.
    result = None
    try:
        result = folder.result()
    except UserError as error:
        unreadable = error.messages[0]
    if result is not None:
        return State(
            result.outcome,
            result.iterations,
            result.iterations,
            images_per_second=result.images_per_second,
            test_error=result.test_error,
        )
    if _outcome(folder.status()) != _outcome(status):
        return state_of(folder, jobs)
    if unreadable:
        iterations = None if status is None else status.iterations
        return State("failed", resumable_from or 0, iterations, reason=unreadable, resumable_from=resumable_from)
    if status is None and (damage := folder.damage()):
        return State("damaged", reason=damage, resumable_from=resumable_from)
    if status is None:
        return State("missing", resumable_from=resumable_from)
    outcome, reason = status.outcome, status.reason
    if gone:
        outcome, reason = "failed", "its process was killed"
    elif outcome == "running":
        reason = lock.silence()
    if jobs is not None and status.job:
        if status.job in jobs and (gone or outcome == "interrupted"):
            outcome, gone = "queued", False
        elif status.job not in jobs and outcome == "queued":
            outcome, reason = "interrupted", f"SLURM job {status.job} left the queue before the run began"
    running = outcome == "running"
    return State(
        outcome,
        status.iteration,
        status.iterations,
        images_per_second=status.images_per_second if running else 0.0,
        seconds_left=status.seconds_left if running else None,
        reason=reason,
        killed=status.killed or gone,
        job=status.job,
        resumable_from=resumable_from,
    )
