"""Training on a SLURM cluster: jobs by submitit; run folders and `squeue` give the outcome."""

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from submitit.core.job_environment import JobEnvironment
from submitit.helpers import Checkpointable, TorchDistributedEnvironment

from resnet_ablations.config import RunConfig, validate
from resnet_ablations.errors import UserError, exit_on_user_error
from resnet_ablations.results.locks import RunLock, RunLocked, await_heartbeats, results_lock
from resnet_ablations.results.owner import OWN_JOB, slurm_job
from resnet_ablations.results.provenance import SOURCE
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.results.states import state_of
from resnet_ablations.sweep.cluster import check_cluster
from resnet_ablations.sweep.monitor import SweepMonitor
from resnet_ablations.sweep.processes import train_in_processes
from resnet_ablations.sweep.run_sweep import Submitted
from resnet_ablations.sweep.slots import Slots, gpu_groups
from resnet_ablations.sweep.slurm_commands import TIME_IS_UP, SlurmError, cluster_settings, slurm
from resnet_ablations.sweep.slurm_settings import (
    array_size,
    checked_settings,
    folder_of_jobs,
    most_jobs,
    runs_per_job,
)
from resnet_ablations.sweep.slurm_wait import POLL_SECONDS, wait_for, wait_for_queue, wait_for_room
from resnet_ablations.sweep.squeue import jobs_in_queue
from resnet_ablations.sweep.submission import Job, Submission, cancel_abandoned
from resnet_ablations.sweep.worker import stop_in_job, train_logged
from resnet_ablations.training.stopping import SIGNALS, StopRequest

log = logging.getLogger(__name__)


class SlurmRun(Checkpointable):
    """A run as submitit sends it to its nodes and starts it, in one task for each device.

    submitit requeues it if the time is up before the run handles signals itself. The attributes are plain values, which
    another version of the package can read: the code may change while the job waits.
    """

    def __init__(self, run: RunConfig, threads: int) -> None:
        self.frozen = run.as_dict()
        self.place = (run.paths.results, run.key)
        """The results folder, and the key of the run."""
        self.source = SOURCE
        self.threads = threads
        """The CPU threads of each task."""

    def __call__(self) -> None:
        """Train the run."""
        with _requeued_in_time():
            stop = stop_in_job()
            run = _validated(self.frozen, RunFolder(*self.place))
            if run.trainer.ranks > 1:
                os.environ.pop("MASTER_PORT", None)  # inherited, it would be the same in all jobs
                TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
                if run.trainer.nodes == 1:  # the node's name may resolve to another address
                    os.environ["MASTER_ADDR"] = "127.0.0.1"
            train_logged(run, self.threads, stop, self.source)


class SlurmRuns(Checkpointable):
    """Runs that one job trains at the same time, each in its own process; a run that fails leaves the others.

    The attributes are plain values, as those of `SlurmRun`.
    """

    def __init__(self, runs: Sequence[RunConfig], threads: int) -> None:
        self.runs = [(run.as_dict(), (run.paths.results, run.key)) for run in runs]
        self.source = SOURCE
        self.threads = threads
        """The CPU threads of each run."""

    def __call__(self) -> None:
        """Train the runs; after a requeue, those that are still this job's and did not fail."""
        with _requeued_in_time():
            left = []
            for frozen, place in self.runs:
                folder = RunFolder(*place)
                status = folder.status()
                is_own = status is None or (status.job == slurm_job() and status.outcome != "failed")
                if is_own and folder.result() is None:
                    with suppress(UserError):
                        left.append(_validated(frozen, folder))
            if left:
                slots = Slots(len(self.runs), self.threads, gpu_groups(left, 1))
                train_in_processes(left, slots, fail_fast=False, planned=self.source)


def _validated(frozen: dict[str, Any], folder: RunFolder) -> RunConfig:
    """Return the run; raise `UserError` if this node cannot train it.

    Then the reason is written to the run's folder, unless another process trains the run.
    """
    try:
        return validate(frozen, identify_data=False)
    except UserError as error:
        steps, reason = frozen["schedule"]["iterations"], error.messages[0]
        with suppress(RunLocked, UserError, OSError), RunLock(folder.path).free():
            folder.set_status(Status(outcome="failed", iteration=0, iterations=steps, reason=reason, job=slurm_job()))
        raise


