"""What the processes do together that train one run, each on a device of its own and each a rank."""

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
"""A rank whose peer is gone fails, too: it says so only after the peer has had the time to say why."""
FAILURE: Final = "failure"
"""Where the ranks meet, why one of them failed: whether a person can mend it, and the reason."""


class RankFailed(Exception):
    """A rank of the run could not go on; the message's first line says which and why."""


class RankKilled(RankFailed):
    """It ended without a word: it was killed, or memory ran out."""


class PeerLost(Exception):
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

    def all_reduce_sum(self, *tensors: Tensor) -> None:
        """Make each tensor the sum of those of all ranks; in one piece, so that the order of adding never changes."""
        for kind in {tensor.dtype: None for tensor in tensors} if self.count > 1 else ():
            alike = [tensor for tensor in tensors if tensor.dtype == kind]
            whole = torch.cat([tensor.flatten() for tensor in alike])
            with _collective():
                dist.all_reduce(whole)
            for tensor, part in zip(alike, torch.split(whole, [tensor.numel() for tensor in alike]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def all_reduce_max(self, *numbers: int) -> list[int]:
        """Of each number, the highest that a rank has."""
        numbers_of_all = torch.tensor(numbers)  # on the CPU, lest a GPU be waited for
        if self.count > 1:
            with _collective():
                dist.all_reduce(numbers_of_all, dist.ReduceOp.MAX)
        return numbers_of_all.tolist()

    def broadcast(self, make: Callable[[], T]) -> T:
        """What the first rank makes, for all."""
        made = [make() if self.is_first else None]
        if self.count > 1:
            with _collective():
                dist.broadcast_object_list(made)
        return made[0]  # type: ignore[return-value]

    def gather(self, own: T) -> list[T]:
        """What the other ranks have, for the first; nothing for them."""
        if self.count == 1:
            return []
        of_all: list[Any] | None = [None] * self.count if self.is_first else None
        with _collective():
            dist.gather_object(own, of_all)
        return [] if of_all is None else of_all[1:]


@contextmanager
def _collective() -> Iterator[None]:
    """Around what torch does with the other ranks, which may be gone."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(str(error)) from error


ALONE: Final = Ranks(WHOLE)
"""The rank of a run on one device."""


def rank_from_environment(count: int) -> int | None:
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
def process_group(count: int, *, gpu: bool) -> Iterator[Ranks]:
    """Join the process group of `count` ranks, which `torchrun`'s environment variables describe.

    If this rank raises an error inside the context, the other ranks raise `UserError` where a person can fix the cause,
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
        raise RankKilled(f"the ranks have not met: {error}") from error
    try:
        yield Ranks(Share(rank, count), int(os.environ["LOCAL_RANK"]))
    except Interrupted:
        dist.destroy_process_group()
        raise
    except PeerLost as lost:
        time.sleep(PEER_REPORT_SECONDS)
        raise _reason(store) from lost
    except Exception as error:
        told = as_rank_failure(rank, count, error)
        with suppress(RuntimeError):  # the store went with the first rank
            store.set(FAILURE, json.dumps([isinstance(told, UserError), str(told).splitlines()[0]]))
        raise
    dist.destroy_process_group()


def _reason(store: Any) -> Exception:
    """Why a rank is gone, as it has said before."""
    with suppress(RuntimeError):  # the store went with the first rank
        if store.check([FAILURE]):
            mended, reason = json.loads(store.get(FAILURE))
            return UserError(reason) if mended else RankFailed(reason)
    return RankKilled("another rank ended without a word")


def as_rank_failure(rank: int, count: int, error: Exception) -> Exception:
    """What is told of an error that a rank is handling: itself where it speaks for itself, else `RankFailed`."""
    full = isinstance(error, OSError) and error.errno in DISK_FULL
    if isinstance(error, (UserError, RankFailed)) or full:
        return error
    reason = f"rank {rank} of {count}: {type(error).__name__}: {error}".splitlines()[0]
    return RankFailed(f"{reason}\n{traceback.format_exc()}")
