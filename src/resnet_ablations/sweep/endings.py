"""The end of a run whose process could not write it."""

from collections.abc import Container
from contextlib import AbstractContextManager, suppress
from typing import Literal

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.results.locks import RunLock, RunLocked
from resnet_ablations.results.owner import Owner
from resnet_ablations.results.run_folder import RunFolder, Status

LOCK_SECONDS = 2.0
"""The longest wait for the lock of the run."""


def record_end(
    run: RunConfig,
    outcome: Literal["failed", "interrupted"],
    reason: str = "",
    *,
    killed: bool,
    process: int | None = None,
    jobs: Container[str] | None = None,
    owner: Owner | None = None,
) -> None:
    """Write to the run's folder how the run ended, unless its process wrote it or another process trains the run.

    `process` is the number of the run's process if it may still be alive; `jobs` and `owner` as in `RunLock.free`.
    """
    folder = run.folder
    with suppress(RunLocked, UserError, OSError), _lock_held(folder, process, jobs, owner):
        status = folder.status() or Status(outcome="running", iteration=0, iterations=run.schedule.iterations)
        # If the process was killed before its first status, the status is that of an earlier process.
        if folder.result() is None and (status.outcome in ("running", "queued") or killed):
            ending = {"outcome": outcome, "reason": reason, "killed": killed and outcome == "failed"}
            folder.set_status(status.model_copy(update=ending))


def _lock_held(
    folder: RunFolder, process: int | None, jobs: Container[str] | None, owner: Owner | None
) -> AbstractContextManager[None]:
    """Return a context that holds the run's lock; entering raises `RunLocked` if another process owns the run.

    The owner may be `process`, or no process.
    """
    if process is not None:
        with suppress(ProcessLookupError):  # it has ended
            return RunLock(folder.path, Owner.of(process)).held(seconds=LOCK_SECONDS)
    return RunLock(folder.path).free(jobs, owner, seconds=LOCK_SECONDS)
