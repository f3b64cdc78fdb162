"""Training on a SLURM cluster: each run is a job, by submitit; run folders and `squeue` give the outcome."""

import logging
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from submitit.core.job_environment import JobEnvironment
from submitit.helpers import Checkpointable, TorchDistributedEnvironment

from resnet_ablations.config import RunConfig, validate
from resnet_ablations.errors import UserError
from resnet_ablations.results.locks import OWN_JOB, RunLock, results_lock, slurm_job
from resnet_ablations.results.provenance import SOURCE
from resnet_ablations.results.run_folder import Status
from resnet_ablations.results.states import state_of
from resnet_ablations.sweep.run_sweep import Submitted
from resnet_ablations.sweep.slurm_commands import SlurmError, slurm
from resnet_ablations.sweep.slurm_wait import POLL_SECONDS, wait_for
from resnet_ablations.sweep.squeue import jobs_in_queue
from resnet_ablations.sweep.submission import TIME_IS_UP, submit
from resnet_ablations.sweep.worker import train_logged
from resnet_ablations.training.stopping import SIGNALS, StopRequest

log = logging.getLogger(__name__)


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

        SLURM sends `TIME_IS_UP` when the job's time is nearly up: write a checkpoint and requeue the job. SIGTERM means
        preemption, after which SLURM requeues the job itself, or `scancel`: write a checkpoint only. SLURM sends
        SIGTERM several times, so a second signal must not stop the run at once.
        """
        os.environ[OWN_JOB] = JobEnvironment().job_id
        stop = StopRequest(TIME_IS_UP, signal.SIGTERM, at_once=lambda number: None)
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
            if stop.signal == TIME_IS_UP:
                _requeue()
            raise


def _requeue() -> None:
    """Requeue this job; try again while SLURM's controller is busy."""
    while True:
        try:
            slurm("scontrol", "requeue", slurm_job())
            return
        except SlurmError as error:
            log.warning("scontrol requeue failed: %s; trying again", error)
            time.sleep(POLL_SECONDS)


def train_on_slurm(
    runs: Sequence[RunConfig], parameters: Mapping[str, Any], *, wait: bool, fail_fast: bool, folder: Path
) -> None:
    """Submit the runs that no process trains and no job waits for, as job arrays; then wait until all have ended.

    `parameters` are the settings of the launcher; `folder` is for scripts, pickles and output of the jobs. The first
    Ctrl-C or SIGTERM cancels the jobs submitted here, and their runs write a checkpoint. If `wait` is false, raise
    `Submitted` after submitting. Raise `UserError` if SLURM does not answer or rejects the jobs.
    """
    arrays: list[str] = []
    # Without the lock, two commands at the same time could submit the same run.
    with results_lock(folder.parent), StopRequest(*SIGNALS, at_once=lambda number: None) as stop:
        queue = checked_queue()
        free = [run for run in runs if _is_free(run, queue)]
        if free:
            jobs = [SlurmRun(run, parameters["cpus_per_task"] or 1) for run in free]
            for run in free:
                RunLock(run.folder.path).remove_if_stale(queue)
            arrays = submit(free, jobs, parameters, folder, stop)
    message = "nothing to submit"
    if arrays:
        message = f"submitted as SLURM job{'s' if len(arrays) > 1 else ''} {', '.join(arrays)}: {len(free)}"
    if others := len(runs) - len(free):
        message += f"; running or queued already: {others}"
    if arrays and (unused := sorted(name for name in os.environ if name.startswith("SBATCH_"))):
        print(f"{', '.join(unused)}: not used; the settings of the jobs are hydra.launcher.…", flush=True)
    if not wait:
        raise Submitted(f"{message}; resnet-ablations status shows their progress")
    print(message, flush=True)
    wait_for(runs, free, arrays, fail_fast=fail_fast, folder=folder, stopped_by=stop.signal)


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
