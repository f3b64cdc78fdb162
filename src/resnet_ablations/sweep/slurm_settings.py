"""The settings of SLURM jobs: the launcher's parameters, and the limits of the cluster."""

import os
import pwd
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError, as_yaml
from resnet_ablations.sweep.slots import checked_runs_per_device
from resnet_ablations.sweep.slurm_commands import TIME_IS_UP, SlurmError, slurm

RESERVED = (
    *("array", "clusters", "dependency", "error", "export", "export-file", "hold", "no-requeue", "nodes", "ntasks"),
    *("ntasks-per-gpu", "ntasks-per-node", "open-mode", "output", "parsable", "requeue", "signal", "test-only", "time"),
    *("wait", "wrap"),
)
"""The options of `sbatch` that the launcher sets itself, or that change what `sbatch` answers."""

GPUS = ("gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task", "gres", "tres-per-task")
"""The options of `sbatch` that ask for GPUs; `runs_per_job` counts those of the launcher's own parameters."""


def checked_settings(runs: Sequence[RunConfig], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return submitit's parameters for the launcher's; raise `UserError` with every mistake."""
    settings = {name: value for name, value in parameters.items() if value is not None and name != "runs_per_device"}
    at_once, others, setup = (settings.get(name) for name in ("array_parallelism", "additional_parameters", "setup"))
    others = {} if others is None else others
    shapes = {(run.trainer.nodes, run.trainer.devices) for run in runs}
    has_tasks = shapes != {(1, 1)}
    per_device = checked_runs_per_device(parameters.get("runs_per_device"))
    options = {str(name).replace("_", "-") for name in others} if isinstance(others, dict) else set()
    mistakes = []
    if type(at_once) is not int or at_once < 1:
        mistakes.append(f"hydra.launcher.array_parallelism={as_yaml(at_once)}: must be a whole number from 1 on")
    if setup is not None and not (isinstance(setup, list) and all(isinstance(line, str) for line in setup)):
        mistakes.append(f"hydra.launcher.setup={setup}: must be a list of lines: ['module load cuda']")
    if not isinstance(others, dict):
        mistakes.append(f"hydra.launcher.additional_parameters={others}: must be a mapping: {{reservation: NAME}}")
    elif reserved := sorted(options & set(RESERVED)):
        mistakes.append(f"hydra.launcher.additional_parameters={others}: {', '.join(reserved)}: remove; not supported")
    elif per_device is not None and (gpus := sorted(options & set(GPUS))):
        mistakes.append(
            f"hydra.launcher.additional_parameters={others}: {', '.join(gpus)}: with runs_per_device, ask for GPUs by "
            "hydra.launcher.gpus_per_node=N"
        )
    if (python := settings.get("python")) is not None and not isinstance(python, str):
        mistakes.append(
            f"hydra.launcher.python={as_yaml(python)}: must be a shell command: 'apptainer exec a.sif python'"
        )
    if type(use_srun := settings.get("use_srun", True)) is not bool:
        mistakes.append(f"hydra.launcher.use_srun={as_yaml(use_srun)}: must be true or false")
    if len(shapes) > 1:
        mistakes.append("trainer.devices and trainer.nodes must be the same in all runs of a sweep")
    if has_tasks and not use_srun:
        mistakes.append("hydra.launcher.use_srun=false: srun starts the tasks of a run on several devices; remove")
    if has_tasks and (per_device or 1) > 1:
        mistakes.append("hydra.launcher.runs_per_device: runs on several devices do not share them; must be 1 or null")
    if set("%\\") & set(str(results := folder_of_jobs(runs).parent)):
        mistakes.append(
            f"paths.results={results}: % and \\ mean something else in SLURM's file names; choose another folder"
        )
    if mistakes:
        raise UserError(*(f"hydra/launcher=slurm: {mistake}" for mistake in mistakes))
    if has_tasks:
        ((nodes, devices),) = shapes
        # All tasks of a job end when one fails.
        settings |= {"nodes": nodes, "ntasks_per_node": devices, "srun_args": ["--kill-on-bad-exit=1"]}
    # Without srun, the shell of the script is the job's only process: Python takes its place, and gets the signal.
    receiver = "" if use_srun else "B:"
    name, delay = TIME_IS_UP.name.removeprefix("SIG"), settings.get("signal_delay_s", 90)
    flags = {"requeue": True, "hold": True, "signal": f"{receiver}{name}@{delay}"}
    settings["additional_parameters"] = flags | {
        str(name): value for name, value in others.items() if value is not None
    }
    return settings


def folder_of_jobs(runs: Sequence[RunConfig]) -> Path:
    """Return the folder for the scripts and the output of jobs."""
    return Path(runs[0].paths.results).resolve() / "slurm"


def runs_per_job(parameters: Mapping[str, Any]) -> int:
    """Return how many runs a job trains at the same time: `runs_per_device` on each of its GPUs, or on its cores."""
    per_device = checked_runs_per_device(parameters.get("runs_per_device"))
    if per_device is None:
        return 1
    asked = str(parameters.get("gpus_per_node") or "")
    if found := re.search(r"\bgpu(?::[^:,]+)??(?::(\d+))?(?:,|$)", str(parameters.get("gres") or "")):
        asked = asked or found[1] or "1"
    gpus = asked.rpartition(":")[2]  # [type:]number
    return per_device * (int(gpus) if gpus.isdecimal() else 1)


def array_size(cluster: Mapping[str, str]) -> int:
    """Return the largest number of tasks that the cluster takes in a job array, 1 if it has no job arrays."""
    limits = re.findall(r"max_array_tasks=(\d+)", cluster.get("SchedulerParameters", ""))
    if not (largest := cluster.get("MaxArraySize", "")).isdecimal():
        raise UserError("hydra/launcher=slurm: `scontrol show config` does not tell MaxArraySize, the cluster's limit")
    return max(1, min(map(int, [largest, *limits])))


def most_jobs(parameters: Mapping[str, Any]) -> int | None:
    """Return how many jobs this user may have in the queue (MaxSubmitJobs); None if there is no limit or none is known.

    The limits are those of the user's association and of its QOS. They are unknown without accounting.
    """
    account, partition, qos = (parameters.get(name) for name in ("account", "partition", "qos"))
    limits: list[str] = []
    with suppress(SlurmError, KeyError):  # no accounting; a uid without a name
        user = f"user={pwd.getpwuid(os.getuid()).pw_name}"
        accounts = [[account]] if account else _sacctmgr("user", user, "format=defaultaccount")
        fields = "format=account,partition,maxsubmit,defaultqos"
        for of_account, of_partition, most, usual in _sacctmgr("association", user, fields):
            if [of_account] in accounts and of_partition in ("", partition):
                limits.append(most)
                qos = qos or usual
        limits += [most for name, most in _sacctmgr("qos", "format=name,maxsubmitpu") if name == qos]
    return min((int(most) for most in limits if most.isdecimal()), default=None)


def _sacctmgr(*query: str) -> list[list[str]]:
    lines = slurm("sacctmgr", "--noheader", "--parsable2", "show", *query).splitlines()
    return [line.split("|") for line in lines if line]
