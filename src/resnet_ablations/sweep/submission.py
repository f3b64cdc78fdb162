"""The submission of runs to SLURM: all of them are submitted and released, or none."""

import os
import shlex
import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.slurm.slurm import _make_sbatch_string

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.sweep.slurm_commands import SlurmError, slurm
from resnet_ablations.sweep.squeue import jobs_of_scripts
from resnet_ablations.training.stopping import StopRequest

REQUEUES = 1_000_000
"""The number of time limits that submitit allows a job: without bound, since a run may need any number of jobs."""
SUBMIT_SECONDS = 60.0
"""The longest wait for `sbatch`, which tries again by itself while SLURM accepts no jobs."""

ACCEPT_SECONDS = 1800.0
"""The longest time after which SLURM may still accept a job whose `sbatch` was killed or has given up."""


@dataclass(frozen=True)
class Job:
    """A SLURM job that trains runs at the same time; `work` is what submitit calls on the job's node."""

    runs: Sequence[RunConfig]
    work: Callable[[], object]


class Submission:
    """The job arrays that one command submits.

    They are held until the folder of each run names its job; otherwise the submission could overwrite the status of a
    job that failed. The scripts of the arrays stay in `folder` until then: a script that is still there is a sign for
    `cancel_abandoned`.
    """

    def __init__(self, folder: Path) -> None:
        self.arrays: list[str] = []
        """The numbers of the arrays, which `sbatch` has answered."""
        self.is_open = False
        """True from the first `sbatch` until the jobs are released or cancelled."""
        self.is_released = False
        self.is_cancelled = False
        """True if SLURM has cancelled the released jobs."""
        self.rest = "; nothing is submitted"
        """The jobs that a failed submission has left in the queue, as the end of a message."""
        self._folder, self._name = folder, f"submit-{uuid.uuid4().hex[:12]}"
        self._before: list[tuple[RunFolder, str, Status | None]] = []
        """The folder of each run, its job and its earlier status."""
        self._unanswered: Path | None = None
        """The script of a job that SLURM may accept later, since it did not answer `sbatch`."""

    def submit(self, jobs: Sequence[Job], settings: Mapping[str, Any], most: int, stop: StopRequest) -> None:
        """Submit the jobs in arrays of at most `most`, write its job to each run's folder, and release the jobs.

        If SLURM rejects a job, or a signal arrives before the release, cancel all jobs, restore the runs' statuses, and
        raise `UserError` or `SystemExit`. The caller holds the `results_lock`.
        """
        self.is_open = True
        try:
            count = -(-len(jobs) // most)
            size, at_once = -(-len(jobs) // count), settings["array_parallelism"]
            together = min(count, at_once)  # so many arrays run at the same time; each other waits for an earlier one
            for number, start in enumerate(range(0, len(jobs), size)):
                _raise_if_stopped(stop)
                share = at_once // together + (number % together < at_once % together)
                own: dict[str, Any] = {"array_parallelism": share}
                if number >= together:
                    own["dependency"] = f"afterany:{self.arrays[number - together]}"
                self._add(jobs[start : start + size], {**settings, **own})
            _raise_if_stopped(stop)
            slurm("scontrol", "release", ",".join(self.arrays))
            self.is_released = True
        except BaseException as error:
            self._discard()
            if isinstance(error, SlurmError):
                advice = "; compare hydra.launcher's settings, such as time, with scontrol show partition"
                ending = self.rest + advice * (not error.is_unanswered)
                raise UserError(f"hydra/launcher=slurm: SLURM rejects the jobs: {error}{ending}") from None
            raise
        finally:
            self.is_open = False
        if stop.signal not in (None, signal.SIGHUP):
            self.cancel()
        for script in self._scripts():
            script.unlink()

    def cancel(self) -> None:
        """Cancel the released jobs, unless SLURM has done so before or is busy; a signal handler may call it too."""
        if self.is_released and not self.is_cancelled:
            with suppress(SlurmError):  # SLURM is busy; for jobs that have ended, scancel does not fail
                slurm("scancel", *self.arrays)
                self.is_cancelled = True

    def _add(self, jobs: Sequence[Job], settings: dict[str, Any]) -> None:
        """Submit a job array, and write to each run's folder which job is the run's."""
        python = settings.pop("python", None) or shlex.quote(sys.executable)
        command = f"{python} -u -m submitit.core._submit {shlex.quote(str(self._folder))}"
        if not settings.get("use_srun", True):
            command = f"exec {command}"
        tasks = len(jobs) if len(jobs) > 1 else None
        script = self._folder / f"{self._name}-{len(self.arrays)}.sh"
        self._folder.mkdir(parents=True, exist_ok=True)
        script.write_text(_make_sbatch_string(command, self._folder, map_count=tasks, **settings), encoding="utf-8")
        try:
            answer = slurm("sbatch", "--parsable", str(script), seconds=SUBMIT_SECONDS)
        except SlurmError as error:
            self._unanswered = script if error.is_unanswered else None
            raise
        array = answer.strip().partition(";")[0]
        self.arrays.append(array)
        for number, job in enumerate(jobs):
            name = array if tasks is None else f"{array}_{number}"
            delayed = DelayedSubmission(job.work)
            delayed.set_timeout(settings["time"] if isinstance(settings.get("time"), int) else 0, REQUEUES)
            delayed.dump(JobPaths(self._folder, name).submitted_pickle)
            for run in job.runs:
                step, steps = run.folder.resumable_from() or 0, run.schedule.iterations
                self._before.append((run.folder, name, run.folder.status()))
                run.folder.set_status(Status(outcome="queued", iteration=step, iterations=steps, job=name))

    def _discard(self) -> None:
        """Cancel the held jobs and restore the statuses of their runs."""
        scripts = self._scripts()
        try:
            # sbatch may have failed after SLURM has accepted the job.
            found = jobs_of_scripts(scripts)
            if jobs := {*self.arrays, *found}:
                slurm("scancel", *sorted(jobs))
        except SlurmError as error:
            known = " ".join(self.arrays) or "JOB, if squeue --me lists one that is held"
            self.rest = f"; jobs may still be held, since SLURM does not cancel them ({error})"
            self.rest += f"; later run: scancel {known}"
            return
        for folder, job, status in self._before:
            if (now := folder.status()) is not None and (now.outcome, now.job) == ("queued", job):
                folder.set_status(status)
            JobPaths(self._folder, job).submitted_pickle.unlink(missing_ok=True)
        if self._unanswered in {script for script, _ in found.values()}:
            self._unanswered = None
        if self._unanswered is not None:
            self.rest += "; if SLURM accepts the job later, it is held, and the same command cancels it"
        for script in scripts:
            if script != self._unanswered:
                script.unlink()

    def _scripts(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._name}-*.sh"))


def cancel_abandoned(folder: Path) -> list[str]:
    """Cancel the held jobs of commands that were killed before they released them, and return these jobs.

    The caller holds the `results_lock`, so no other command submits jobs now. A job that is not held was released.
    The script of a job that SLURM may still accept stays for the next command.
    """
    scripts = [script for script in folder.glob("submit-*.sh") if script.stat().st_uid == os.getuid()]
    if not scripts:
        return []
    try:
        found = jobs_of_scripts(scripts)
        if held := sorted(job for job, (_, reason) in found.items() if reason == "JobHeldUser"):
            slurm("scancel", *held)
    except SlurmError as error:
        reason = f"SLURM does not cancel the held jobs of a command that was killed: {error}"
        raise UserError(f"hydra/launcher=slurm: {reason}") from None
    accepted = {script for script, _ in found.values()}
    for script in scripts:
        if script in accepted or time.time() - script.stat().st_mtime > ACCEPT_SECONDS:
            script.unlink(missing_ok=True)
    return held


def _raise_if_stopped(stop: StopRequest) -> None:
    if stop.signal is not None:
        raise SystemExit(128 + stop.signal)