@contextmanager
def _requeued_in_time() -> Iterator[None]:
    """Let the process be the job's; requeue the job if `TIME_IS_UP` ends the context."""
    os.environ[OWN_JOB] = JobEnvironment().job_id
    try:
        yield
    except SystemExit as end:  # of several tasks, raised in the first only
        if end.code == 128 + TIME_IS_UP:
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


def train_on_slurm(runs: Sequence[RunConfig], parameters: Mapping[str, Any], *, wait: bool, fail_fast: bool) -> None:
    """Submit the runs that no process trains and no job waits for, as job arrays; then wait until all have ended.

    `parameters` are the settings of the launcher. If `wait` is false, raise `Submitted` after submitting. Raise
    `UserError` if SLURM does not answer or rejects the jobs.

    Runs for which the queue has no room follow when it has; if `wait` is false, the same command submits them later.

    A signal before the first `sbatch` ends this process at once. After it, Ctrl-C and SIGTERM cancel the jobs submitted
    here, in the signal handler, and their runs write a checkpoint; a second one ends this process too. SIGHUP before
    the jobs are released cancels them. Later it ends this process and leaves the jobs, also if SIGTERM follows. So does
    an error of this function: the jobs do not need it, and the same command finds them. A `UserError` after jobs were
    submitted becomes its message and `SystemExit` with 2.
    """
    later: Sequence[RunConfig] = runs
    submits = False
    while later:
        with exit_on_user_error() if submits else nullcontext():  # the sweep's summary follows `SystemExit`
            arrays, later = _train_part(later, parameters, wait=wait, fail_fast=fail_fast, patient=later is not runs)
        submits = submits or bool(arrays)


def _train_part(
    runs: Sequence[RunConfig],
    parameters: Mapping[str, Any],
    *,
    wait: bool,
    fail_fast: bool,
    patient: bool,
) -> tuple[Sequence[str], Sequence[RunConfig]]:
    """Train as many of the runs as the queue has room for; when it has room again, return the arrays and the others.

    If `patient`, wait for a squeue that does not answer.
    """
    progress = SweepMonitor([run.folder for run in runs])
    folder = folder_of_jobs(runs)
    submission = Submission(folder)

    def at_first(number: int) -> None:
        if not (submission.is_open or submission.is_released):
            raise SystemExit(128 + number)
        if number != signal.SIGHUP:
            submission.cancel()

    def at_once(number: int) -> None:
        if submission.is_open:
            return  # it cancels its jobs after the current command of SLURM
        try:
            if stop.signal != signal.SIGHUP:
                submission.cancel()
                if submission.is_released and not submission.is_cancelled:
                    _try_to_say(f"SLURM does not cancel the jobs; later run: scancel {' '.join(submission.arrays)}")
            progress.close()
        finally:
            os._exit(128 + number)

    with StopRequest(*SIGNALS, at_first=at_first, at_once=at_once) as stop:
        try:
            ask = partial(wait_for_queue, stop) if patient else checked_queue
            await_heartbeats([RunLock(run.folder.path) for run in runs], ask())
            # Without the lock, two commands at the same time could submit the same run.
            with results_lock(folder.parent):
                submitted = _submit(runs, parameters, folder, submission, stop, ask, wait=wait)
        except SystemExit:
            print(f"stopped before the jobs began{submission.rest}", flush=True)
            raise
        keys = {run.key for run in submitted.later}
        now = [run for run in runs if run.key not in keys]
        submitted.tell(submission.arrays, others=len(now) - len(submitted.runs), wait=wait)
        if not wait and stop.signal is None:
            raise Submitted
        wait_for(now, submitted.runs, submission, progress, stop, fail_fast=fail_fast, folder=folder)
        has_failed = fail_fast and any(state_of(run.folder).outcome == "failed" for run in now)
        later = () if has_failed else submitted.later
        if later:
            wait_for_room(submission.arrays, submitted.most, stop)
    if stop.signal is not None:
        raise SystemExit(128 + stop.signal)
    return submission.arrays, later


