"""The ranks of a run as processes of this machine: started, watched and stopped by the one that has the run."""

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
    let_signals_in,
    started,
)
from resnet_ablations.training.ranks import RankKilled, as_rank_failure
from resnet_ablations.training.stopping import Interrupted, StopRequest, when_parent_ends

T = TypeVar("T")

END_SECONDS = 20.0
"""For the end of a process that has said what it came to."""


def train_in_ranks(count: int, work: Callable[..., T], arguments: tuple[Any, ...], stop: StopRequest) -> T:
    """What `work(*arguments, stop)` comes to in the first of `count` processes of this machine, which are ranks.

    Both go to the processes, so they must be picklable. A stop asked for here is passed on as SIGTERM. What the first
    rank that fails raises is raised again where it is a person's or the disk's fault, and as `RankFailed` otherwise;
    the others are killed then.
    """
    _store, meeting = rendezvous(count)  # which is there as long as that
    context = fork_server()
    processes: list[ForkServerProcess] = []
    answers: dict[Connection, int] = {}
    console = logging.getLogger().hasHandlers()
    told = False
    try:
        for rank in range(count):
            # The fork server may have begun in another environment.
            environment = {**os.environ, **meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_rank_main, args=(environment, console, sender, work, arguments))
            begun = started(process)
            sender.close()
            if not begun:
                raise RankKilled(f"rank {rank} of {count}: {FORK_SERVER_KILLED}")
            processes.append(process)
            answers[receiver] = rank
        while answers:
            if stop.signal is not None and not told:
                told = True
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
    """A store in this process, at a port that is free, and the variables that lead `count` ranks to it."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(count)}
    return store, meeting | {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}


def _answer(receiver: Connection, process: ForkServerProcess, name: str) -> Any:
    """What a rank came to; raise what it failed with."""
    try:
        if not receiver.poll():  # it has ended, and something that it forked has the other end open
            raise EOFError
        answer, failed = receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        ending = f" was killed by signal {-code}" if code < 0 else f" ended with exit code {code}"
        if code == NO_FORK_SERVER:
            ending = f": {FORK_SERVER_KILLED}"
        raise RankKilled(f"{name}{ending}") from None
    if failed:
        raise answer
    return answer


def _rank_main(
    environment: Mapping[str, str],
    console: bool,
    sender: Connection,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """Do the work, and send what it came to or what was raised."""
    os.environ.update(environment)
    for number in (signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # the supervisor passes on what concerns all
    # Nobody has the run's lock then, so nothing may be written any more.
    when_parent_ends(lambda: os._exit(1))
    if console:
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    # Signalled with its whole group, it hears of a stop twice.
    with StopRequest(signal.SIGTERM, at_once=lambda number: None) as stop:
        let_signals_in()
        try:
            sender.send((work(*arguments, stop), False))
        except Interrupted as stopped:  # all of them, and the first may still have something to write
            sender.send((stopped, False))
        except Exception as error:
            sender.send((as_rank_failure(int(environment["RANK"]), int(environment["WORLD_SIZE"]), error), True))
