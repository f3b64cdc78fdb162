"""Ranks: the processes that train one run together, each on its own device, and their collective operations."""

import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from resnet_ablations.data.batches import WHOLE, Share
from resnet_ablations.errors import UserError
from resnet_ablations.results.atomic_write import DISK_FULL
from resnet_ablations.training.stopping import Interrupted

T = TypeVar("T")

PEER_REPORT_SECONDS = 2.0
"""Seconds that a rank waits, after it has lost a peer, for the peer to report the reason."""
FAILURE: Final = "failure"
"""The key of a rank's failure in the store of the process group; the value is a JSON list [class, reason]."""


class RankFailed(Exception):
    """The failure of a rank; the first line of the message gives the rank and the reason."""


class RankKilled(RankFailed):
    """The rank ended without reporting an error: it was killed, or memory ran out."""


class PeerLost(Exception):
    """A collective operation failed because another rank has ended."""


class Ranks:
    """The collective operations of a run's ranks; every rank must call the same methods in the same order.

    With one rank, they return the rank's own values.
    """

    def __init__(self, share: Share, local_rank: int = 0) -> None:
        self.share = share
        self.local_rank = local_rank
        """The number of the rank on its machine, which selects its device."""

    @property
    def is_first(self) -> bool:
        """True for rank 0, which writes the run's files."""
        return self.share.rank == 0

    @property
    def count(self) -> int:
        """The number of ranks."""
        return self.share.count

    def all_reduce_sum(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over all ranks.

        Tensors of one type are sent as one piece, so that the order of additions is always the same.
        """
        for dtype in {tensor.dtype: None for tensor in tensors} if self.count > 1 else ():
            same_type = [tensor for tensor in tensors if tensor.dtype == dtype]
            whole = torch.cat([tensor.flatten() for tensor in same_type])
            with _collective():
                dist.all_reduce(whole)
            sums = torch.split(whole, [tensor.numel() for tensor in same_type])
            for tensor, total in zip(same_type, sums, strict=True):
                tensor.copy_(total.view_as(tensor))

    def all_reduce_max(self, *numbers: int) -> list[int]:
        """Return the maximum over all ranks of each number."""
        maxima = torch.tensor(numbers)  # on the CPU, so that no GPU has to finish its work first
        if self.count > 1:
            with _collective():
                dist.all_reduce(maxima, dist.ReduceOp.MAX)
        return maxima.tolist()

    def broadcast(self, make: Callable[[], T]) -> T:
        """Call `make` in the first rank, and return its value in all ranks."""
        value = [make() if self.is_first else None]
        if self.count > 1:
            with _collective():
                dist.broadcast_object_list(value)
        return value[0]  # type: ignore[return-value]

    def gather(self, own: T) -> list[T]:
        """Return the other ranks' values, in order, in the first rank; return [] in the others."""
        if self.count == 1:
            return []
        values: list[Any] | None = [None] * self.count if self.is_first else None
        with _collective():
            dist.gather_object(own, values)
        return [] if values is None else values[1:]


@contextmanager
def _collective() -> Iterator[None]:
    """Raise `PeerLost` in place of torch's error if a collective operation fails, because another rank has ended."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(str(error)) from error


ALONE: Final = Ranks(WHOLE)
"""The ranks of a run on one device: one rank, which needs no communication."""


def rank_from_environment(count: int) -> int | None:
    """Return this process's rank if SLURM or `torchrun` started a process for each of `count` ranks; else None.

    Raise `UserError` if they started another number of processes, or if the variables contradict each other.
    """
    if not os.environ.get("RANK") or not os.environ.get("WORLD_SIZE") or (started := started_processes()) == 1 == count:
        return None
    if started != count:
        raise UserError(
            f"WORLD_SIZE={started}: {started} processes were started, but trainer.devices × trainer.nodes = {count}; "
            f"start {count}, or set trainer.devices"
        )
    if not 0 <= (rank := _from_torchrun("RANK")) < count:
        raise UserError(f"RANK={rank}: must be from 0 to {count - 1}, as WORLD_SIZE={count}; unset both variables")
    return rank


def started_processes() -> int:
    """Return the number of processes that SLURM or `torchrun` started, 1 if WORLD_SIZE does not tell."""
    return _from_torchrun("WORLD_SIZE") if os.environ.get("WORLD_SIZE") else 1


def _from_torchrun(variable: str) -> int:
    try:
        return int(os.environ[variable])
    except ValueError:
        raise UserError(
            f"{variable}={os.environ[variable]}: must be a whole number, which torchrun sets; unset the variable"
        ) from None


@contextmanager
def process_group(count: int, *, gpu: bool) -> Iterator[Ranks]:
    """Join the process group of `count` ranks, which `torchrun`'s environment variables describe.

    If this rank raises an error inside the context, the other ranks raise `UserError` if a user can fix the cause,
    and `RankFailed` otherwise. Raise `RankKilled` if a rank ended without reporting an error, or never joined.
    """
    if count == 1:
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    try:
        store, rank, _ = next(iter(dist.rendezvous("env://")))  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    except RuntimeError as error:
        raise RankKilled(f"the ranks could not connect: {error}") from error
    try:
        yield Ranks(Share(rank, count), int(os.environ["LOCAL_RANK"]))
    except Interrupted as stopped:
        _report(store, stopped, str(stopped.signal))
        dist.destroy_process_group()
        raise
    except PeerLost as lost:
        time.sleep(PEER_REPORT_SECONDS)
        raise _failure_of_peer(store) from lost
    except Exception as error:
        failure = as_rank_failure(rank, count, error)
        _report(store, failure, str(failure).splitlines()[0])
        raise
    dist.destroy_process_group()


def _report(store: Any, failure: BaseException, reason: str) -> None:
    """Write the reason of this rank's failure to the store, where the other ranks read it."""
    kinds = (kind.__name__ for kind in (UserError, RankKilled, Interrupted) if isinstance(failure, kind))
    with suppress(RuntimeError):  # the store ends with the first rank
        store.set(FAILURE, json.dumps([next(kinds, RankFailed.__name__), reason]))


def _failure_of_peer(store: Any) -> BaseException:
    """Return the failure that another rank has written to the store; `RankKilled` if there is none."""
    with suppress(RuntimeError):  # the store ends with the first rank
        if store.check([FAILURE]):
            kind, reason = json.loads(store.get(FAILURE))
            if kind == Interrupted.__name__:
                return Interrupted(int(reason))
            return {UserError.__name__: UserError, RankKilled.__name__: RankKilled}.get(kind, RankFailed)(reason)
    return RankKilled("another rank ended without reporting an error")


def as_rank_failure(rank: int, count: int, error: Exception) -> Exception:
    """Return the error to report for an error that a rank is handling.

    A `UserError`, a `RankFailed` and a full disk are reported unchanged; other errors become a `RankFailed` with the
    traceback.
    """
    full = isinstance(error, OSError) and error.errno in DISK_FULL
    if isinstance(error, (UserError, RankFailed)) or full:
        return error
    reason = f"rank {rank} of {count}: {type(error).__name__}: {error}".splitlines()[0]
    return RankFailed(f"{reason}\n{traceback.format_exc()}")
