"""One owner a run: whoever trains it has a claim in its folder, and the claim of a dead owner is taken over."""

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

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

    @classmethod
    def this_process(cls) -> Self:
        """The process that asks."""
        return cls(host=socket.gethostname(), boot=_boot(), pid=os.getpid(), started=_started(os.getpid()) or 0)

    def is_dead(self, last_beat: float) -> bool:
        """Whether it is known to be gone; `last_beat` is when it last gave a sign of life."""
        if self.host != socket.gethostname():
            return time.time() - last_beat > DEAD_AFTER_SECONDS
        return self.boot != _boot() or _started(self.pid) != self.started


class Claimed(Exception):
    """Another process, alive, has the run."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(f"being trained by process {owner.pid} on {owner.host}")
        self.owner = owner


class Claim:
    """The claim on a run's folder, held as a context; entering raises `Claimed` where somebody alive has it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "claim.json"
        self._released = threading.Event()

    def owner(self) -> Owner | None:
        """Who has the run and is alive."""
        try:
            owner = Owner.model_validate_json(self._path.read_bytes())
            last_beat = self._path.stat().st_mtime
        except (FileNotFoundError, ValidationError):
            return None
        return None if owner.is_dead(last_beat) else owner

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self._path.parent):
            if (owner := self.owner()) is not None:
                raise Claimed(owner)
            self._path.write_text(Owner.this_process().model_dump_json() + "\n", encoding="utf-8")
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
            try:
                os.utime(self._path)
            except FileNotFoundError:
                return


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the folder itself is locked, so that no file is left."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


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
