"""Commands of the package as processes that tests can observe, signal and kill."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from observing import wait_until

ROOT = Path(__file__).parents[1]


class Starter:
    """A context manager that starts commands, each in its own session, and records when they end."""

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm.py"))],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def ask(self, **request: Any) -> Any:
        """Return the warm Python's answer to a request."""
        asked, answered = self._server.stdin, self._server.stdout
        assert asked is not None
        assert answered is not None
        asked.write(json.dumps(request) + "\n")
        asked.flush()
        return json.loads(answered.readline())


class Command:
    """A process `python ARGUMENTS`, running or ended."""

    def __init__(
        self,
        starter: Starter,
        *arguments: str,
        cwd: Path,
        output: Path,
        errors: Path | None = None,
        environment: Mapping[str, str],
        fresh: bool = False,
        spares: int = 1,
    ) -> None:
        whole = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment}
        self._starter, self._output = starter, output
        self._begin = output.stat().st_size if output.is_file() else 0
        self._code: int | None = None
        self.pid: int = starter.ask(
            arguments=arguments,
            cwd=str(cwd),
            environment=whole,
            output=str(output),
            errors=None if errors is None else str(errors),
            fresh=fresh,
            spares=spares,
        )

    @property
    def code(self) -> int | None:
        """The exit code, or minus the number of the signal that killed the process; None while it runs."""
        if self._code is None:
            self._code = self._starter.ask(ended=self.pid)
        return self._code

    @property
    def said(self) -> str:
        """The output so far, unless it goes to a terminal."""
        return self._output.read_bytes()[self._begin :].decode() if self._output.exists() else ""

    def wait(self) -> int:
        """Wait for the end of the process; return its exit code."""
        wait_until(lambda: self.code is not None)
        assert self.code is not None
        return self.code

    def reached(self, happened: Callable[[], bool]) -> bool:
        """Wait until `happened` is true or the command has ended; return whether the command is still running."""
        wait_until(lambda: happened() or self.code is not None)
        return self.code is None

    def send(self, number: int) -> None:
        """Send a signal to the command's main process only."""
        os.kill(self.pid, number)

    def end(self) -> None:
        """Kill the command and all processes that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def processes(group: int) -> Iterator[tuple[int, int, str]]:
    """Return the living processes of a command's process group: number, parent, state."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, _, rest = path.read_text(errors="replace").partition(" ")
            state, parent, its_group, *_ = rest.rpartition(")")[2].split()
            if int(its_group) == group and state not in "ZX":
                yield int(pid), int(parent), state


def stopped(group: int) -> list[int]:
    """Return the processes that a fault has stopped."""
    return sorted(pid for pid, _, state in processes(group) if state == "T")


def has_pending(pid: int, number: int) -> bool:
    """Return whether a signal is pending for a stopped process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pending = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in pending)
