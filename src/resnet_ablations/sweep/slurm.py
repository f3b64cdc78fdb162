"""Runs on a SLURM cluster, one job array a sweep, by submitit; run folders and `squeue` tell what became of them."""

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
"""From one look at the run folders and the queue to the next."""
REQUEUES = 1_000_000
"""submitit counts how often a job may run out of time; a run needs as many jobs as it needs."""


class SlurmRun(Checkpointable):
    """A run on its way to its nodes; submitit starts it there, in a task for each of its devices.

    And again, if the time is up before it listens itself.
    """

    def __init__(self, run: RunConfig, threads: int) -> None:
        self.frozen = run.as_dict()
        self.folder = run.folder
        self.source = SOURCE
        self.threads = threads
        """Of each task."""

    def __call__(self) -> None:
        """Train the run. When the job's time is nearly up, SIGUSR2 comes: checkpoint, and back into the queue.

        SIGTERM is a preemption, after which SLURM itself puts the job back, or an `scancel`: a checkpoint, no more.
        SLURM sends it several times, and kills who does not go: no second signal stops at once.
        """
        stop = StopRequest(signal.SIGUSR2, signal.SIGTERM, at_once=lambda number: None)
        try:
            run = validate(self.frozen)
        except UserError as error:  # such as a data set that only the login node has
            steps = self.frozen["schedule"]["iterations"]
            failed = Status(outcome="failed", iteration=0, iterations=steps, reason=error.messages[0], job=slurm_job())
            self.folder.set_status(failed)
            raise
        if run.trainer.ranks > 1:
            os.environ.pop("MASTER_PORT", None)  # one that all jobs inherit would be everybody's
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
            if run.trainer.nodes == 1:  # whatever its name resolves to
                os.environ["MASTER_ADDR"] = "127.0.0.1"
        try:
            train_logged(run, self.threads, stop, self.source)
        except SystemExit:  # in the first task: the others end without a word
            if stop.signal == signal.SIGUSR2:
                _requeue()
            raise


def _requeue() -> None:
    """Put this job back into the queue, trying again while the controller is busy, until the time is up."""
    while True:
        try:
            slurm("scontrol", "requeue", slurm_job())
            return
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("scontrol requeue: %s", error)
            time.sleep(POLL_SECONDS)


def train_on_slurm(
    runs: Sequence[RunConfig], parameters: Mapping[str, Any], *, wait: bool, fail_fast: bool, folder: Path
) -> None:
    """Submit the runs that nobody trains and no job waits for, as one array; then wait until all have ended.

    `parameters` are those of submitit's `SlurmExecutor`, `folder` is for what it keeps: scripts, pickles, output. A
    first Ctrl-C or SIGTERM cancels the jobs submitted here, whose runs stop with a checkpoint. Without `wait`, raise
    `Submitted` instead; `UserError` where there is no SLURM or it refuses.
    """
    # Locked, for two commands at the same moment would both find a run free.
    with results_lock(folder.parent):
        queue = checked_queue()
        free = [run for run in runs if _is_free(run, queue)]
        array = submit(free, parameters, folder, queue) if free else None
    told = "nothing to submit" if array is None else f"submitted as SLURM job {array}: {len(free)}"
    if others := len(runs) - len(free):
        told += f"; under way or in the queue already: {others}"
    if not wait:
        raise Submitted(f"{told}; resnet-ablations status shows their progress")
    print(told, flush=True)
    _wait(runs, free, array, fail_fast, folder)


def _is_free(run: RunConfig, queue: Mapping[str, str]) -> bool:
    """Whether nobody trains the run, no job waits for it, and it has not ended meanwhile."""
    state = state_of(run.folder, queue)
    return not state.done and state.outcome != "queued" and RunLock(run.folder.path).owner(queue) is None


def checked_queue() -> dict[str, str]:
    """The jobs in the queue; raise `UserError` where there is no SLURM."""
    if (queue := jobs_in_queue()) is None:
        raise UserError("hydra/launcher=slurm: squeue does not answer; is there a SLURM? allowed without: local")
    return queue


