"""Batch normalisation of several micro-batches in one forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@final
class MicroBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that computes the statistics of each of the `micro_batches` equal slices of a training batch.

    The result equals one call for each micro-batch: the running statistics are updated in order. Evaluation is
    unchanged.
    """

    micro_batches: int

    @classmethod
    def like(cls, layer: nn.BatchNorm2d, micro_batches: int) -> Self:
        """Return a layer for `micro_batches` micro-batches that shares the parameters, buffers and hooks of `layer`."""
        new = cls.__new__(cls)
        new.__dict__.update(layer.__dict__, micro_batches=micro_batches)
        return new

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        assert self.num_batches_tracked is not None
        momenta = [self.momentum or 0.0] * self.micro_batches
        if self.momentum is None:  # as in torch: the mean of all batches so far
            seen = int(self.num_batches_tracked)
            momenta = [1 / (seen + number) for number in range(1, self.micro_batches + 1)]
        self.num_batches_tracked.add_(self.micro_batches)
        normalised = [
            F.batch_norm(
                micro_batch,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=True,
                momentum=momentum,
                eps=self.eps,
            )
            for momentum, micro_batch in zip(momenta, images.chunk(self.micro_batches), strict=True)
        ]
        return torch.cat(normalised)


def normalise_by_micro_batch(network: nn.Module, micro_batches: int) -> None:
    """Replace every batch normalisation of `network` by one for `micro_batches` micro-batches, under the same name."""
    for module in list(network.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(module, name, MicroBatchNorm2d.like(layer, micro_batches))


@contextmanager
def one_micro_batch(network: nn.Module) -> Iterator[None]:
    """Let every batch normalisation of `network` take a batch as one micro-batch inside the context."""
    layers = [layer for layer in network.modules() if isinstance(layer, MicroBatchNorm2d)]
    before = [layer.micro_batches for layer in layers]
    for layer in layers:
        layer.micro_batches = 1
    yield
    for layer, micro_batches in zip(layers, before, strict=True):
        layer.micro_batches = micro_batches
