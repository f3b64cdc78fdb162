"""Batch normalisation over groups of `bn_batch` images in one forward pass of several groups."""

from typing import Self, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@final
class GroupedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that gives each of `groups` equal parts of a training batch its own statistics.

    The result equals one call for each part: the parts update the running statistics in order. Evaluation is unchanged.
    """

    groups: int

    @classmethod
    def like(cls, layer: nn.BatchNorm2d, groups: int) -> Self:
        """Return a layer for `groups` groups that shares the parameters, buffers and hooks of `layer`."""
        grouped = cls.__new__(cls)
        grouped.__dict__.update(layer.__dict__, groups=groups)
        return grouped

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        assert self.num_batches_tracked is not None
        momenta = [self.momentum or 0.0] * self.groups
        if self.momentum is None:  # as in torch: the mean of all batches so far
            seen = int(self.num_batches_tracked)
            momenta = [1 / (seen + number) for number in range(1, self.groups + 1)]
        self.num_batches_tracked.add_(self.groups)
        normalised = [
            F.batch_norm(
                group,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=True,
                momentum=momentum,
                eps=self.eps,
            )
            for momentum, group in zip(momenta, images.chunk(self.groups), strict=True)
        ]
        return torch.cat(normalised)


def group_batch_norm(network: nn.Module, groups: int) -> None:
    """Replace every batch normalisation of `network` by one over `groups` groups, under the same names."""
    for module in list(network.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(module, name, GroupedBatchNorm2d.like(layer, groups))
