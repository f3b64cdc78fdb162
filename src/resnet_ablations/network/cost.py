"""What a network costs, counted by torch itself; on the meta device nothing is computed and no memory taken."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Of a network on images of one size."""

    multiply_adds: int
    """Of one image forward: convolutions and classifier. v1 counts the same and calls them FLOPs."""
    activation_bytes: int
    """What training keeps of a batch from the forward for the backward pass, parameters and buffers left out."""


def cost(network: nn.Module, batch: Sequence[int]) -> Cost:
    """The cost of a network on the meta device for a batch of N × channels × height × width."""
    own = {_storage(tensor) for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            kept[_storage(tensor)] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network.train()(torch.empty(*batch, device="meta"))
    kept_bytes = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    del logits  # alive until here, its graph holds the storages: no identity can have come up twice
    return Cost(multiply_adds(network, batch[1:]), kept_bytes)


def multiply_adds(network: nn.Module, image: Sequence[int]) -> int:
    """`Cost.multiply_adds` of a network, which may be on any device, for an image of channels × height × width."""
    one = torch.zeros(1, *image, device=next(network.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(one)
    return counter.get_total_flops() // 2


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
