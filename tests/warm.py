"""A Python process that has imported everything and forks a process for each command of a test; it saves seconds.

For each request, a line on stdin, it makes a process, and answers with a line. The process leads its own session and
does what `python ARGUMENTS` does. The fork server of its sweep is forked too, where Python would start anew. With
`fresh` it is started as a user starts it.
"""

import fcntl
import gc
import json
import multiprocessing.util
import os
import runpy
import signal
import socket
import sys
import tempfile
import termios
from collections.abc import Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
INJECTED = ROOT / "tests" / "faults" / "injected" / "sitecustomize.py"


def serve() -> None:
    """Answer requests until the end of stdin; a process that was forked for a request runs the code of the request."""
    import sklearn.datasets  # noqa: F401
    import torch

    import resnet_ablations.report.write_report
    import resnet_ablations.train
    import resnet_ablations.training.run  # noqa: F401
    from resnet_ablations.overrides import compose

    torch.set_num_threads(1)
    compose([])  # fill Hydra's cache of groups
    for shortcut in sorted((ROOT / "conf" / "shortcut").glob("*.yaml")):
        compose([f"shortcut={shortcut.stem}", "trainer=cpu"])
    del sys.modules["resnet_ablations.train"]  # it is run, not imported
    gc.freeze()  # collections in the forks would copy all memory

    for line in sys.stdin:
        request = json.loads(line)
        if "ended" in request:
            pid, status = os.waitpid(request["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif (answer := os.fork()) == 0:
            become(**request)
            return
        print(json.dumps(answer), flush=True)


def become(
    arguments: list[str],
    cwd: str,
    environment: dict[str, str],
    output: str,
    errors: str | None,
    fresh: bool,
    spares: int,
) -> None:
    """Act as `python ARGUMENTS` in a folder; stdout and stderr go to a file or a terminal, or stderr to another file.

    `spares` is the number of fork servers that are forked in advance; a command needs several if they are killed.
    """
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    printed = os.open(output, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    if terminal := os.isatty(printed):
        fcntl.ioctl(printed, termios.TIOCSCTTY, 0)
    stdin = printed if terminal else os.open(os.devnull, os.O_RDONLY)
    stderr = os.open(errors, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644) if errors else printed
    for descriptor, number in ((stdin, 0), (printed, 1), (stderr, 2)):
        os.dup2(descriptor, number)
    if fresh:
        os.execv(sys.executable, [sys.executable, *arguments])
    os.closerange(3, 256)
    tempfile.tempdir = None  # torch has asked for it already
    standing_by: list[Spare] = []
    for _ in range(spares):
        standing_by.append(Spare(standing_by))
    sys.stdout = sys.__stdout__ = open(1, "w", buffering=1 if terminal else -1, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    multiprocessing.util.spawnv_passfds = partial(start, standing_by)
    if "INJECTED" in environment:
        runpy.run_path(str(INJECTED))
    option, code, *rest = arguments
    sys.argv = [option, *rest]
    if option == "-c":
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    else:
        assert option == "-m"
        sys.modules.pop(code, None)
        runpy.run_module(code, run_name="__main__", alter_sys=True)


class Spare:
    """A child that becomes the fork server: it was forked before this process used multiprocessing, as a new Python is.

    It ends with this process if it is not needed.
    """

    def __init__(self, siblings: "Sequence[Spare]") -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            for sibling in siblings:
                sibling._socket.detach()  # or its end would close a file that has this number by then
            _stand_by(other)
            sys.exit()
        other.close()

    def run(self, code: str, descriptors: Sequence[int]) -> None:
        """Run the code in the child, with these files open, and with this process's environment and signals."""
        numbers = list(map(int, descriptors))
        blocked = [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
        request = {"code": code, "numbers": numbers, "environment": dict(os.environ), "blocked": blocked}
        socket.send_fds(self._socket, [json.dumps(request).encode()], numbers)


def start(spares: list[Spare], path: str, arguments: Sequence[str | bytes], descriptors: Sequence[int]) -> int:
    """Start a new Python in multiprocessing's way, or let a spare child be the fork server; return its process."""
    code = os.fsdecode(arguments[-1])
    if not spares or "forkserver" not in code:
        return start_anew(path, arguments, descriptors)
    spare = spares.pop()
    spare.run(code, descriptors)
    return spare.pid


start_anew = multiprocessing.util.spawnv_passfds


def _stand_by(asked: socket.socket) -> None:
    """Wait for a request, then run its code with its files, environment and signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    message, descriptors, _, _ = socket.recv_fds(asked, 1 << 20, 16)
    if not message:
        return
    request = json.loads(message)
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 256) for descriptor in descriptors]
    asked.detach()
    os.closerange(3, 256)
    for descriptor, number in zip(moved, request["numbers"], strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    del sys.modules["resnet_ablations.training.fork_server"]  # which reads the environment
    if "INJECTED" in os.environ:
        runpy.run_path(str(INJECTED))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    exec(request["code"], {})


if __name__ == "__main__":
    serve()
