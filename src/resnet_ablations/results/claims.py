"""One owner a run: whoever trains it has a claim in its folder, and the claim of a dead owner is taken over."""

import os
import socket
import threading
import time
from collections.abc import Container
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from resnet_ablations.results.files import locked

BEAT_SECONDS = 10.0
"""From one sign of life to the next."""
DEAD_AFTER_SECONDS = 300.0
"""Without a sign of life an owner on another machine counts as dead; one on this machine is looked up."""


class Owner(BaseModel):
    """A process, told from any other that ever had its number."""

    model_config = ConfigDict(frozen=True)

    host: str
    boot: str
    pid: int
    started: int
    """In clock ticks since the machine's start."""
    job: str = ""
    """The SLURM job it belongs to."""
    restart: str = ""
    """How often SLURM has requeued that, where it has."""

    @classmethod
    def this_process(cls) -> Self:
        """The process that asks."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Self:
        """A process of this machine, and of this job where there is one."""
        return cls(host=_host(), boot=_boot(), pid=pid, started=_started(pid) or 0, job=slurm_job(), restart=_restart())

    def is_dead(self, last_beat: float, jobs: Container[str] | None = None) -> bool:
        """Whether it is known to be gone.

        `last_beat` is when it last gave a sign of life, `jobs` are those of SLURM that are there, where that is known.
        """
        if self.host == _host():
            return self.boot != _boot() or _started(self.pid) != self.started
        if self.job and self.job == slurm_job() and self.restart != _restart():
            # SLURM runs a job once at a time: the one before this, requeued, is over.
            return True
        if self.job and jobs is not None and self.job not in jobs:
            return True
        return time.time() - last_beat > DEAD_AFTER_SECONDS


class Claimed(Exception):
    """Another process, alive, has the run."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(f"being trained by process {owner.pid} on {owner.host.partition(' ')[0]}")
        self.owner = owner


class Claim:
    """The claim on a run's folder, held as a context; entering raises `Claimed` where somebody alive has it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "claim.json"
        self._released = threading.Event()

    def owner(self, jobs: Container[str] | None = None) -> Owner | None:
        """Who has the run and is alive; for `jobs` see `Owner.is_dead`."""
        try:
            owner = Owner.model_validate_json(self._path.read_bytes())
            last_beat = self._path.stat().st_mtime
        except (FileNotFoundError, ValidationError):
            return None
        return None if owner.is_dead(last_beat, jobs) else owner

    def drop_dead(self, jobs: Container[str]) -> None:
        """Remove the claim of a dead owner, where it takes the `jobs` to know that it is dead."""
        if self._path.exists():
            with locked(self._path.parent):
                if self.owner(jobs) is None:
                    self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._path.parent):
            if (owner := self.owner()) is not None:
                raise Claimed(owner)
            self._path.write_text(Owner.this_process().model_dump_json() + "\n", encoding="utf-8")
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        if self.owner() == Owner.this_process():  # and not one that took this for dead
            self._path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what a killed owner left."""
        if self.owner() is None:
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
            try:
                os.utime(self._path)
            except FileNotFoundError:
                return


def slurm_job() -> str:
    """The SLURM job that this process belongs to, as `squeue` writes it: `12`, `12_3`; empty outside SLURM."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def _restart() -> str:
    return os.environ.get("SLURM_RESTART_COUNT", "")


def _host() -> str:
    """The machine, and the numbering of processes on it that is ours: a container has its own."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _boot() -> str:
    """What differs from one start of this machine to the next, where the system tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """When a process of this machine started; None where there is none, 0 where the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _alive(pid)
    except OSError:
        return None
    # Before the parenthesis stand the number and the name, which may hold anything; Z is dead but not yet buried.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def _alive(pid: int) -> int | None:
    """0 for a process that is there; for systems without /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0
