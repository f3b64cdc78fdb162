"""The signal and the gradient of each residual unit on a batch; `UnitSignals` explains them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from resnet_ablations.network.masks import masks_of, numbers_of_masks
from resnet_ablations.network.units import ResidualUnit
from resnet_ablations.results.signals import UnitSignals
from resnet_ablations.sums import in_float64, summable


@dataclass
class _Pass:
    """The passes through one unit: the places where the graph is cut, and scalars of the tensors there.

    No tensor is kept that the graph does not keep, so that the memory is that of a training step.
    """

    unit: ResidualUnit
    x: GradientEdge = field(init=False)
    """The unit's input, where the unit's own graph begins."""
    branch: GradientEdge = field(init=False)
    """F(x), where the graph of the branch ends."""
    residual: GradientEdge = field(init=False)
    """F(x), where the graph of the merge begins."""
    output: GradientEdge = field(init=False)
    scalars: dict[str, Tensor | None] = field(default_factory=dict)
    """The values of `UnitSignals` by name, but for unit and scale."""


@final
class _Cut(torch.autograd.Function):
    """The identity, whose result requires a gradient and passes none on; unlike a leaf's, its graph keeps no tensor."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None]:
        return None, None


def unit_signals(network: nn.Module, images: Tensor, labels: Tensor) -> list[UnitSignals]:
    """Return the signals of each residual unit, and of the output of the last one.

    `images` are N × C × H × W, `labels` N. The network keeps its mode and its parameters' gradients. In `train()` mode
    batch normalisation uses the statistics of this batch and updates its running statistics, and dropout masks that
    are not set are drawn. Under autocast the backward pass keeps the types of the forward pass, as in training.
    """
    passes = [_Pass(module) for module in network.modules() if isinstance(module, ResidualUnit)]
    end = _Pass(passes[-1].unit)
    with ExitStack() as hooks, torch.enable_grad(), _masks_drawn(network, images):
        for each in passes:
            for hook in _hooks(each):
                hooks.callback(hook.remove)
        last = passes[-1].unit.register_forward_hook(lambda unit, inputs, output: _input(end, output))
        hooks.callback(last.remove)
        # The sum keeps the gradient at an image from shrinking with the size of the batch, as that of the mean would.
        loss = F.cross_entropy(network(images), labels, reduction="sum")
    with torch.autocast(images.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(loss, end.x)
        direct: Tensor | None = gradient
        end.scalars |= {"gradient": _rms(gradient), "direct": _rms(gradient)}
        for each in reversed(passes):
            gradient, direct = _backward(each, gradient, direct)
            each.scalars |= {"gradient": _rms(gradient), "direct": None if direct is None else _rms(direct)}
    return [_signals(number, each) for number, each in enumerate([*passes, end], start=1)]


@contextmanager
def _masks_drawn(network: nn.Module, images: Tensor) -> Iterator[None]:
    """Draw the masks that are not set."""
    unset = [mask for mask in masks_of(network) if mask.numbers is None]
    numbers_of_masks(unset, len(images), images.device).random_()
    yield
    for mask in unset:
        mask.numbers = None


def _hooks(each: _Pass) -> Sequence[Any]:
    """Register hooks that cut the unit's graph and record its scalars; return their handles."""

    def branch(module: nn.Module, inputs: object, f: Tensor) -> Tensor:
        each.scalars["residual"] = _rms(f)
        each.branch = get_gradient_edge(f)
        cut = _cut(f)
        each.residual = get_gradient_edge(cut)
        return cut

    def merge(module: nn.Module, inputs: object, y: Tensor) -> None:
        each.scalars["negative"] = _share(y.detach() < 0)

    def gate(module: nn.Module, inputs: object, g: Tensor) -> None:
        each.scalars |= {"gate_mean": in_float64(g.detach()).mean(), "gate_open": _share(g.detach() > 0.5)}
        if isinstance(bias := getattr(module, "bias", None), Tensor):
            each.scalars["gate_bias"] = in_float64(bias.detach()).mean()

    def output(module: nn.Module, inputs: object, x: Tensor) -> None:
        each.output = get_gradient_edge(x)

    unit = each.unit
    handles = [
        unit.register_forward_pre_hook(lambda module, inputs: _input(each, inputs[0])),
        unit.branch.register_forward_hook(branch),
        unit.shortcut.register_forward_hook(merge),
        unit.register_forward_hook(output),
    ]
    if isinstance(module := getattr(unit.shortcut, "gate", None), nn.Module):
        handles.append(module.register_forward_hook(gate))
    return handles


def _input(each: _Pass, x: Tensor) -> Tensor:
    """Cut the graph at the unit's input, and record its size."""
    each.scalars["signal"] = _rms(x)
    cut = _cut(x)
    each.x = get_gradient_edge(cut)
    return cut


def _cut(tensor: Tensor) -> Tensor:
    cut: Tensor = _Cut.apply(torch.empty(0, requires_grad=True), tensor.detach())
    return cut


def _backward(each: _Pass, gradient: Tensor, direct: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the gradient and the direct term at the unit's input from those at its output; free the unit's graph."""
    (at_residual,) = torch.autograd.grad(each.output, each.residual, gradient, retain_graph=True)
    if direct is not None:  # None is zero: a plain unit's output is F(x)
        (direct,) = torch.autograd.grad(each.output, each.x, direct, retain_graph=True, allow_unused=True)
    (gradient,) = torch.autograd.grad([each.output, each.branch], each.x, [gradient, at_residual])
    del each.output, each.branch, each.residual, each.x
    return gradient, direct


def _rms(tensor: Tensor) -> Tensor:
    """Return the root mean square over the images of their Euclidean norms."""
    return torch.linalg.vector_norm(summable(tensor.detach()), dtype=torch.float64) / len(tensor) ** 0.5


def _share(of: Tensor) -> Tensor:
    return summable(of.count_nonzero()) / of.numel()


def _signals(number: int, each: _Pass) -> UnitSignals:
    values = {name: None if value is None else value.item() for name, value in each.scalars.items()}
    values["direct"] = values["direct"] or 0.0
    if "residual" in values:
        values["scale"] = each.unit.shortcut.expected_scale(values.get("gate_mean"))
    return UnitSignals(number, **values)  # type: ignore[arg-type]
