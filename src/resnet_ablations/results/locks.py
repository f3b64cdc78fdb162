"""Locks on files, and the lock that makes one process the owner of a run."""

import fcntl
import os
import socket
import tempfile
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from resnet_ablations.results.atomic_write import write_atomically

HEARTBEAT_SECONDS = 10.0
"""The time between two heartbeats of an owner."""
DEAD_AFTER_SECONDS = 300.0
"""The time without a heartbeat after which an owner on another machine counts as dead."""

OWN_JOB = "RESNET_ABLATIONS_SLURM_JOB"
"""The environment variable in which a run that a sweep submitted to SLURM keeps the number of its job."""


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on a file, which stays there; raise `BlockingIOError` if it is taken and `wait` is false.

    The lock holds across machines: NFS passes on the lock of a file that is open for writing, but not of a folder.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


@contextmanager
def results_lock(results: Path) -> Iterator[None]:
    """Hold the lock of a results folder."""
    with file_lock(results / ".lock"):
        yield


class Owner(BaseModel):
    """The process that owns a run.

    A process number can be reused, so the start times of machine and process identify it too.
    """

    model_config = ConfigDict(frozen=True)

    host: str
    boot: str
    pid: int
    started: int
    """The start of the process, in clock ticks since the start of the machine."""
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
        return cls(host=_host(), boot=_boot(), pid=pid, started=_started(pid) or 0, job=slurm_job(), restart=_restart())

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
            return _started(self.pid) != self.started
        if self.job and self.job == slurm_job() and self.restart != _restart():
            # This process belongs to a later start of the same job, and SLURM runs a job once at a time.
            return True
        return True if self.job and jobs is not None and self.job not in jobs else None


class RunLocked(Exception):
    """Another process that is alive owns the run."""

    def __init__(self, owner: Owner) -> None:
        message = f"locked by {_name(owner)}, which trains it"
        if not owner.is_of_this_machine:
            message += f" or was stopped less than {DEAD_AFTER_SECONDS:.0f} s ago"
        super().__init__(message)


class RunLost(RunLocked):
    """Another process has taken the run over, because this owner seemed dead; this process must stop writing."""

    def __init__(self, owner: Owner | None) -> None:
        other = "another process" if owner is None else _name(owner)
        Exception.__init__(self, f"{other} has taken the run over; this process stops and writes nothing more")


class RunLock:
    """The lock on a run's folder, a context manager; entering raises `RunLocked` if a live process owns the run.

    An owner on another machine counts as dead if it has sent no heartbeat for `DEAD_AFTER_SECONDS`, by the clock of the
    file server. It may only have been suspended. So an owner calls `check` before it writes, and writes the result
    inside `kept`. `holder` is the process that has entered the lock, by default this one.

    The file is called `claim.json` so that sweeps started by an earlier version of the package see it too.
    """

    def __init__(self, folder: Path, holder: Owner | None = None) -> None:
        self._path = folder / "claim.json"
        self._results = folder.parents[1]
        self._released = threading.Event()
        self._holder = holder

    @property
    def holder(self) -> Owner:
        """The process that has entered the lock or would enter it."""
        return self._holder or Owner.this_process()

    def owner(self, jobs: Container[str] | None = None) -> Owner | None:
        """Return the owner if it is alive; `jobs` as in `Owner.has_ended`."""
        owner, file = self._read()
        if owner is None or file is None:
            return None
        # squeue lists only this user's jobs.
        ended = owner.has_ended(jobs if file.st_uid == os.getuid() else None)
        if ended is None:
            ended = _time_of_file_server(self._path.parent) - file.st_mtime > DEAD_AFTER_SECONDS
        return None if ended else owner

    def check(self) -> None:
        """Raise `RunLost` unless the holder still owns the run."""
        if (owner := self._read()[0]) != self.holder:
            raise RunLost(owner)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Let no process take the run over inside the context; raise `RunLost` if one has."""
        with results_lock(self._results):
            self.check()
            yield

    def remove_if_stale(self, jobs: Container[str] | None = None) -> None:
        """Remove the lock of a dead owner; the caller holds the `results_lock`. `jobs` as in `Owner.has_ended`."""
        if self.owner(jobs) is None:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with results_lock(self._results):
            if (owner := self.owner()) is not None:
                raise RunLocked(owner)
            self._holder = self.holder
            write_atomically(self._path, self._holder.model_dump_json() + "\n")
        threading.Thread(target=self._send_heartbeats, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        with suppress(RunLost, FileNotFoundError), self.kept():
            self._path.unlink()

    def _read(self) -> tuple[Owner | None, os.stat_result | None]:
        """Return the process that the file names and the attributes of the file; None if the file cannot be read."""
        try:
            # NFS asks the server for the attributes of a file that is opened, and else returns older ones.
            with self._path.open("rb") as file:
                return Owner.model_validate_json(file.read()), os.fstat(file.fileno())
        except (FileNotFoundError, ValidationError):
            return None, None

    def _send_heartbeats(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # the file server may answer again
                if self._read()[0] != self.holder:
                    return
                os.utime(self._path)


def _time_of_file_server(folder: Path) -> float:
    """Return the time at which a new file in the folder is written; 0 if none can be written there.

    The clocks of two machines differ, but the server of their common file system gives all files their times.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".clock.") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return 0.0


def _name(owner: Owner) -> str:
    return f"process {owner.pid} on {owner.host.partition(' ')[0]}"


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


def _started(pid: int) -> int | None:
    """Return the start time of a process of this machine; None if it is not alive, 0 on systems without /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _zero_if_alive(pid)
    except OSError:
        return None
    # The name, in parentheses, may contain anything; states Z and X are processes that have ended.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def _zero_if_alive(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0
