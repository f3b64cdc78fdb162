"""The processes that train one run together, each on a device of its own and each a rank."""

import json
import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from resnet_ablations.data.batches import WHOLE, Share
from resnet_ablations.errors import UserError
from resnet_ablations.results.files import FULL
from resnet_ablations.training.stopping import Interrupted, StopRequest, when_parent_ends

T = TypeVar("T")

LATER_SECONDS = 2.0
"""A rank whose peer is gone fails, too: it says so only after the peer has had the time to say why."""
END_SECONDS = 20.0
"""For the end of a process that has said what it came to."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
FAILURE: Final = "failure"
"""Where the ranks meet, why one of them failed: whether a person can mend it, and the reason."""


class RankFailed(Exception):
    """A rank of the run could not go on; the message's first line says which and why."""


class RankDied(RankFailed):
    """It ended without a word: it was killed, or memory ran out."""


class _PeerLost(Exception):
    """Another rank is not there any more to do something together."""


class Ranks:
    """What the ranks of a run do together; each must call the same methods in the same order. One rank is alone."""

    def __init__(self, share: Share, local_rank: int = 0) -> None:
        self.share = share
        self.local_rank = local_rank
        """The place of its device on its machine."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes."""
        return self.share.rank == 0

    @property
    def count(self) -> int:
        return self.share.count

    def add_up(self, *tensors: Tensor) -> None:
        """Make each tensor the sum of those of all ranks; in one piece, so that the order of adding never changes."""
        for kind in {tensor.dtype: None for tensor in tensors} if self.count > 1 else ():
            alike = [tensor for tensor in tensors if tensor.dtype == kind]
            whole = torch.cat([tensor.flatten() for tensor in alike])
            with _together():
                dist.all_reduce(whole)
            for tensor, part in zip(alike, torch.split(whole, [tensor.numel() for tensor in alike]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def highest(self, *numbers: int) -> list[int]:
        """Of each number, the highest that a rank has."""
        numbers_of_all = torch.tensor(numbers)  # on the CPU, lest a GPU be waited for
        if self.count > 1:
            with _together():
                dist.all_reduce(numbers_of_all, dist.ReduceOp.MAX)
        return numbers_of_all.tolist()

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first rank makes, for all."""
        made = [make() if self.is_first else None]
        if self.count > 1:
            with _together():
                dist.broadcast_object_list(made)
        return made[0]  # type: ignore[return-value]

    def to_first(self, own: T) -> list[T]:
        """What the other ranks have, for the first; nothing for them."""
        if self.count == 1:
            return []
        of_all: list[Any] | None = [None] * self.count if self.is_first else None
        with _together():
            dist.gather_object(own, of_all)
        return [] if of_all is None else of_all[1:]


@contextmanager
def _together() -> Iterator[None]:
    """Around what torch does with the other ranks, which may be gone."""
    try:
        yield
    except RuntimeError as error:
        raise _PeerLost(str(error)) from error


ALONE: Final = Ranks(WHOLE)
"""The rank of a run on one device."""


def outer_rank(count: int) -> int | None:
    """Which of the run's `count` ranks this process is, where SLURM or `torchrun` started one for each; else None.

    Raise `UserError` where they started another number.
    """
    if count == 1 or "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return None
    if (started := int(os.environ["WORLD_SIZE"])) != count:
        raise UserError(
            f"WORLD_SIZE={started}: so many processes were started, but trainer.devices × trainer.nodes = {count}"
        )
    return int(os.environ["RANK"])


@contextmanager
def joined(count: int, *, gpu: bool) -> Iterator[Ranks]:
    """Join the others of `count` ranks, who are told from the variables that `torchrun` sets.

    What a rank raises here, the others raise as `RankFailed`, or as `UserError` where a person can mend it; `RankDied`
    where it ended without a word.
    """
    if count == 1:
        yield ALONE
        return
    store, rank, _ = next(iter(dist.rendezvous("env://")))  # type: ignore[attr-defined]
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield Ranks(Share(rank, count), int(os.environ["LOCAL_RANK"]))
    except Interrupted:
        dist.destroy_process_group()
        raise
    except _PeerLost as lost:
        time.sleep(LATER_SECONDS)
        raise _reason(store) from lost
    except Exception as error:
        mended = isinstance(error, UserError)
        reason = str(error) if mended else f"rank {rank} of {count}: {type(error).__name__}: {error}"
        store.set(FAILURE, json.dumps([mended, reason.splitlines()[0]]))
        raise
    dist.destroy_process_group()


def _reason(store: Any) -> Exception:
    """Why a rank is gone, as it has said before."""
    try:
        if store.check([FAILURE]):
            mended, reason = json.loads(store.get(FAILURE))
            return UserError(reason) if mended else RankFailed(reason)
    except RuntimeError:  # it went with the first rank
        pass
    return RankDied("another rank ended without a word")


def train_in_ranks(count: int, work: Callable[..., T], arguments: tuple[Any, ...], stop: StopRequest) -> T:
    """What `work(*arguments, stop)` comes to in the first of `count` processes of this machine, which are ranks.

    Both go to the processes, so they must be picklable. A stop asked for here is passed on as SIGTERM. What the first
    rank that fails raises is raised again where it is a person's or the disk's fault, and as `RankFailed` otherwise;
    the others are killed then.
    """
    # The ranks' meeting place lives here, at a port that is free.
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(count)}
    meeting |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    context = multiprocessing.get_context("spawn")
    processes: list[SpawnProcess] = []
    answers: dict[Connection, int] = {}
    console = logging.getLogger().hasHandlers()
    told = False
    # By itself it would start with the first process, and let in again the signals that are held back then.
    resource_tracker.ensure_running()
    try:
        for rank in range(count):
            environment = meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_be_rank, args=(environment, console, sender, work, arguments))
            with _held_back():
                process.start()
            sender.close()
            processes.append(process)
            answers[receiver] = rank
        while answers:
            if stop.signal is not None and not told:
                told = True
                for process in processes:
                    process.terminate()
            for receiver in cast(list[Connection], wait(list(answers), timeout=0.5)):
                rank = answers.pop(receiver)
                answer = _answer(receiver, processes[rank], f"rank {rank} of {count}")
                if rank == 0:
                    first = answer
    except BaseException as error:
        for process in processes:
            process.kill()
        if told and isinstance(error, RankDied) and stop.signal is not None:
            raise Interrupted(stop.signal) from error  # it died of the signal, before it listened
        raise
    finally:
        for process in processes:
            process.join(END_SECONDS)
            process.kill()
            process.join()
    if isinstance(first, BaseException):
        raise first
    return first


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals wait; also for a process that is started inside, until it lets them in."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(receiver: Connection, process: SpawnProcess, name: str) -> Any:
    """What a rank came to; raise what it failed with."""
    try:
        answer, failed = receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        ending = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise RankDied(f"{name} {ending}") from None
    if failed:
        raise answer
    return answer


def _be_rank(
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
    # Nobody has the run's claim then, so nothing may be written any more.
    when_parent_ends(lambda: os._exit(1))
    if console:
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    # Signalled with its whole group, it hears of a stop twice.
    with StopRequest(signal.SIGTERM, at_once=lambda number: None) as stop:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            sender.send((work(*arguments, stop), False))
        except Interrupted as stopped:  # all of them, and the first may still have something to write
            sender.send((stopped, False))
        except SystemExit:  # so Lightning ends where the signal comes before it trains
            sender.send((Interrupted(signal.SIGTERM), False))
        except Exception as error:
            full = isinstance(error, OSError) and error.errno in FULL
            if not isinstance(error, (UserError, RankFailed)) and not full:
                name = f"rank {environment['RANK']} of {environment['WORLD_SIZE']}"
                reason = f"{name}: {type(error).__name__}: {error}".splitlines()[0]
                error = RankFailed(f"{reason}\n{traceback.format_exc()}")
            sender.send((error, True))
