"""The end of a run whose process could not write it."""

from collections.abc import Container
from contextlib import suppress
from typing import Literal

from resnet_ablations.config import RunConfig
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.run_folder import Status


def record_end(
    run: RunConfig,
    outcome: Literal["failed", "interrupted"],
    reason: str = "",
    *,
    killed: bool,
    process: int | None = None,
    jobs: Container[str] | None = None,
) -> None:
    """Write to the run's folder how the run ended, unless its process wrote it or another process trains the run.

    `process` is the number of the run's process if it may still be alive; `jobs` as in `Owner.has_ended`.
    """
    folder = run.folder
    status = folder.status() or Status(outcome="running", iteration=0, iterations=run.schedule.iterations)
    # If the process was killed before its first status, the status is that of an earlier process.
    if folder.result() is not None or (status.outcome not in ("running", "queued") and not killed):
        return
    owner = RunLock(folder.path).owner(jobs)
    if owner is not None and owner.pid != process:
        return
    ending = {"outcome": outcome, "reason": reason, "killed": killed and outcome == "failed"}
    with suppress(OSError):  # a full disk
        folder.set_status(status.model_copy(update=ending))
