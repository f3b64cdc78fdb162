"""The statistics with which batch normalisation evaluates: moving averages of training, or averages computed again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, cast

import torch
from torch import Tensor, nn

from resnet_ablations.training.ranks import Ranks

AVERAGED_ITERATIONS: Final = 100
"""The first iterations of a run, whose batches `bn_statistics=averaged` averages over; fewer if the run has fewer."""


class RunningStatistics:
    """The running statistics that one device would have if it saw all micro-batches of an iteration in sequence.

    With `bn_statistics=moving`, evaluation uses these. With `averaged`, it uses `average`: the mean over the
    micro-batches of the first `AVERAGED_ITERATIONS` iterations, with the current weights. R2's README: "strictly
    computed using average (not moving average) on a sufficiently large training batch".

    A micro-batch with statistics b updates r to (1 − m)·r + m·b, which is linear in r and b. So r is a sum with one
    term per rank: the contribution of the rank's micro-batches, times (1 − m) for every micro-batch that other ranks
    have before or after them. Each rank keeps its own term; ranks communicate only when the sum is needed.
    """

    def __init__(self, network: nn.Module, ranks: Ranks, micro_batches: int) -> None:
        self._ranks = ranks
        own = micro_batches // ranks.count
        self._before = ranks.share.rank * own
        self._after = micro_batches - self._before - own
        self._layers = layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
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
        """The rank's terms of means, variances and numbers of micro-batches, in the network's order."""
        return [*self._averages, *self._counts]

    def decay_for_earlier_ranks(self) -> None:
        """Multiply this rank's terms by (1 − m) for each micro-batch of earlier ranks.

        Call this before the rank's first micro-batch of an iteration.
        """
        self._decay(self._before)

    def decay_for_later_ranks(self) -> None:
        """Multiply this rank's terms by (1 − m) for each micro-batch of later ranks.

        Call this after the backward pass of the rank's last micro-batch of an iteration, which reads the statistics.
        """
        self._decay(self._after)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Give the rank's network its own terms again at the end of the context; use this between iterations."""
        own = [term.clone() for term in self.terms]
        yield
        for term, before in zip(self.terms, own, strict=True):
            term.copy_(before)

    def sum_over_ranks(self) -> None:
        """Replace the terms by their sum over ranks in every rank's network."""
        self._ranks.all_reduce_sum(*self.terms)

    def average(self, forward_passes: Callable[[], object]) -> None:
        """Replace the terms by the mean over all micro-batches that `forward_passes` takes.

        Every rank must take the same number.
        """
        for term in self.terms:
            term.zero_()
        momenta = [layer.momentum for layer in self._layers]
        for layer in self._layers:
            layer.momentum = None  # torch then takes the mean of all batches so far
        forward_passes()
        for layer, momentum in zip(self._layers, momenta, strict=True):
            layer.momentum = momentum
        self._ranks.all_reduce_sum(*self.terms)
        for average in self._averages:
            average.div_(self._ranks.count)

    def _decay(self, micro_batches: int) -> None:
        """Multiply this rank's terms by (1 − m) once for each of `micro_batches` micro-batches of other ranks."""
        if micro_batches and self._averages:
            torch._foreach_mul_(self._averages, [kept**micro_batches for kept in self._kept])
