"""The fork server: a process that imports torch once and forks a process for each run of a sweep or rank of a run."""

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.util import get_temp_dir
from typing import Final

from resnet_ablations.errors import UserError, reason_of
from resnet_ablations.training.stopping import SIGNALS

NO_FORK_SERVER: Final = 255
"""The exit code that multiprocessing reports if the fork server was killed: the real exit code is lost."""
FORK_SERVER_KILLED: Final = "the fork server of its process was killed"
BLOCKED: Final = (*SIGNALS, signal.SIGUSR2)
LONGEST: Final = (103 if sys.platform == "darwin" else 107) - len("/pymp-12345678/listener-12345678")
"""The longest path of a temporary folder, in bytes: the path of a socket has at most 107, on macOS 103."""
SOCKETS: Final = "RESNET_ABLATIONS_SOCKETS"
"""Environment variable: the temporary folder of the fork server's socket.

The process that started the fork server removes the folder, unless it is killed; then the fork server does.
"""
if SOCKETS in os.environ:
    atexit.register(shutil.rmtree, os.environ.pop(SOCKETS), ignore_errors=True)


def shorten_sockets() -> None:
    """Let multiprocessing's sockets of this process lie in /tmp if TMPDIR is too long for the path of a socket."""
    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) <= LONGEST:
        return
    tempfile.tempdir = "/tmp"
    try:
        get_temp_dir()  # multiprocessing keeps the folder that this call makes
    except OSError as error:
        raise UserError(
            f"TMPDIR={usual}: too long for the path of a socket, and /tmp cannot be written ({reason_of(error)}); "
            f"set TMPDIR to a folder whose path has at most {LONGEST} bytes"
        ) from None
    finally:
        tempfile.tempdir = usual


def fork_server() -> ForkServerContext:
    """Return the context that starts processes which have already imported torch and the training code.

    Signals are blocked in such a process until it calls `unblock_signals`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "resnet_ablations.training.run"])
    return context


def start_process(process: ForkServerProcess) -> bool:
    """Start a process of `fork_server`; return False if the fork server was killed.

    The next call starts a new fork server.
    """
    _ensure_running()
    try:
        process.start()
    except (EOFError, ConnectionError):
        return False
    return True


def unblock_signals() -> None:
    """Unblock the signals in a process of the fork server, once its handlers are set."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)


def _ensure_running() -> None:
    """Start the fork server if needed, without waiting for its imports, so that signals are handled meanwhile."""
    shorten_sockets()
    # Set for the fork server alone: no other process may remove the folder.
    os.environ[SOCKETS] = get_temp_dir()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGUSR2])
    try:
        # It ignores SIGINT and SIGTERM, and inherits that SIGHUP and SIGUSR2 are blocked. The fork server would start
        # it too, but would then have its other signals unblocked.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        del os.environ[SOCKETS]
