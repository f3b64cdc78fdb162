"""Locks on files, and the lock that makes one process the owner of a run."""

import errno
import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from resnet_ablations.errors import UserError, reason_of
from resnet_ablations.results.owner import Owner

HEARTBEAT_SECONDS = 10.0
"""The time between two heartbeats of an owner."""
DEAD_AFTER_SECONDS = 300.0
"""The time without a heartbeat after which an owner on another machine counts as dead."""
LOCK_SECONDS = 60.0
"""The longest wait for the lock of a file, which other processes hold for milliseconds."""
SUBMISSION_SECONDS = 600.0
"""The longest wait for another command that submits runs."""
QUIET_SECONDS = 2.0
"""Seconds of waiting for a lock before a line says so."""
POLL_SECONDS = 0.05
"""The time between two tries to lock a file."""

PASSING = (errno.ESTALE, errno.EIO, errno.ETIMEDOUT)
"""The errors of a file server that may answer again."""

NO_FILE = (errno.EISDIR, errno.ELOOP, errno.ENXIO)
"""The errors for a folder, a link to itself and a socket in the place of a file; a link to nothing has others."""


class FileLocked(UserError):
    """Another process holds the lock of a file."""


class RunLocked(Exception):
    """Another process that may be alive owns the run."""


class RunLost(RunLocked):
    """Another process has taken the run over, because this owner seemed dead; this process must stop writing."""


@contextmanager
def file_lock(path: Path, *, seconds: float | None = None, create: bool = True) -> Iterator[int]:
    """Hold an exclusive lock on a file, and yield the file's descriptor; by default, create the file.

    Raise `FileLocked` if another process has it for longer than `seconds`, by default `LOCK_SECONDS`, and another
    `UserError` if this user may not write the file or the file server keeps failing. The lock holds across machines if
    the file is open for writing. A folder cannot be, so it cannot be locked over NFS.
    """
    with _locked(path, LOCK_SECONDS if seconds is None else seconds, create) as file:
        yield file.fileno()


def _locked(path: Path, seconds: float, create: bool) -> FileIO:
    """Return a file that is open and locked; closing the file releases the lock."""
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDWR
    began, said = time.monotonic(), False
    while True:
        waited = time.monotonic() - began
        try:
            # A signal handler may raise here: closing the file object releases the lock.
            with ExitStack() as stack:
                file = stack.enter_context(os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0))
                if _lock(file.fileno(), path):
                    stack.pop_all()
                    return file
        except PermissionError:
            raise UserError(f"{path}: may not be written; its owner can allow it: chmod g+w") from None
        except OSError as error:
            if error.errno in NO_FILE or (path.is_symlink() and not path.exists()):
                raise UserError(f"{path}: cannot be locked: {reason_of(error)}; remove it") from None
            if error.errno not in PASSING:
                raise
            if waited >= seconds:
                raise UserError(f"{path}: cannot be locked: {reason_of(error)}") from None
        else:
            if waited >= seconds:
                raise FileLocked(
                    f"{path}: another process has held this lock for {seconds:.0f} s; if that process is suspended, "
                    "resume it or end it"
                )
        if not said and waited > QUIET_SECONDS:
            said = True
            print(f"waiting for the lock {path}, which another process holds", file=sys.stderr, flush=True)
        time.sleep(POLL_SECONDS)


