"""How far the gates of a network are open (v2, section 3.1)."""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnet_ablations.network.units import ResidualUnit


@dataclass(frozen=True)
class Opening:
    """The values of one unit's gate, over images, channels and positions."""

    unit: int
    """The unit's number, counted from 1."""
    mean: float
    """The mean of g(x)."""
    open: float
    """The share of values above one half."""


def openings(network: nn.Module, images: Tensor) -> list[Opening]:
    """Return the opening of each gate for N × C × H × W images, in the network's order.

    The network keeps its mode: in `train()` mode batch normalisation uses the statistics of these images, and updates
    its running statistics.
    """
    found: list[Opening] = []
    units = [module for module in network.modules() if isinstance(module, ResidualUnit)]
    with ExitStack() as hooks, torch.no_grad():
        for number, unit in enumerate(units, start=1):
            gate = getattr(unit.shortcut, "gate", None)
            if gate is not None:

                def add(gate: nn.Module, inputs: tuple[Tensor], g: Tensor, number: int = number) -> None:
                    found.append(Opening(number, g.mean().item(), (g > 0.5).float().mean().item()))

                hooks.callback(gate.register_forward_hook(add).remove)
        network(images)
    return found
