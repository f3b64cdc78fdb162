"""Batch normalisation's running statistics where several ranks share an iteration's micro-batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from resnet_ablations.training.ranks import Ranks


class RunningStatistics:
    """The running statistics of one device that sees all micro-batches of an iteration one after the other.

    A micro-batch with statistics b takes r to (1 − m)·r + m·b, which is linear in r and in every b. So each rank keeps
    its own term of a sum: what its micro-batches contribute, times (1 − m) for every micro-batch that another rank
    has before or after them. Nothing is sent until the sum is wanted.
    """

    def __init__(self, network: nn.Module, ranks: Ranks, micro_batches: int) -> None:
        self._ranks = ranks
        own = micro_batches // ranks.count
        self._before = ranks.share.rank * own
        self._after = micro_batches - self._before - own
        layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
        self._averages = [
            cast(Tensor, average) for layer in layers for average in (layer.running_mean, layer.running_var)
        ]
        self._kept = [1 - cast(float, layer.momentum) for layer in layers for _ in range(2)]
        self._counts = [cast(Tensor, layer.num_batches_tracked) for layer in layers]
        if not ranks.is_first:
            for tensor in self.terms:
                tensor.zero_()

    @property
    def terms(self) -> list[Tensor]:
        """The rank's own, of means, variances and numbers of micro-batches, in the network's order."""
        return [*self._averages, *self._counts]

    def decay_for_earlier_ranks(self) -> None:
        """To be called before the first of the rank's micro-batches of an iteration."""
        self._pass(self._before)

    def decay_for_later_ranks(self) -> None:
        """To be called after the last of them, and its backward pass, which looks at the statistics."""
        self._pass(self._after)

    @contextmanager
    def summed_over_ranks(self) -> Iterator[None]:
        """Inside, between iterations, every rank's network has the whole sum; afterwards its own term again."""
        own = [term.clone() for term in self.terms]
        self._ranks.all_reduce_sum(*self.terms)
        yield
        for term, kept in zip(self.terms, own, strict=True):
            term.copy_(kept)

    def sum_over_ranks(self) -> None:
        """When training is over: leave the whole sum in every rank's network."""
        self._ranks.all_reduce_sum(*self.terms)

    def _pass(self, micro_batches: int) -> None:
        """What the micro-batches of other ranks do to this rank's term."""
        if micro_batches and self._averages:
            torch._foreach_mul_(self._averages, [kept**micro_batches for kept in self._kept])
