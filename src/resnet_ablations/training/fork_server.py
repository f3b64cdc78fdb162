"""The process that imports torch once, and forks to become each run of a sweep, or each rank of a run."""

import atexit
import multiprocessing
import os
import shutil
import signal
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.util import get_temp_dir
from typing import Final

NO_FORK_SERVER: Final = 255
"""Multiprocessing's exit code of a process whose fork server was killed, so that nobody knows it."""
FORK_SERVER_KILLED: Final = "its process is gone with the one that starts all"
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
SOCKETS: Final = "RESNET_ABLATIONS_SOCKETS"
"""Names, to the fork server, the temporary folder of its socket, which whoever started it leaves behind if killed."""
if SOCKETS in os.environ:
    atexit.register(shutil.rmtree, os.environ.pop(SOCKETS), ignore_errors=True)


def fork_server() -> ForkServerContext:
    """Makes processes that have imported already what trains; signals wait in them until `let_signals_in`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "resnet_ablations.training.run"])
    return context


def started(process: ForkServerProcess) -> bool:
    """Start a process of `fork_server`; False where that was killed, which starts anew for the next."""
    _ensure_running()
    try:
        process.start()
    except (EOFError, ConnectionError):
        return False
    return True


def let_signals_in() -> None:
    """In a process that is ready for them."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _ensure_running() -> None:
    """Do not wait for what the server imports: that does the first process, and a signal may come meanwhile."""
    # By itself it would start with the fork server, and let in again the signals that are held back then.
    resource_tracker.ensure_running()
    # For the fork server alone: nobody else is to remove the folder.
    os.environ[SOCKETS] = get_temp_dir()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        del os.environ[SOCKETS]
