"""The submission of runs to SLURM: all of them are submitted and released, or none."""

import re
import shlex
import signal
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.slurm.slurm import _make_sbatch_string

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError, as_yaml
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.sweep.slurm_commands import SlurmError, slurm
from resnet_ablations.sweep.squeue import squeue
from resnet_ablations.training.stopping import StopRequest

REQUEUES = 1_000_000
"""The number of time limits that submitit allows a job: without bound, since a run may need any number of jobs."""
SUBMIT_SECONDS = 60.0
"""The longest wait for `sbatch`, which tries again by itself while SLURM accepts no jobs."""
TIME_IS_UP = signal.SIGUSR2
"""The signal that SLURM sends before a job's time is up."""
RESERVED = ("array", "clusters", "hold", "test-only", "wait")
"""The options of `sbatch` that the launcher sets itself, or that change what `sbatch` answers."""


def submit(
    runs: Sequence[RunConfig],
    jobs: Sequence[Callable[[], object]],
    parameters: Mapping[str, Any],
    folder: Path,
    stop: StopRequest,
) -> list[str]:
    """Submit the job of each run, write its number to the run's folder, and return the numbers of the job arrays.

    If SLURM rejects a job, or a signal arrives before the jobs are released, cancel all of them, restore the runs'
    statuses, and raise `UserError` or `SystemExit`. The caller holds the `results_lock`.
    """
    settings, at_once = checked_settings(runs, parameters, folder), parameters["array_parallelism"]
    submission = _Submission(folder)
    try:
        count = -(-len(runs) // (most := array_size()))
        if count > 1:
            print(f"this cluster takes at most {most} runs in a job array: {count} arrays", flush=True)
        size = -(-len(runs) // count)
        lanes = min(count, at_once)  # the arrays that run at the same time; each further one waits for an earlier one
        for number, start in enumerate(range(0, len(runs), size)):
            own: dict[str, Any] = {"array_parallelism": at_once // lanes + (number % lanes < at_once % lanes)}
            if number >= lanes:
                own["dependency"] = f"afterany:{submission.arrays[number - lanes]}"
            submission.add(runs[start : start + size], jobs[start : start + size], settings | own)
        if stop.signal is not None:
            raise SystemExit(128 + stop.signal)
        slurm("scontrol", "release", ",".join(submission.arrays))
    except BaseException as error:
        left = submission.cancel()
        if isinstance(error, SlurmError):
            raise UserError(f"hydra/launcher=slurm: SLURM rejects the jobs: {error}{left}") from None
        print(f"stopped before the jobs began{left}", flush=True)
        raise
    return submission.arrays


def array_size() -> int:
    """Return the largest number of tasks that this cluster takes in a job array."""
    limits = re.findall(r"\b(?:MaxArraySize\s*=\s*|max_array_tasks=)(\d+)", slurm("scontrol", "show", "config"))
    return max(1, min(map(int, limits), default=1))


def checked_settings(runs: Sequence[RunConfig], parameters: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return submitit's parameters for the launcher's; raise `UserError` with every mistake."""
    settings = {name: value for name, value in parameters.items() if value is not None}
    at_once, others, setup = (settings.get(name) for name in ("array_parallelism", "additional_parameters", "setup"))
    others = {} if others is None else others
    shapes = {(run.trainer.nodes, run.trainer.devices) for run in runs}
    mistakes = []
    if type(at_once) is not int or at_once < 1:
        mistakes.append(f"hydra.launcher.array_parallelism={as_yaml(at_once)}: must be a whole number from 1 on")
    if setup is not None and not (isinstance(setup, list) and all(isinstance(line, str) for line in setup)):
        mistakes.append(f"hydra.launcher.setup={setup}: must be a list of lines: ['module load cuda']")
    if not isinstance(others, dict):
        mistakes.append(f"hydra.launcher.additional_parameters={others}: must be a mapping: {{reservation: NAME}}")
    elif reserved := sorted({str(name).replace("_", "-") for name in others} & set(RESERVED)):
        mistakes.append(f"hydra.launcher.additional_parameters={others}: {', '.join(reserved)}: remove; not supported")
    if len(shapes) > 1:
        mistakes.append("trainer.devices and trainer.nodes must be the same in all runs of a sweep")
    if set("%\\") & set(str(folder)):
        mistakes.append(
            f"paths.results={folder.parent}: % and \\ mean something else in SLURM's file names; choose another folder"
        )
    if mistakes:
        raise UserError(*(f"hydra/launcher=slurm: {mistake}" for mistake in mistakes))
    ((nodes, devices),) = shapes
    if (nodes, devices) != (1, 1):
        # All tasks of a job end when one fails.
        settings |= {"nodes": nodes, "ntasks_per_node": devices, "srun_args": ["--kill-on-bad-exit=1"]}
    # Jobs are held until each folder names its job; otherwise this could overwrite the status of a job that failed.
    flags = {
        "requeue": True,
        "hold": True,
        "signal": f"{TIME_IS_UP.name.removeprefix('SIG')}@{settings.get('signal_delay_s', 90)}",
    }
    settings["additional_parameters"] = flags | {
        str(name): value for name, value in others.items() if value is not None
    }
    return settings


class _Submission:
    """The job arrays that are submitted together."""

    def __init__(self, folder: Path) -> None:
        self.arrays: list[str] = []
        """The numbers of the arrays, which `sbatch` has answered."""
        self._folder, self._name = folder, f"submit-{uuid.uuid4().hex[:12]}"
        self._before: list[tuple[RunFolder, str, Status | None]] = []
        """The folder of each run, its job and its earlier status."""

    def add(self, runs: Sequence[RunConfig], jobs: Sequence[Callable[[], object]], settings: dict[str, Any]) -> None:
        """Submit a job array, and write to each run's folder which job is the run's."""
        python = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(self._folder))}"
        tasks = len(runs) if len(runs) > 1 else None
        script = self._folder / f"{self._name}-{len(self.arrays)}.sh"
        self._folder.mkdir(parents=True, exist_ok=True)
        script.write_text(_make_sbatch_string(python, self._folder, map_count=tasks, **settings), encoding="utf-8")
        array = slurm("sbatch", "--parsable", str(script), seconds=SUBMIT_SECONDS).strip().partition(";")[0]
        self.arrays.append(array)
        for number, (run, job) in enumerate(zip(runs, jobs, strict=True)):
            name = array if tasks is None else f"{array}_{number}"
            delayed = DelayedSubmission(job)
            delayed.set_timeout(settings["time"] if isinstance(settings.get("time"), int) else 0, REQUEUES)
            delayed.dump(JobPaths(self._folder, name).submitted_pickle)
            step, steps = run.folder.resumable_from() or 0, run.schedule.iterations
            self._before.append((run.folder, name, run.folder.status()))
            run.folder.set_status(Status(outcome="queued", iteration=step, iterations=steps, job=name))

    def cancel(self) -> str:
        """Cancel the jobs and restore the statuses of their runs; return the end of the message."""
        scripts = list(self._folder.glob(f"{self._name}-*.sh"))
        try:
            # sbatch may have failed after SLURM has accepted the job.
            queued = [line.partition(" ") for line in squeue("--format=%F %o").splitlines()] if scripts else []
            if jobs := {*self.arrays, *(job for job, _, script in queued if Path(script).name.startswith(self._name))}:
                slurm("scancel", *sorted(jobs))
        except SlurmError as error:
            known = " ".join(self.arrays) or "JOB, if squeue --me lists one that is held"
            return f"; jobs may still be held, since SLURM does not cancel them ({error}); later run: scancel {known}"
        for folder, job, status in self._before:
            if (now := folder.status()) is not None and (now.outcome, now.job) == ("queued", job):
                folder.restore_status(status)
            JobPaths(self._folder, job).submitted_pickle.unlink(missing_ok=True)
        for script in scripts:
            script.unlink()
        return "; nothing is submitted"
