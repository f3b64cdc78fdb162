"""Lesions of a trained network: units deleted, or put in another order (Veit et al., 2016, section 4).

Batch normalisation keeps its stored statistics, and no weight changes.

To delete a unit is to delete its residual branch: the unit returns f(h(x)), where h(x) is what its shortcut makes of x
with F(x) = 0, and f the activation after the addition. So a constant λ, a gate's factor 1 − g(x), a 1×1 convolution,
and option A or B where dimensions change all stay. A unit whose shortcut carries nothing of x (a plain net, λ = 0) is
replaced by the identity; where it changes dimensions, it cannot be deleted.

To shuffle is to swap pairs of units, one pair after the other. The two units of a pair have the same layers and stand
in the same row of such units, so that no unit gets an input of another shape.
"""

import copy
from collections.abc import Iterator, Sequence
from itertools import combinations, groupby
from typing import final

import torch
from scipy.stats import kendalltau
from torch import Tensor, nn

from resnet_ablations.network.resnet import ResNet
from resnet_ablations.network.units import ResidualUnit
from resnet_ablations.results.lesions import Lesion
from resnet_ablations.streams import Purpose, Stream

DRAWS = 10
"""The random draws of units to delete, and of pairs to swap."""
COUNTS = (2, 3, 4, 6, 8, 10, 12, 16, 20)
"""The numbers of deleted units, and of swaps, after which a draw is measured."""


@final
class ShortcutAlone(nn.Module):
    """A residual unit with F(x) = 0."""

    def __init__(self, unit: ResidualUnit) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, x: Tensor) -> Tensor:
        unit = self.unit
        activated = unit.first(x)
        residual = torch.zeros_like(unit.branch(activated))  # computed for its shape only
        return unit.after_addition(unit.shortcut(activated if unit.shared else x, residual))


def lesions(network: ResNet, seed: int) -> list[Lesion]:
    """Return the lesions to measure: none; each unit deleted; several units deleted, and pairs swapped, at random.

    A draw deletes the first units of one random order, and swaps the first pairs of one random sequence of pairs. The
    draws are a function of the seed and the network's units.
    """
    numbers = range(1, len(network.units) + 1)
    deletable = [number for number in numbers if _without_branch(_unit(network, number)) is not None]
    pairs = [pair for group in _alike(network) for pair in combinations(group, 2)]
    found = [Lesion("none", 0, None, (), None)]
    found += [Lesion("deleted", 1, None, (number,), None) for number in deletable]
    for draw in range(1, DRAWS + 1):
        stream = Stream(seed, Purpose.LESIONS, draw)
        order = [deletable[place] for place in stream.order(len(deletable))]
        found += [
            Lesion("deleted", count, draw, tuple(sorted(order[:count])), None)
            for count in COUNTS
            if count <= len(order)
        ]
        found += _shuffles(draw, stream, pairs, list(numbers))
    return found


def _shuffles(draw: int, stream: Stream, pairs: Sequence[tuple[int, int]], order: list[int]) -> Iterator[Lesion]:
    """Yield one draw's orders of the units after one swap and after the numbers of swaps in `COUNTS`."""
    places = stream.integers(0, len(pairs), (COUNTS[-1],)) if pairs else ()
    for count, place in enumerate(places, start=1):
        first, second = (number - 1 for number in pairs[place])
        order[first], order[second] = order[second], order[first]
        if count in (1, *COUNTS):
            tau = float(kendalltau(sorted(order), order).statistic)
            yield Lesion("shuffled", count, draw, tuple(order), tau)


def lesioned(network: ResNet, lesion: Lesion) -> ResNet:
    """Return a network that shares all weights with `network` and has the lesion; `network` stays as it is."""
    units = list(network.units)
    if lesion.lesion == "shuffled":
        units = [units[number - 1] for number in lesion.units]
    elif lesion.lesion == "deleted":
        for number in lesion.units:
            remains = _without_branch(_unit(network, number))
            if remains is None:
                raise ValueError(f"unit {number} has no shortcut and changes dimensions: it cannot be deleted")
            units[number - 1] = remains
    other = copy.copy(network)
    other._modules = dict(network._modules)  # `copy` shares the dictionary
    other.units = nn.Sequential(*units)
    return other.train(network.training)


def _unit(network: ResNet, number: int) -> ResidualUnit:
    unit = network.units[number - 1]
    assert isinstance(unit, ResidualUnit)
    return unit


def _without_branch(unit: ResidualUnit) -> nn.Module | None:
    """Return the module that remains of a unit without its branch; None if no module of its shape remains."""
    if unit.shortcut.expected_scale(None) != 0:
        return ShortcutAlone(unit)
    convolutions = [layer for layer in unit.branch.modules() if isinstance(layer, nn.Conv2d)]
    keeps_shape = convolutions[0].in_channels == convolutions[-1].out_channels
    return nn.Identity() if keeps_shape and all(layer.stride == (1, 1) for layer in convolutions) else None


def _alike(network: ResNet) -> list[list[int]]:
    """Return the numbers of the units in rows of units with the same layers."""
    numbered = enumerate(network.units, start=1)
    return [[number for number, _ in row] for _, row in groupby(numbered, lambda one: repr(one[1]))]
