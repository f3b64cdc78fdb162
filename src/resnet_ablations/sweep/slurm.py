"""Training on a SLURM cluster: one job array a sweep, by submitit; run folders and `squeue` give the outcome."""

import logging
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import FailedSubmissionError
from submitit.helpers import Checkpointable, TorchDistributedEnvironment

from resnet_ablations.config import RunConfig, validate
from resnet_ablations.errors import UserError
from resnet_ablations.results.locks import RunLock, results_lock, slurm_job
from resnet_ablations.results.provenance import SOURCE
from resnet_ablations.results.run_folder import Status
from resnet_ablations.results.states import State, state_of
from resnet_ablations.sweep.monitor import SweepMonitor
from resnet_ablations.sweep.run_sweep import Submitted
from resnet_ablations.sweep.squeue import jobs_in_queue, slurm
from resnet_ablations.sweep.worker import train_logged
from resnet_ablations.training.stopping import StopRequest

log = logging.getLogger(__name__)

POLL_SECONDS = 3.0
"""The time between two looks at the run folders and the queue."""
REQUEUES = 1_000_000
"""The number of time limits that submitit allows a job: without bound, since a run may need any number of jobs."""


class SlurmRun(Checkpointable):
    """A run as submitit sends it to its nodes and starts it, in one task for each device.

    submitit requeues it if the time is up before the run handles signals itself.
    """

    def __init__(self, run: RunConfig, threads: int) -> None:
        self.frozen = run.as_dict()
        self.folder = run.folder
        self.source = SOURCE
        self.threads = threads
        """The CPU threads of each task."""

    def __call__(self) -> None:
        """Train the run.

        SLURM sends SIGUSR2 when the job's time is nearly up: write a checkpoint and requeue the job. SIGTERM means
        preemption, after which SLURM requeues the job itself, or `scancel`: write a checkpoint only. SLURM sends
        SIGTERM several times, so a second signal must not stop the run at once.
        """
        stop = StopRequest(signal.SIGUSR2, signal.SIGTERM, at_once=lambda number: None)
        try:
            run = validate(self.frozen, identify_data=False)
        except UserError as error:
            steps = self.frozen["schedule"]["iterations"]
            failed = Status(outcome="failed", iteration=0, iterations=steps, reason=error.messages[0], job=slurm_job())
            self.folder.set_status(failed)
            raise
        if run.trainer.ranks > 1:
            os.environ.pop("MASTER_PORT", None)  # inherited, it would be the same in all jobs
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
            if run.trainer.nodes == 1:  # the node's name may resolve to another address
                os.environ["MASTER_ADDR"] = "127.0.0.1"
        try:
            train_logged(run, self.threads, stop, self.source)
        except SystemExit:  # raised in the first task only
            if stop.signal == signal.SIGUSR2:
                _requeue()
            raise


def _requeue() -> None:
    """Requeue this job; try again while SLURM's controller is busy."""
    while True:
        try:
            slurm("scontrol", "requeue", slurm_job())
            return
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("scontrol requeue failed: %s; trying again", error)
            time.sleep(POLL_SECONDS)


def train_on_slurm(
    runs: Sequence[RunConfig], parameters: Mapping[str, Any], *, wait: bool, fail_fast: bool, folder: Path
) -> None:
    """Submit the runs that no process trains and no job waits for, as one array; then wait until all have ended.

    `parameters` are the parameters of submitit's `SlurmExecutor`; `folder` is for its scripts, pickles and output. The
    first Ctrl-C or SIGTERM cancels the jobs submitted here, and their runs write a checkpoint. If `wait` is false,
    raise `Submitted` after submitting. Raise `UserError` if SLURM does not answer or rejects the jobs.
    """
    # Without the lock, two commands at the same time could submit the same run.
    with results_lock(folder.parent):
        queue = checked_queue()
        free = [run for run in runs if _is_free(run, queue)]
        array = submit(free, parameters, folder, queue) if free else None
    message = "nothing to submit" if array is None else f"submitted as SLURM job {array}: {len(free)}"
    if others := len(runs) - len(free):
        message += f"; running or queued already: {others}"
    if not wait:
        raise Submitted(f"{message}; resnet-ablations status shows their progress")
    print(message, flush=True)
    _wait(runs, free, array, fail_fast, folder)


