"""The multiply-adds and the activation memory of a network, counted by torch.

On the meta device the count computes nothing and takes no memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """The cost of a network for images of one size."""

    multiply_adds: int
    """Multiply-adds of one image's forward pass: convolutions and classifier, which v1 counts as FLOPs."""
    activation_bytes: int
    """Bytes that the forward pass of a batch keeps for the backward pass, without parameters and buffers."""


def cost(network: nn.Module, batch: Sequence[int]) -> Cost:
    """Return the cost of a network on the meta device; `batch` is the shape N × channels × height × width."""
    own = {_storage(tensor) for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            kept[_storage(tensor)] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network.train()(torch.empty(*batch, device="meta"))
    kept_bytes = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    # The graph of the logits keeps every storage alive until here, so that no two storages had the same identity.
    del logits
    return Cost(multiply_adds(network, batch[1:]), kept_bytes)


def multiply_adds(network: nn.Module, image: Sequence[int]) -> int:
    """Return `Cost.multiply_adds` of a network on any device; `image` is the shape channels × height × width."""
    one = torch.zeros(1, *image, device=next(network.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(one)
    return counter.get_total_flops() // 2


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
