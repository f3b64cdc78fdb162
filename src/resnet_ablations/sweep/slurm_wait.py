"""The wait for runs in SLURM's queue; run folders and `squeue` give the outcome."""

import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from resnet_ablations.config import RunConfig
from resnet_ablations.results.states import State, state_of
from resnet_ablations.sweep.monitor import SweepMonitor
from resnet_ablations.sweep.slurm_commands import SlurmError, slurm
from resnet_ablations.sweep.squeue import jobs_in_queue
from resnet_ablations.training.stopping import StopRequest

POLL_SECONDS = 3.0
"""The time between two looks at the run folders and the queue."""


def wait_for(
    runs: Sequence[RunConfig],
    own: Sequence[RunConfig],
    arrays: Sequence[str],
    *,
    fail_fast: bool,
    folder: Path,
    stopped_by: int | None,
) -> None:
    """Wait until each run has a result or no job in the queue can give it one.

    `own` are the runs of this command's `arrays`; a stop cancels them, and then this function waits only for them.
    `stopped_by` is a signal that this process has received before.
    """
    under_way, stoppable = list(runs), {run.key for run in own}
    with SweepMonitor([run.folder for run in runs]) as progress:

        def at_once(number: int) -> None:
            progress.close()
            os._exit(128 + number)

        with StopRequest(signal.SIGINT, signal.SIGTERM, at_once=at_once) as stop:
            if stopped_by is not None:
                signal.raise_signal(stopped_by)
            stopping, cancelled, failed, reported = False, not arrays, False, ""
            while under_way:
                queue = jobs_in_queue()
                if (waits := _waiting(under_way, queue)) != reported:
                    reported = waits
                    progress.say(f"SLURM: {waits}")
                for run in list(under_way):
                    state = state_of(run.folder, queue)
                    if _has_ended(state, queue):
                        under_way.remove(run)
                        _record_end(run, state, folder)
                        progress.ended(run.folder)
                        failed = failed or state.outcome == "failed"
                    elif state.outcome == "running":
                        progress.started(run.folder)
                begins = not stopping and (stop.signal is not None or (failed and fail_fast))
                stopping = stopping or begins
                if stopping and not cancelled:
                    with suppress(SlurmError):  # SLURM is busy, or the jobs have ended
                        slurm("scancel", *arrays)
                        cancelled = True
                if begins:
                    # After scancel: printing may fail, for example because Ctrl-C has ended the reader of a pipe too.
                    progress.stopping(
                        "a run failed" if stop.signal is None else "send the signal again to exit without waiting"
                    )
                    under_way = [run for run in under_way if run.key in stoppable]
                progress.update()
                if under_way and (stop.signal is None or stopping):
                    time.sleep(POLL_SECONDS)
    if stop.signal is not None:
        raise SystemExit(128 + stop.signal)


def _has_ended(state: State, queue: Mapping[str, str] | None) -> bool:
    """Return whether the run has ended; a job that is still in the queue may be started again."""
    if state.done:
        return True
    return queue is not None and state.outcome not in ("running", "queued") and state.job not in queue


def _waiting(runs: Sequence[RunConfig], queue: Mapping[str, str] | None) -> str:
    """Return the states and reasons of the runs' jobs, for example `14 PENDING (Resources), 2 RUNNING (None)`."""
    if queue is None:
        return "squeue does not answer"
    jobs = (status.job for run in runs if (status := run.folder.status()) is not None)
    counts = Counter(queue[job] for job in jobs if job in queue)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no job in the queue"


def _record_end(run: RunConfig, state: State, folder: Path) -> None:
    """Write to the run's folder that its job is over, if the run did not write how it ended."""
    status = run.folder.status()
    if state.done or status is None or status.outcome not in ("running", "queued"):
        return
    ending = {"outcome": state.outcome, "reason": state.reason, "killed": state.killed}
    if state.killed:
        ending["reason"] = f"SLURM job {state.job} ended without reporting an error"
    elif (errors := folder / f"{state.job}_0_log.err").exists():
        reason = f"SLURM job {state.job} ended before the run began: see {errors}"
        ending = {"outcome": "failed", "reason": reason, "killed": False}
    run.folder.set_status(status.model_copy(update=ending))