def submit(runs: Sequence[RunConfig], parameters: Mapping[str, Any], folder: Path, queue: Mapping[str, str]) -> str:
    """Submit runs as one job array, and note in each folder which job it waits for; the array's number.

    The caller has the results folder locked.
    """
    given = {name: value for name, value in parameters.items() if value is not None} | _tasks(runs)
    threads = given.get("cpus_per_task") or 1
    # Held until each folder says which job is its own; a job that fails at once would be overwritten by that.
    options = {"requeue": True, "hold": True} | given.pop("additional_parameters", {})
    for run in runs:
        RunLock(run.folder.path).remove_if_stale(queue)
    try:
        executor = SlurmExecutor(folder, max_num_timeout=REQUEUES)
        executor.update_parameters(**given, additional_parameters=options)
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
        slurm("scancel", array)  # nobody would let it go
        raise
    except (OSError, subprocess.SubprocessError):
        raise UserError(
            f"hydra/launcher=slurm: job {array} is submitted, but SLURM did not let it go: scontrol release {array}"
        ) from None
    return array


def _tasks(runs: Sequence[RunConfig]) -> dict[str, Any]:
    """Parameters of submitit for a task a device, all of which end with the first that fails."""
    shapes = {(run.trainer.nodes, run.trainer.devices) for run in runs}
    if len(shapes) > 1:
        raise UserError("hydra/launcher=slurm: trainer.devices and trainer.nodes must be the same in all runs")
    ((nodes, devices),) = shapes
    if (nodes, devices) == (1, 1):
        return {}
    return {"nodes": nodes, "ntasks_per_node": devices, "srun_args": ["--kill-on-bad-exit=1"]}


def _wait(
    runs: Sequence[RunConfig], own: Sequence[RunConfig], array: str | None, fail_fast: bool, folder: Path
) -> None:
    """Until each run has a result or will not get one from the jobs that there are.

    `own` are the runs of this command's `array`: a stop cancels them, and waits for no others.
    """
    under_way, stoppable = list(runs), {run.key for run in own}
    with SweepMonitor([run.folder for run in runs]) as progress:

        def at_once(number: int) -> None:
            progress.close()
            os._exit(128 + number)

        with StopRequest(signal.SIGINT, signal.SIGTERM, at_once=at_once) as stop:
            stopping, failed, told = False, False, ""
            while under_way:
                queue = jobs_in_queue()
                if (waits := _waiting(under_way, queue)) != told:
                    told = waits
                    progress.say(f"SLURM: {waits}")
                for run in list(under_way):
                    state = state_of(run.folder, queue)
                    if _has_ended(state, queue):
                        under_way.remove(run)
                        _note_end(run, state, folder)
                        progress.ended(run.folder)
                        failed = failed or state.outcome == "failed"
                    elif state.outcome == "running":
                        progress.started(run.folder)
                if not stopping and (stop.signal is not None or (failed and fail_fast)):
                    stopping = True
                    progress.stopping("a run failed" if stop.signal is None else "once more to leave them alone")
                    if array is not None:
                        with suppress(subprocess.SubprocessError):  # all may have ended by themselves
                            slurm("scancel", array)
                    under_way = [run for run in under_way if run.key in stoppable]
                progress.update()
                if under_way and (stop.signal is None or stopping):
                    time.sleep(POLL_SECONDS)
    if stop.signal is not None:
        raise SystemExit(128 + stop.signal)


def _has_ended(state: State, queue: Mapping[str, str] | None) -> bool:
    """Whether nothing more is to come: a job that is still in the queue may be started again."""
    if state.done:
        return True
    return queue is not None and state.outcome not in ("running", "queued") and state.job not in queue


def _waiting(runs: Sequence[RunConfig], queue: Mapping[str, str] | None) -> str:
    """How many of the runs' jobs are in which state, and why they wait: `14 PENDING (Resources), 2 RUNNING (None)`."""
    if queue is None:
        return "squeue does not answer"
    jobs = (status.job for run in runs if (status := run.folder.status()) is not None)
    counts = Counter(queue[job] for job in jobs if job in queue)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no job in the queue"


def _note_end(run: RunConfig, state: State, folder: Path) -> None:
    """Say in the run's folder what only the queue tells: its job is over, and the run has not said why."""
    status = run.folder.status()
    if state.done or status is None or status.outcome not in ("running", "queued"):
        return
    ending = {"outcome": state.outcome, "reason": state.reason, "killed": state.killed}
    if state.killed:
        ending["reason"] = f"SLURM job {state.job} ended without a word"
    elif (errors := folder / f"{state.job}_0_log.err").exists():
        reason = f"SLURM job {state.job} ended before the run began: see {errors}"
        ending = {"outcome": "failed", "reason": reason, "killed": False}
    run.folder.set_status(status.model_copy(update=ending))
