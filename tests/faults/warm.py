"""A Python that has imported torch, and forks to become the commands of the tests: seconds saved on each.

Of each line on stdin, a request, it makes a process, and answers with a line. The process leads a session of its own
and is what `python ARGUMENTS` would be; the fork server of its sweep is forked too, where Python would start anew. With
`fresh` it is started as a user would.
"""

import atexit
import fcntl
import json
import multiprocessing.util
import os
import runpy
import signal
import sys
import tempfile
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INJECTED = Path(__file__).with_name("injected") / "sitecustomize.py"


def serve() -> None:
    """Answer requests until there are no more; in the processes that they ask for, become what they say."""
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
    sys.stdout = open(1, "w", buffering=1 if terminal else -1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    multiprocessing.util.spawnv_passfds = forked
    tempfile.tempdir = None  # torch has asked for it already
    runpy.run_path(str(INJECTED))
    assert arguments[0] == "-m"
    sys.argv = arguments[1:]
    runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)


start_anew = multiprocessing.util.spawnv_passfds


def forked(path: str, arguments: Sequence[str | bytes], descriptors: Sequence[int]) -> int:
    """Multiprocessing's way to a new Python, that for the fork server forks this one."""
    code = os.fsdecode(arguments[-1])
    if "forkserver" not in code or multiprocessing.parent_process() is not None:
        return start_anew(path, arguments, descriptors)
    if pid := os.fork():
        return pid
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    kept = [0, 1, 2, *sorted(map(int, descriptors))]
    for low, high in zip(kept, [*kept[1:], 256], strict=True):
        os.closerange(low + 1, high)
    forget_the_parent()
    try:
        exec(code, {})
    except SystemExit:
        atexit._run_exitfuncs()
    finally:
        os._exit(0)


def forget_the_parent() -> None:
    """What a new Python would not know."""
    process: Any = multiprocessing.process.current_process()
    process._config.pop("tempdir", None)
    multiprocessing.util._finalizer_registry.clear()  # type: ignore[attr-defined]
    multiprocessing.forkserver._forkserver.__init__()  # type: ignore[attr-defined,misc]
    atexit._clear()
    del sys.modules["resnet_ablations.training.fork_server"]


if __name__ == "__main__":
    serve()