def _is_free(run: RunConfig, queue: Mapping[str, str]) -> bool:
    """Return whether the run has no result, no process trains it, and no job waits for it."""
    state = state_of(run.folder, queue)
    return not state.done and state.outcome != "queued" and RunLock(run.folder.path).owner(queue) is None


def checked_queue() -> dict[str, str]:
    """Return the jobs in the queue; raise `UserError` if SLURM does not answer."""
    if (queue := jobs_in_queue()) is None:
        raise UserError(
            "hydra/launcher=slurm: squeue does not answer; use a machine with SLURM, or hydra/launcher=local"
        )
    return queue


def submit(runs: Sequence[RunConfig], parameters: Mapping[str, Any], folder: Path, queue: Mapping[str, str]) -> str:
    """Submit runs as one job array, write each run's job to its folder, and return the number of the array.

    The caller holds the `results_lock`.
    """
    chosen = {name: value for name, value in parameters.items() if value is not None} | _tasks(runs)
    threads = chosen.get("cpus_per_task") or 1
    # Jobs are held until each folder names its job; otherwise this could overwrite the status of a job that failed.
    options = {"requeue": True, "hold": True} | chosen.pop("additional_parameters", {})
    for run in runs:
        RunLock(run.folder.path).remove_if_stale(queue)
    try:
        executor = SlurmExecutor(folder, max_num_timeout=REQUEUES)
        executor.update_parameters(**chosen, additional_parameters=options)
        with executor.batch():
            jobs = [executor.submit(SlurmRun(run, threads)) for run in runs]
    except (RuntimeError, ValueError, FailedSubmissionError) as error:
        raise UserError(f"hydra/launcher=slurm: {' '.join(str(error).split())}") from None
    array = jobs[0].job_id.partition("_")[0]
    try:
        for run, job in zip(runs, jobs, strict=True):
            step, steps = run.folder.resumable_from() or 0, run.schedule.iterations
            run.folder.set_status(Status(outcome="queued", iteration=step, iterations=steps, job=job.job_id))
        slurm("scontrol", "release", array)
    except KeyboardInterrupt:
        slurm("scancel", array)  # otherwise it would be held for ever
        raise
    except (OSError, subprocess.SubprocessError):
        raise UserError(
            f"hydra/launcher=slurm: job {array} is submitted, but held; run: scontrol release {array}"
        ) from None
    return array


def _tasks(runs: Sequence[RunConfig]) -> dict[str, Any]:
    """Return submitit's parameters for one task a device; all tasks of a job end when one fails."""
    shapes = {(run.trainer.nodes, run.trainer.devices) for run in runs}
    if len(shapes) > 1:
        raise UserError(
            "hydra/launcher=slurm: trainer.devices and trainer.nodes must be the same in all runs of a sweep"
        )
    ((nodes, devices),) = shapes
    if (nodes, devices) == (1, 1):
        return {}
    return {"nodes": nodes, "ntasks_per_node": devices, "srun_args": ["--kill-on-bad-exit=1"]}


def _wait(
    runs: Sequence[RunConfig], own: Sequence[RunConfig], array: str | None, fail_fast: bool, folder: Path
) -> None:
    """Wait until each run has a result, or can get none from the jobs in the queue.

    `own` are the runs of this command's `array`; a stop cancels them, and then this function waits only for them.
    """
    under_way, stoppable = list(runs), {run.key for run in own}
    with SweepMonitor([run.folder for run in runs]) as progress:

        def at_once(number: int) -> None:
            progress.close()
            os._exit(128 + number)

        with StopRequest(signal.SIGINT, signal.SIGTERM, at_once=at_once) as stop:
            stopping, failed, reported = False, False, ""
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
                if not stopping and (stop.signal is not None or (failed and fail_fast)):
                    stopping = True
                    if array is not None:
                        with suppress(subprocess.SubprocessError):  # the jobs may have ended already
                            slurm("scancel", array)
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
