"""The wait for runs in SLURM's queue; run folders and `squeue` give the outcome."""

import re
import signal
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from resnet_ablations.config import RunConfig
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.owner import Owner
from resnet_ablations.results.states import State, state_of
from resnet_ablations.sweep.endings import record_end
from resnet_ablations.sweep.monitor import SweepMonitor
from resnet_ablations.sweep.squeue import jobs_in_queue
from resnet_ablations.sweep.submission import Submission
from resnet_ablations.training.stopping import StopRequest

STAYS: Final = re.compile(
    r"PENDING \(((?:Partition(?:TimeLimit|NodeLimit|Config)|(?:QOS|Assoc)(?:Max|Min)\w*Per(?:Job|Node)\w*|QOSMin\w+"
    r"|QOSTimeLimit|AssociationTimeLimit|MaxMemPerLimit|BadConstraints|Invalid(?:Account|QOS)|AccountNotAllowed"
    r"|QOSNotAllowed|ReservationDeleted|DependencyNeverSatisfied|JobHeld(?:User|Admin)|JobHoldMaxRequeue"
    r"|[^)]* held[^)]*))\)"
)
"""The state of a pending job whose reason, the group, does not end with time."""

POLL_SECONDS = 3.0
"""The time between two looks at the run folders and the queue."""


def wait_for(
    runs: Sequence[RunConfig],
    own: Sequence[RunConfig],
    submission: Submission,
    progress: SweepMonitor,
    stop: StopRequest,
    *,
    fail_fast: bool,
    folder: Path,
) -> None:
    """Wait until each run has a result or no job in the queue can give it one.

    `own` are the runs of this command's `submission`, which a stop request and the first failure if `fail_fast` cancel.
    Then this function waits only for them. After SIGHUP it returns, and the jobs go on.
    """
    under_way, stoppable = list(runs), {run.key for run in own}
    stopping, reported = False, ""
    with progress:
        while under_way and stop.signal != signal.SIGHUP:
            owners = {run.key: RunLock(run.folder.path).named() for run in under_way}
            queue = jobs_in_queue()
            states = {run.key: state_of(run.folder, queue) for run in under_way}
            sharing = Counter(state.job for state in states.values())
            ended = [run for run in under_way if _has_ended(state := states[run.key], queue, sharing[state.job] > 1)]
            gone = {run.key for run in ended}
            under_way = [run for run in under_way if run.key not in gone]
            for run in ended:
                _record_end(run, states[run.key], folder, queue, owners[run.key])
            failed = fail_fast and any(states[run.key].outcome == "failed" for run in ended)
            begins = not stopping and (stop.signal not in (None, signal.SIGHUP) or failed)
            if stopping := stopping or begins:
                submission.cancel()
            # After scancel: printing may fail or stand still, for example with the reader of a pipe.
            if under_way and (waits := _waiting(under_way, queue)) != reported:
                reported = waits
                progress.say(f"SLURM: {waits}")
            for run in ended:
                progress.ended(run.folder)
            for run in under_way:
                if states[run.key].outcome == "running":
                    progress.started(run.folder)
            if begins:
                progress.stopping(
                    "a run failed" if stop.signal is None else "send the signal again to exit without waiting"
                )
                under_way = [run for run in under_way if run.key in stoppable]
            progress.update()
            if under_way and (stop.signal is None or stopping):
                time.sleep(POLL_SECONDS)


def wait_for_queue(stop: StopRequest) -> dict[str, str]:
    """Return the jobs in the queue when squeue answers; raise `SystemExit` after a stop request."""
    while (queue := jobs_in_queue()) is None:
        if stop.signal is not None:
            raise SystemExit(128 + stop.signal)
        time.sleep(POLL_SECONDS)
    return queue


def wait_for_room(arrays: Collection[str], most: int | None, stop: StopRequest) -> None:
    """Wait until the job arrays have left the queue and it has fewer than `most` jobs, or for a stop request."""
    said = False
    while stop.signal is None:
        if (queue := jobs_in_queue()) is not None:
            has_room = most is None or len(queue) < most
            if has_room and not {job.partition("_")[0] for job in queue}.intersection(arrays):
                return
        elif not said:
            said = True
            print("SLURM: squeue does not answer; the other runs are submitted when it does", flush=True)
        time.sleep(POLL_SECONDS)


def _has_ended(state: State, queue: Mapping[str, str] | None, is_packed: bool) -> bool:
    """Return whether the run has ended; a job that is still in the queue may be started again.

    A job that trains several runs goes on without those that failed.
    """
    if state.done:
        return True
    if queue is None or state.outcome in ("running", "queued"):
        return False
    return state.job not in queue or (is_packed and state.outcome == "failed")


def _waiting(runs: Sequence[RunConfig], queue: Mapping[str, str] | None) -> str:
    """Return the states and reasons of the runs' jobs, for example `14 PENDING (Resources), 2 RUNNING (None)`."""
    if queue is None:
        return "squeue does not answer"
    jobs = {status.job for run in runs if (status := run.folder.status()) is not None}
    counts = Counter(queue[job] for job in jobs if job in queue)
    waiting = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no job in the queue"
    reasons = sorted(found[1] for state in counts if (found := STAYS.fullmatch(state)))
    if not reasons:
        return waiting
    return (
        f"{waiting}; {', '.join(reasons)}: this does not end by itself; change or release the jobs (scontrol), or "
        "cancel them (scancel) and start the sweep with other settings, for example hydra.launcher.time"
    )


def _record_end(
    run: RunConfig, state: State, folder: Path, queue: Mapping[str, str] | None, owner: Owner | None
) -> None:
    """Write to the run's folder that its job is over, if the run did not write how it ended.

    `owner` had the run's lock before `queue` was asked.
    """
    if state.done or (status := run.folder.status()) is None or status.outcome not in ("running", "queued"):
        return
    if state.killed:
        reason = f"SLURM job {state.job} ended without reporting an error"
        record_end(run, "failed", reason, killed=True, jobs=queue, owner=owner)
    elif (errors := folder / f"{state.job}_0_log.err").exists():
        reason = f"SLURM job {state.job} ended before the run began: see {errors}"
        record_end(run, "failed", reason, killed=False, jobs=queue, owner=owner)
    elif state.outcome == "interrupted":
        record_end(run, "interrupted", state.reason, killed=False, jobs=queue, owner=owner)