def _lock(descriptor: int, path: Path) -> bool:
    """Lock a file; return False if another process has locked it, or has removed or replaced it meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


@contextmanager
def results_lock(results: Path) -> Iterator[None]:
    """Hold the lock for submissions of a results folder: one command at a time submits runs."""
    with file_lock(results / ".submission.lock", seconds=SUBMISSION_SECONDS):
        yield


@dataclass
class _Watch:
    """The last heartbeat of an owner that this process has noticed."""

    owner: Owner
    heartbeat: int
    """The time of the file, which each heartbeat changes; no clock is compared with it."""
    noticed: float
    """The time on the monotonic clock of this process."""
    is_alive: bool
    """True if this process has seen the heartbeat come."""


_watches: dict[Path, _Watch] = {}


class RunLock:
    """The lock on a run's folder, a context manager; entering raises `RunLocked` if a live process owns the run.

    An owner on another machine counts as dead if the process that asks has seen no heartbeat for `DEAD_AFTER_SECONDS`
    on its own clock. The owner may only have been suspended. So an owner writes only inside `held`. `process` is the
    process that enters the lock, by default this one.

    The file is called `claim.json` so that sweeps started by an earlier version of the package see it too. Whoever
    changes the file holds its `file_lock`.
    """

    def __init__(self, folder: Path, process: Owner | None = None) -> None:
        self._path = folder / "claim.json"
        self._released = threading.Event()
        self.process = process or Owner.this_process()

    def owner(self, jobs: Container[str] | None = None) -> Owner | None:
        """Return the owner if it may be alive; `jobs` as in `Owner.has_ended`.

        Raise `UserError` if the file cannot be read.
        """
        return self._look(jobs)[0]

    def is_owned(self, jobs: Container[str] | None = None) -> bool:
        """Return whether a process that may be alive owns the run; False if the file cannot be read.

        Then the process that is to train the run fails, and says why.
        """
        with suppress(UserError):
            return self.owner(jobs) is not None
        return False

    def is_uncertain(self, jobs: Container[str] | None = None) -> bool:
        """Return whether there is an owner of which this process cannot know yet that it is alive."""
        with suppress(UserError):
            owner, is_certain = self._look(jobs)
            return owner is not None and not is_certain
        return False

    def named(self) -> Owner | None:
        """Return the process that the file names, alive or not; None if there is none or the file cannot be read."""
        with suppress(OSError):
            return self._read()[0]
        return None

    def silence(self) -> str:
        """Return how long an uncertain owner has sent no heartbeat, "" if that is short.

        The clocks of two machines may differ, so nothing but a message may depend on it.
        """
        owner = file = None
        with suppress(OSError):
            owner, file = self._read()
        if owner is None or file is None or owner.has_ended() is not None:
            return ""
        seconds = round(time.time() - file.st_mtime)
        if seconds < DEAD_AFTER_SECONDS:
            return ""
        return f"no heartbeat of {owner.name} for {timedelta(seconds=seconds)}; it may have been killed"

    @contextmanager
    def held(self, *, seconds: float | None = None) -> Iterator[None]:
        """Let no process take the run over inside the context; raise `RunLost` unless `process` owns the run."""
        with ExitStack() as stack:
            try:
                file = stack.enter_context(file_lock(self._path, seconds=seconds, create=False))
            except FileNotFoundError:
                raise _lost(None) from None
            if (owner := _parsed(os.pread(file, 1 << 16, 0))) != self.process:
                raise _lost(owner)
            yield

    @contextmanager
    def free(
        self, jobs: Container[str] | None = None, owner: Owner | None = None, *, seconds: float | None = None
    ) -> Iterator[None]:
        """Let no process own the run inside the context; raise `RunLocked` if one that may be alive owns it.

        The lock of a dead owner is removed. `jobs` as in `Owner.has_ended`. They are used only if the file still names
        `owner`, as it did before squeue was asked: the job of a later owner is not among them. `seconds` as in
        `file_lock`.
        """
        self._check_free(jobs)  # a live owner may hold the lock for some time while it writes
        with file_lock(self._path, seconds=seconds):
            self._check_free(jobs if self.named() == owner else None)
            try:
                yield
            finally:
                self._path.unlink(missing_ok=True)

    def remove_if_stale(self, jobs: Container[str] | None = None, owner: Owner | None = None) -> None:
        """Remove the lock of a dead owner, if this user may and no process has the file; arguments as in `free`.

        A lock that stays is a matter of its run alone: the process that trains the run waits for it or fails.
        """
        with suppress(RunLocked, UserError, OSError):
            if self._path.exists():
                with self.free(jobs, owner, seconds=0):
                    pass

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._check_free()
        with file_lock(self._path) as file:
            self._check_free()
            # The file is overwritten, not replaced: another process may be waiting for the lock of this file. A process
            # that reads a part of the text finds no owner; a process that has the lock reads all of it.
            content = f"{self.process.model_dump_json()}\n".encode()
            if os.pwrite(file, content, 0) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.truncate(file, len(content))
        threading.Thread(target=self._send_heartbeats, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        # A lock that stays is stale when this process has ended.
        with suppress(RunLost, UserError, OSError), self.held(seconds=HEARTBEAT_SECONDS):
            self._path.unlink()

    def _check_free(self, jobs: Container[str] | None = None) -> None:
        if (owner := self.owner(jobs)) is None:
            return
        message = f"{owner.name} trains it"
        if self.is_uncertain(jobs):
            message += f" or was killed; without a heartbeat for {DEAD_AFTER_SECONDS:.0f} s it counts as killed"
        raise RunLocked(message)

    def _look(self, jobs: Container[str] | None) -> tuple[Owner | None, bool]:
        """Return the owner if it may be alive, and whether that is certain; raise `UserError` as `owner` does."""
        owner, file = self._read_patiently()
        if owner is None or file is None:
            return None, True
        if file.st_uid != os.getuid():
            jobs = None  # squeue lists only this user's jobs
        ended = owner.has_ended(jobs)
        if ended is not None:
            return None if ended else owner, True
        watch = _watches.get(self._path)
        if watch is None or (watch.owner, watch.heartbeat) != (owner, file.st_mtime_ns):
            is_alive = watch is not None and watch.owner == owner
            watch = _watches[self._path] = _Watch(owner, file.st_mtime_ns, time.monotonic(), is_alive)
        if time.monotonic() - watch.noticed > DEAD_AFTER_SECONDS:
            return None, True
        # SLURM ends or starts again the jobs in its queue.
        return owner, watch.is_alive or (jobs is not None and owner.job in jobs)

    def _read_patiently(self) -> tuple[Owner | None, os.stat_result | None]:
        """Return as `_read`; give the file server `QUIET_SECONDS` to answer. Raise `UserError` if it does not."""
        began = time.monotonic()
        while True:
            try:
                return self._read()
            except PermissionError:
                raise UserError(f"{self._path}: may not be read; its owner can allow it: chmod g+rw") from None
            except OSError as error:
                if error.errno not in PASSING or time.monotonic() - began > QUIET_SECONDS:
                    raise UserError(f"{self._path}: cannot be read: {reason_of(error)}") from None
            time.sleep(POLL_SECONDS)

    def _read(self) -> tuple[Owner | None, os.stat_result | None]:
        """Return the process that the file names and the attributes of the file; None if there is none."""
        try:
            # NFS asks the server for the attributes of a file that is opened, and else returns older ones.
            with self._path.open("rb") as file:
                return _parsed(file.read()), os.fstat(file.fileno())
        except FileNotFoundError:
            return None, None

    def _send_heartbeats(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # the file server may answer again
                if self._read()[0] not in (self.process, None):
                    return
                os.utime(self._path)


def await_heartbeats(
    locks: Sequence[RunLock], jobs: Container[str] | None = None, stopped: Callable[[], bool] = lambda: False
) -> None:
    """Wait until this process knows of each owner whether it is alive: until a heartbeat, or `DEAD_AFTER_SECONDS`.

    Print what is waited for. End early if `stopped` is true. `jobs` as in `Owner.has_ended`: this function does not
    wait for an owner whose job is among them.
    """
    waiting = [lock for lock in locks if lock.is_uncertain(jobs)]
    names = sorted({owner.name for lock in waiting if (owner := lock.owner(jobs)) is not None})
    if names:
        print(
            f"waiting for a heartbeat of {', '.join(names)}; without one for {DEAD_AFTER_SECONDS:.0f} s, the run is "
            "taken over",
            file=sys.stderr,
            flush=True,
        )
    while waiting and not stopped():
        time.sleep(max(POLL_SECONDS, HEARTBEAT_SECONDS / 10))
        waiting = [lock for lock in waiting if lock.is_uncertain(jobs)]


def _parsed(content: bytes) -> Owner | None:
    with suppress(ValidationError):
        return Owner.model_validate_json(content)
    return None


def _lost(owner: Owner | None) -> RunLost:
    by = "another process" if owner is None else owner.name
    removed = ", or its lock was removed" if owner is None else ""
    return RunLost(f"{by} has taken the run over{removed}; this process stops")
