"""Commands under way, to be looked at and disturbed."""

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
    """Starts commands, each in a session of its own, and knows when they have ended; a context."""

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
        """The warm Python's answer to a request."""
        asked, answered = self._server.stdin, self._server.stdout
        assert asked is not None
        assert answered is not None
        asked.write(json.dumps(request) + "\n")
        asked.flush()
        return json.loads(answered.readline())


class Command:
    """`python ARGUMENTS`, under way or ended."""

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
        """The exit code, minus a signal's number; None while it is under way."""
        if self._code is None:
            self._code = self._starter.ask(ended=self.pid)
        return self._code

    @property
    def said(self) -> str:
        """The output so far, if it does not go to a terminal."""
        return self._output.read_bytes()[self._begin :].decode()

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        wait_until(lambda: self.code is not None)
        assert self.code is not None
        return self.code

    def reached(self, happened: Callable[[], bool]) -> bool:
        """Wait for something to happen; whether it did before the command's end."""
        wait_until(lambda: happened() or self.code is not None)
        return self.code is None

    def send(self, number: int) -> None:
        """A signal to its own process only."""
        os.kill(self.pid, number)

    def end(self) -> None:
        """End it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def processes(group: int) -> Iterator[tuple[int, int, str]]:
    """The living processes of a command's group: number, parent, state."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, _, rest = path.read_text(errors="replace").partition(" ")
            state, parent, its_group, *_ = rest.rpartition(")")[2].split()
            if int(its_group) == group and state not in "ZX":
                yield int(pid), int(parent), state


def stopped(group: int) -> list[int]:
    """The processes that a fault has stopped."""
    return sorted(pid for pid, _, state in processes(group) if state == "T")


def has_pending(pid: int, number: int) -> bool:
    """True if a signal is pending for a stopped process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pending = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in pending)
