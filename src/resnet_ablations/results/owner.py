"""The process that owns a run, and the question whether it has ended."""

import os
import socket
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

OWN_JOB = "RESNET_ABLATIONS_SLURM_JOB"
"""The environment variable in which a run that a sweep submitted to SLURM keeps the number of its job."""


class Owner(BaseModel):
    """The process that owns a run.

    A process number can be reused, so the start times of machine and process identify it too.
    """

    model_config = ConfigDict(frozen=True)

    host: str
    boot: str
    pid: int
    started: int
    """The start of the process, in clock ticks since the start of the machine; 0 if the system does not tell."""
    job: str = ""
    """The process's SLURM job."""
    restart: str = ""
    """The number of times that SLURM has requeued the job."""

    @classmethod
    def this_process(cls) -> Self:
        """Return the current process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return a process of this machine and of this SLURM job."""
        return cls(host=_host(), boot=_boot(), pid=pid, started=_started(pid), job=slurm_job(), restart=_restart())

    @property
    def name(self) -> str:
        """The process and its machine for a message."""
        return f"process {self.pid} on {self.host.partition(' ')[0]}"

    @property
    def is_of_this_machine(self) -> bool:
        """True if the process runs on this machine, in this process namespace.

        Machines may have the same name. A machine that has been started again counts as another one.
        """
        return (self.host, self.boot) == (_host(), _boot())

    def has_ended(self, jobs: Container[str] | None = None) -> bool | None:
        """Return whether the process has ended; None if this machine cannot know.

        `jobs` are the jobs in SLURM's queue, None if unknown.
        """
        if self.is_of_this_machine:
            try:
                started = _started(self.pid)
            except ProcessLookupError:
                return True
            # Without its start time, a process may be another one that has got the number.
            return None if 0 in (started, self.started) else started != self.started
        if not self.job:
            return None
        if self.job == slurm_job() and self.restart != _restart():
            # This process belongs to a later start of the same job, and SLURM runs a job once at a time.
            return True
        return None if jobs is None or self.job in jobs else True


def slurm_job() -> str:
    """Return the SLURM job of this process as `squeue` writes it (`12`, `12_3`); "" if no sweep submitted the job.

    A shell in a job of the user, or a notebook's server, is not the job of a run.
    """
    return os.environ.get(OWN_JOB, "")


def _restart() -> str:
    return os.environ.get("SLURM_RESTART_COUNT", "") if slurm_job() else ""


def _host() -> str:
    """Return the name of the machine and of the process namespace: a container numbers its processes by itself."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _boot() -> str:
    """Return the id of this start of the machine, or "" if the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> int:
    """Return the start time of a process of this machine, 0 if unknown; raise `ProcessLookupError` if it has ended.

    There are systems without /proc, and a /proc that hides the processes of other users (`hidepid`).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        with suppress(PermissionError):
            os.kill(pid, 0)
        return 0
    # The name, in parentheses, may contain anything; states Z and X are processes that have ended.
    state, *fields = stat.rpartition(")")[2].split()
    if state in "ZX":
        raise ProcessLookupError
    return int(fields[18])
