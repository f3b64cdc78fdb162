"""Batch normalisation's running statistics where several ranks share an iteration's micro-batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from resnet_ablations.training.ranks import Ranks


class RunningStatistics:
    """The running statistics of one device that sees all `groups` micro-batches of an iteration one after the other.

    A micro-batch with statistics b takes r to (1 − m)·r + m·b, which is linear in r and in every b. So each rank keeps
    its own term of a sum: what its micro-batches contribute, times (1 − m) for every micro-batch that another rank
    has before or after them. Nothing is sent until the sum is wanted.
    """

    def __init__(self, network: nn.Module, ranks: Ranks, groups: int) -> None:
        self._ranks = ranks
        parts = groups // ranks.count
        self._before = ranks.share.rank * parts
        self._after = groups - self._before - parts
        layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
        self._averages = [
            cast(Tensor, average) for layer in layers for average in (layer.running_mean, layer.running_var)
        ]
        self._kept = [1 - cast(float, layer.momentum) for layer in layers for _ in range(2)]
        self._counts = [cast(Tensor, layer.num_batches_tracked) for layer in layers]
        self._keep_own()

    def before_parts(self) -> None:
        """To be called before the first of the rank's micro-batches of an iteration."""
        self._pass(self._before)

    def after_parts(self) -> None:
        """To be called after the last of them, and its backward pass, which looks at the statistics."""
        self._pass(self._after)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Inside, between iterations, every rank's network has the whole sum."""
        for tensors in (self._averages, self._counts):
            if self._ranks.count > 1 and tensors:
                whole = torch.cat([tensor.flatten() for tensor in tensors])
                self._ranks.add_up(whole)
                parts = torch.split(whole, [tensor.numel() for tensor in tensors])
                for tensor, part in zip(tensors, parts, strict=True):
                    tensor.copy_(part.view_as(tensor))
        yield
        self._keep_own()

    def _keep_own(self) -> None:
        """Leave the sum to the first rank, the others starting from nothing."""
        if not self._ranks.is_first:
            for tensor in (*self._averages, *self._counts):
                tensor.zero_()

    def _pass(self, micro_batches: int) -> None:
        """What the micro-batches of other ranks do to this rank's term."""
        if micro_batches and self._averages:
            torch._foreach_mul_(self._averages, [kept**micro_batches for kept in self._kept])
