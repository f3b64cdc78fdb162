"""The gradient of the loss at the images by path length (Veit et al., 2016, section 4).

A unit passes the gradient back on two ways: through its shortcut, with F(x) held constant, and through its residual
branch, with the shortcut's x held constant. A path takes one of them in each unit; its length is the number of units
whose branch it takes. With n units there are 2ⁿ paths. The point at which derivatives are taken is that of the whole
network's forward pass, so the backward pass is linear, and the gradients along all paths add up to the gradient of the
network: exactly, for every unit. Their norms do not add up, since gradients of different paths can cancel.

In evaluation mode the images of a batch do not depend on each other, so each image can take a path of its own.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_ablations.network.resnet import ResNet
from resnet_ablations.network.units import ResidualUnit
from resnet_ablations.results.lesions import PathGradient
from resnet_ablations.streams import Purpose, Stream

SAMPLES = 351
"""The least number of sampled paths of each length. Of a length with no more paths, every image takes them all:
this is the number of paths of length 2 in ResNet-56, with 27 units."""
_AGAIN = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
"""Options of `torch.autograd.grad`: many paths use the graph, and a plain unit's output does not depend on x."""


@dataclass(frozen=True)
class _Pass:
    """The tensors of one unit in the forward pass; `held` is F(x) without its graph."""

    x: Tensor
    residual: Tensor
    held: Tensor
    output: Tensor

    def back(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient at x through the shortcut and through the branch, from the gradient at the output."""
        shortcut, at_residual = torch.autograd.grad(self.output, (self.x, self.held), gradient, **_AGAIN)
        (branch,) = torch.autograd.grad(self.residual, self.x, at_residual, **_AGAIN)
        return shortcut, branch


class Paths:
    """The paths of a network in evaluation mode at images N × C × H × W with labels N; the loss is each image's own."""

    def __init__(self, network: ResNet, images: Tensor, labels: Tensor) -> None:
        self._images = images.detach().requires_grad_()
        self._start = network.stem(self._images)
        self._passes: list[_Pass] = []
        x = self._start
        for unit in network.units:
            assert isinstance(unit, ResidualUnit)
            self._passes.append(_passed(unit, x.detach().requires_grad_()))
            x = self._passes[-1].output
        last = x.detach().requires_grad_()
        loss = F.cross_entropy(network.classifier(network.end(last).mean(dim=(2, 3))), labels, reduction="sum")
        (self._gradient,) = torch.autograd.grad(loss, last)

    def along(self, taken: Tensor) -> Tensor:
        """Return the gradient at each image along one path; `taken`, N × units, is True where it takes the branch."""
        gradient = self._gradient
        for number in reversed(range(len(self._passes))):
            shortcut, branch = self._passes[number].back(gradient)
            gradient = torch.where(taken[:, number, None, None, None], branch, shortcut)
        return self._at_images(gradient)

    def by_length(self) -> list[Tensor]:
        """Return the sum of the gradients at each image along all paths of length 0, 1, …, n."""
        sums = [self._gradient]
        for one in reversed(self._passes):
            back = [one.back(gradient) for gradient in sums]
            nothing = torch.zeros_like(one.x)
            shortcuts, branches = [s for s, _ in back] + [nothing], [nothing] + [b for _, b in back]
            sums = [shortcut + branch for shortcut, branch in zip(shortcuts, branches, strict=True)]
        return [self._at_images(gradient) for gradient in sums]

    def _at_images(self, gradient: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(self._start, self._images, gradient, retain_graph=True)
        return found


def _passed(unit: ResidualUnit, x: Tensor) -> _Pass:
    activated = unit.first(x)
    residual = unit.branch(activated)
    held = residual.detach().requires_grad_()
    return _Pass(x, residual, held, unit.after_addition(unit.shortcut(activated if unit.shared else x, held)))


def path_gradients(network: ResNet, images: Tensor, labels: Tensor, seed: int) -> Iterator[PathGradient]:
    """Yield the gradient along the paths of length 0, 1, …, n; samples are a function of the seed.

    The network is in evaluation mode. Network and images are best in float64: the gradient along a long path can be
    smaller than the smallest number of float32.
    """
    paths, units = Paths(network, images, labels), len(network.units)
    for length, together in enumerate(paths.by_length()):
        taken = torch.from_numpy(_paths(length, units, len(images), seed)).to(images.device)
        norms = [_mean_norm(paths.along(some)) for some in taken]
        yield PathGradient(length, math.comb(units, length), math.fsum(norms) / len(norms), _mean_norm(together))


def _paths(length: int, units: int, count: int, seed: int) -> np.ndarray:
    """Return paths, rounds × count × units: all of this length in each place, or random ones."""
    if (number := math.comb(units, length)) <= SAMPLES:
        every = np.zeros((number, 1, units), dtype=bool)
        for path, branches in zip(every, combinations(range(units), length), strict=True):
            path[0, list(branches)] = True
        return every.repeat(count, axis=1)
    words = Stream(seed, Purpose.PATHS, length).words((math.ceil(SAMPLES / count), count, units))
    order = np.argsort(words, axis=2, kind="stable")
    return np.argsort(order, axis=2) < length


def _mean_norm(gradients: Tensor) -> float:
    """Return the mean over images of the gradient's Euclidean norm."""
    return gradients.flatten(1).double().norm(dim=1).mean().item()
