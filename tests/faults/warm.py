"""A Python that has imported torch, and forks to become the commands of the tests: seconds saved on each.

Of each line on stdin, a request, it makes a process, and answers with a line. The process leads a session of its own
and is what `python ARGUMENTS` would be; the fork server of its sweep is forked too, where Python would start anew. With
`fresh` it is started as a user would.
"""

import fcntl
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

SPARES = 3
"""The number of fork servers that a command may need, one after the other, if they are killed."""
INJECTED = Path(__file__).with_name("injected") / "sitecustomize.py"


def serve() -> None:
    """Answer requests until there are no more; a process started for a request runs the request's code."""
    import sklearn.datasets  # noqa: F401
    import torch

    import resnet_ablations.report.build
    import resnet_ablations.train
    import resnet_ablations.training.run  # noqa: F401

    torch.set_num_threads(1)
    del sys.modules["resnet_ablations.train"]  # which will be run

    for line in sys.stdin:
        request = json.loads(line)
        if "ended" in request:
            pid, status = os.waitpid(request["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif (answer := os.fork()) == 0:
            become(**request)
            return
        print(json.dumps(answer), flush=True)


def become(arguments: list[str], cwd: str, environment: dict[str, str], output: str, fresh: bool) -> None:
    """Be `python ARGUMENTS` in a folder, its output going to a file or a terminal."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    said = os.open(output, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    if terminal := os.isatty(said):
        fcntl.ioctl(said, termios.TIOCSCTTY, 0)
    heard = said if terminal else os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((heard, 0), (said, 1), (said, 2)):
        os.dup2(descriptor, number)
    if fresh:
        os.execv(sys.executable, [sys.executable, *arguments])
    os.closerange(3, 256)
    tempfile.tempdir = None  # torch has asked for it already
    spares = [Spare() for _ in range(SPARES)]
    sys.stdout = open(1, "w", buffering=1 if terminal else -1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    multiprocessing.util.spawnv_passfds = partial(start, spares)
    runpy.run_path(str(INJECTED))
    assert arguments[0] == "-m"
    sys.argv = arguments[1:]
    runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)


class Spare:
    """A child that becomes the fork server: it was forked before this process used multiprocessing, as a new Python is.

    It ends with this process if it is not needed.
    """

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
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
    runpy.run_path(str(INJECTED))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    exec(request["code"], {})


if __name__ == "__main__":
    serve()
