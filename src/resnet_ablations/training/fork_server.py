"""The process that imports torch once, and forks to become each run of a sweep, or each rank of a run."""

import atexit
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.util import get_temp_dir
from typing import Final

NO_FORK_SERVER: Final = 255
"""Multiprocessing's exit code of a process whose fork server was killed, so that nobody knows it."""
NO_WORD: Final = "its process is gone with the one that starts all"
SOCKETS: Final = "RESNET_ABLATIONS_SOCKETS"
"""Names, to the fork server, the temporary folder of its socket, which whoever started it leaves behind if killed."""
if SOCKETS in os.environ:
    atexit.register(shutil.rmtree, os.environ.pop(SOCKETS), ignore_errors=True)


def fork_server() -> ForkServerContext:
    """Makes processes that have imported already what trains."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "resnet_ablations.training.run"])
    return context


def begin() -> None:
    """Start the fork server, which otherwise starts with the first process; do not wait for what it imports."""
    with _sockets_named():
        forkserver.ensure_running()


def started(process: ForkServerProcess) -> bool:
    """Start it; False where the fork server was killed, which starts anew for the next."""
    with _sockets_named():
        try:
            process.start()
        except (EOFError, ConnectionError):
            return False
    return True


@contextmanager
def _sockets_named() -> Iterator[None]:
    """For the fork server alone, which may start inside: nobody else is to remove the folder."""
    os.environ[SOCKETS] = get_temp_dir()
    try:
        yield
    finally:
        del os.environ[SOCKETS]
