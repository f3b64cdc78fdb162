"""Faults at an exact moment of a process; Python imports a module of this name, if it is on the path, at its start.

`MACHINE` in the environment, if set, is a boot id: the process believes to be on another machine, which has the name of
the real one. `AHEAD` are the seconds by which its clock is fast, `PATIENCE` those after which a silent owner counts as
dead; it sends heartbeats all the time, and waits one second for the lock of a file.

`INJECTED` in the environment is a list of faults. Each names an operation on files below `under`: opening one to write,
renaming or removing one whose name fits `name`; at the `nth` of them (0: all) in a process of the kind `of`, before it
is done, it comes.
"""

import errno
import json
import multiprocessing
import os
import signal
import sys
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

Event = Literal["open", "os.rename", "os.remove", "any"]
Do = Literal["kill", "tear", "stop", "fill"]


class Fault:
    """A fault: its event, the kind of process, and the moment."""

    def __init__(
        self, under: str, event: Event, name: str, nth: int, of: Literal["run", "sweep"], do: Do, once: str | None
    ) -> None:
        self.under, self.event, self.name, self.nth, self.of, self.do, self.once = under, event, name, nth, of, do, once
        self.count = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count an operation of the process; cause the fault if this is its moment."""
        if self.event not in (event, "any") or event not in ("open", "os.rename", "os.remove"):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        place = arguments[1] if event == "os.rename" else arguments[0]
        if isinstance(place, int) or not os.fsdecode(place).startswith(self.under):
            return
        path = Path(os.fsdecode(place))
        if not fnmatch(path.name, self.name) or (multiprocessing.parent_process() is not None) != (self.of == "run"):
            return
        self.count += 1
        if self.nth in (0, self.count) and self._first():
            self._happen(event, path, arguments)

    def _first(self) -> bool:
        """Return False if the fault may happen only once and has already happened."""
        if self.once is None:
            return True
        try:
            os.close(os.open(self.once, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def _happen(self, event: str, path: Path, arguments: tuple[Any, ...]) -> None:
        if self.do == "fill":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if self.do == "tear" and event == "os.rename":
            os.truncate(arguments[0], Path(arguments[0]).stat().st_size // 2)
        elif self.do == "tear" and event == "open" and not path.is_dir():
            os.write(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), b'{"ho')
        os.kill(os.getpid(), signal.SIGSTOP if self.do == "stop" else signal.SIGKILL)


if "MACHINE" in os.environ:
    from resnet_ablations.results import locks, owner

    owner._boot = lambda: os.environ["MACHINE"]
    locks.HEARTBEAT_SECONDS, locks.DEAD_AFTER_SECONDS, locks.LOCK_SECONDS = 0.05, float(os.environ["PATIENCE"]), 1.0
    time.time = lambda real=time.time, ahead=float(os.environ["AHEAD"]): real() + ahead  # type: ignore[misc]

for injected in json.loads(os.environ.get("INJECTED", "[]")):
    sys.addaudithook(Fault(**injected))
