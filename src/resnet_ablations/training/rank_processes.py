"""The ranks of a run as processes of this machine, started, watched and stopped by the run's main process."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any, TypeVar

import torch.distributed as dist

from resnet_ablations.training.fork_server import (
    FORK_SERVER_KILLED,
    NO_FORK_SERVER,
    fork_server,
    start_process,
    unblock_signals,
)
from resnet_ablations.training.ranks import RankKilled, as_rank_failure
from resnet_ablations.training.stopping import Interrupted, StopRequest, when_parent_ends

T = TypeVar("T")

END_SECONDS = 20.0
"""Seconds for a process to end after it has sent its answer."""


def train_in_ranks(count: int, work: Callable[..., T], arguments: tuple[Any, ...], stop: StopRequest) -> T:
    """Call `work(*arguments, stop)` in `count` new processes, one per rank, and return the first rank's value.

    `work` and `arguments` must be picklable. A stop request of this process is forwarded as SIGTERM. If a rank fails,
    the others are killed, and its error is raised here: `UserError` and a full disk unchanged, others as `RankFailed`.
    """
    _store, variables = rendezvous(count)  # the store lives as long as this reference
    context = fork_server()
    processes: list[ForkServerProcess] = []
    answers: dict[Connection, int] = {}
    console = logging.getLogger().hasHandlers()
    forwarded = False
    try:
        for rank in range(count):
            # The environment of the fork server may differ from this process's.
            environment = {**os.environ, **variables, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_rank_main, args=(environment, console, sender, work, arguments))
            has_started = start_process(process)
            sender.close()
            if not has_started:
                raise RankKilled(f"rank {rank} of {count}: {FORK_SERVER_KILLED}")
            processes.append(process)
            answers[receiver] = rank
        while answers:
            if stop.signal is not None and not forwarded:
                forwarded = True
                for process in processes:
                    process.terminate()
            alive = [processes[rank] for rank in answers.values() if processes[rank].exitcode is None]
            ready = wait([*answers, *(process.sentinel for process in alive)], timeout=0.5)
            for receiver, rank in list(answers.items()):
                if receiver not in ready and processes[rank].exitcode in (None, NO_FORK_SERVER):
                    continue
                del answers[receiver]
                answer = _answer(receiver, processes[rank], f"rank {rank} of {count}")
                if rank == 0:
                    first = answer
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        for process in processes:
            process.join(END_SECONDS)
            process.kill()
            process.join()
    if isinstance(first, BaseException):
        raise first
    return first


def rendezvous(count: int) -> tuple[Any, dict[str, str]]:
    """Return a store in this process, and the environment variables with which `count` ranks connect to it."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(count)}
    return store, variables | {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}


def _answer(receiver: Connection, process: ForkServerProcess, name: str) -> Any:
    """Return the value that a rank has sent; raise its error, or `RankKilled` if it has sent nothing."""
    try:
        if not receiver.poll():  # the rank has ended, and a process that it forked holds the pipe open
            raise EOFError
        answer, failed = receiver.recv()
    except EOFError:
        process.join(END_SECONDS)
        raise RankKilled(f"{name}{_ending(process.exitcode)}") from None
    if failed:
        raise answer
    return answer


def _ending(code: int | None) -> str:
    """Return how a rank ended that has sent nothing; None is the exit code of a process that is still there."""
    if code is None:
        return f" sent no answer and did not end within {END_SECONDS:.0f} seconds"
    if code == NO_FORK_SERVER:
        return f": {FORK_SERVER_KILLED}"
    return f" was killed by signal {-code}" if code < 0 else f" ended with exit code {code}"


def _rank_main(
    environment: Mapping[str, str],
    console: bool,
    sender: Connection,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """Do the work as a rank, and send its value or its error."""
    os.environ.update(environment)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # the main process forwards stop requests as SIGTERM
    # The main process holds the run's lock: if the main process ends, this process must stop writing.
    when_parent_ends(lambda: os._exit(1))
    if console:
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    # If the whole process group is signalled, SIGTERM comes twice; the second one must not end the process.
    with StopRequest(signal.SIGTERM, at_once=lambda number: None) as stop:
        unblock_signals()
        try:
            sender.send((work(*arguments, stop), False))
        except Interrupted as stopped:  # no failure: all ranks stop, and the first may still be writing
            sender.send((stopped, False))
        except Exception as error:
            sender.send((as_rank_failure(int(environment["RANK"]), int(environment["WORLD_SIZE"]), error), True))