@dataclass(frozen=True)
class _Submitted:
    """The runs that a command has submitted, and those that are left."""

    runs: Sequence[RunConfig] = ()
    later: Sequence[RunConfig] = ()
    """The runs for which the queue has no room now."""
    most: int | None = None
    """The number of jobs that the user may have in the queue, None if unknown."""
    notes: tuple[str, ...] = ()

    def tell(self, arrays: Sequence[str], *, others: int, wait: bool) -> None:
        """Print what was submitted, and what was not."""
        for note in self.notes:
            print(note, flush=True)
        message = "nothing to submit" if not self.later else "nothing is submitted yet"
        if arrays:
            message = f"submitted as SLURM job{'s' if len(arrays) > 1 else ''} {', '.join(arrays)}: {len(self.runs)}"
        if others:
            message += f"; running or queued already: {others}"
        if self.later:
            message += f"; {'later' if wait else 'left for the same command'}: {len(self.later)}"
        if not wait:
            message += "; resnet-ablations status shows their progress"
        print(message, flush=True)


def _submit(
    runs: Sequence[RunConfig],
    parameters: Mapping[str, Any],
    folder: Path,
    submission: Submission,
    stop: StopRequest,
    ask: Callable[[], dict[str, str]],
    *,
    wait: bool,
) -> _Submitted:
    """Submit the runs that are free, as far as the queue has room; the caller holds the `results_lock`.

    `ask` returns the jobs in the queue. Raise `UserError` if the queue has no room, unless `wait`.
    """
    queue = ask()
    try:
        cluster = cluster_settings()
    except SlurmError as error:
        raise UserError(f"hydra/launcher=slurm: {error}; nothing is submitted") from None
    check_cluster(folder, cluster)
    notes = []
    if abandoned := cancel_abandoned(folder):
        notes.append(f"cancelled, since the command that submitted them was killed: {', '.join(abandoned)}")
        queue = ask()
    free = [run for run in runs if _is_free(run, queue)]
    if not free:
        return _Submitted(notes=tuple(notes))
    size, each = array_size(cluster), runs_per_job(parameters)
    packs = [free[start : start + each] for start in range(0, len(free), each)]
    room = len(packs)
    if (most := most_jobs(parameters)) is not None and most - len(queue) < len(packs):
        room = max(0, most - len(queue))
        notes.append(f"you may have {most} jobs in the queue (MaxSubmitJobs), and {len(queue)} are there: {room} now")
        own = int(os.environ.get("SLURM_JOB_ID") in queue)  # this command's own job does not end while it waits
        if not room and wait and most > own:
            return _Submitted(later=free, most=most, notes=tuple(notes))
        if not room:
            raise UserError(f"hydra/launcher=slurm: {notes[-1]}; run the command again when some have ended")
    submitted, later = ([run for pack in part for run in pack] for part in (packs[:room], packs[room:]))
    for run in submitted:
        lock = RunLock(run.folder.path)
        lock.remove_if_stale(queue, lock.named())  # no command submits other jobs meanwhile
    threads = max(1, (parameters["cpus_per_task"] or 1) // each)
    jobs = [Job(pack, SlurmRun(pack[0], threads) if each == 1 else SlurmRuns(pack, threads)) for pack in packs[:room]]
    submission.submit(jobs, checked_settings(runs, parameters), size, stop)
    if each > 1:
        notes.append(f"{each} runs at the same time in each job")
    if len(submission.arrays) > 1:
        most_tasks = f"at most {size} jobs in a job array" if size > 1 else "no job arrays"
        notes.append(f"this cluster takes {most_tasks}: {len(submission.arrays)} arrays")
    if unused := sorted(name for name in os.environ if name.startswith("SBATCH_")):
        notes.append(f"{', '.join(unused)}: not used; the settings of the jobs are hydra.launcher.…")
    return _Submitted(submitted, later, most, tuple(notes))


def _is_free(run: RunConfig, queue: Mapping[str, str]) -> bool:
    """Return whether the run has no result, no process trains it, and no job waits for it."""
    state = state_of(run.folder, queue)
    return not state.done and state.outcome != "queued" and not RunLock(run.folder.path).is_owned(queue)


def checked_queue() -> dict[str, str]:
    """Return the jobs in the queue; raise `UserError` if SLURM does not answer."""
    if (queue := jobs_in_queue()) is None:
        raise UserError(
            "hydra/launcher=slurm: squeue does not answer; use a machine with SLURM, or hydra/launcher=local"
        )
    return queue


def _try_to_say(message: str) -> None:
    """Write a line to stderr, unless its reader stands still."""
    with suppress(OSError, ValueError):  # ValueError: stderr is closed
        descriptor = sys.__stderr__.fileno() if sys.__stderr__ is not None else 2
        if select.select([], [descriptor], [], 1)[1]:
            os.write(descriptor, f"{message}\n".encode())
