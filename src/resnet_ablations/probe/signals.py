"""The signal and the gradient of each residual unit on a batch; `UnitSignals` explains them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.network.masks import masks_of, numbers_of_masks
from resnet_ablations.network.units import ResidualUnit
from resnet_ablations.results.signals import UnitSignals


@dataclass
class _Pass:
    """The tensors of one unit in a forward pass."""

    unit: ResidualUnit
    x: Tensor = field(init=False)
    residual: Tensor = field(init=False)
    negative: Tensor = field(init=False)
    gate: Tensor | None = None


def unit_signals(network: nn.Module, images: Tensor, labels: Tensor) -> list[UnitSignals]:
    """Return the signals of each residual unit, and of the output of the last one.

    `images` are N × C × H × W, `labels` N. The network keeps its mode and its parameters' gradients. In `train()` mode
    batch normalisation uses the statistics of this batch and updates its running statistics, and dropout masks that
    are not set are drawn.
    """
    passes = [_Pass(module) for module in network.modules() if isinstance(module, ResidualUnit)]
    with ExitStack() as hooks, torch.enable_grad(), _masks_drawn(network, images):
        outputs: list[Tensor] = []
        for each in passes:
            for hook in _hooks(each):
                hooks.callback(hook.remove)
        last = passes[-1].unit.register_forward_hook(lambda unit, inputs, output: outputs.append(output))
        hooks.callback(last.remove)
        loss = F.cross_entropy(network(images), labels)
        signals = [*(each.x for each in passes), *outputs]
        gradients = torch.autograd.grad(loss, signals)
        direct = _direct_terms(passes, gradients[-1])
    sizes = _norms(signals), _norms(gradients), _norms(direct), _norms([each.residual for each in passes])
    found = [
        UnitSignals(number, signal, gradient, term, residual, each.negative.item(), **_scale_and_gate(each))
        for number, (each, signal, gradient, term, residual) in enumerate(zip(passes, *sizes, strict=False), start=1)
    ]
    return [*found, UnitSignals(len(passes) + 1, *(size[-1] for size in sizes[:3]))]


@contextmanager
def _masks_drawn(network: nn.Module, images: Tensor) -> Iterator[None]:
    """Draw the masks that are not set, so that both passes through a unit have the same."""
    unset = [mask for mask in masks_of(network) if mask.numbers is None]
    numbers_of_masks(unset, len(images), images.device).random_()
    yield
    for mask in unset:
        mask.numbers = None


def _hooks(each: _Pass) -> Sequence[Any]:
    """Register hooks that keep the unit's tensors; return their handles."""

    def keep(name: str, value: Callable[[tuple[Tensor, ...], Tensor], Tensor]) -> Callable[..., None]:
        return lambda module, inputs, output: setattr(each, name, value(inputs, output))

    unit = each.unit
    gate = getattr(unit.shortcut, "gate", None)
    return [
        unit.register_forward_pre_hook(lambda module, inputs: setattr(each, "x", inputs[0])),
        unit.branch.register_forward_hook(keep("residual", lambda inputs, f: f.detach())),
        unit.shortcut.register_forward_hook(keep("negative", lambda inputs, y: (y.detach() < 0).float().mean())),
        *([] if gate is None else [gate.register_forward_hook(keep("gate", lambda inputs, g: g.detach()))]),
    ]


def _direct_terms(passes: Sequence[_Pass], gradient: Tensor) -> list[Tensor]:
    """Return the direct term at the input of each unit, and the gradient at the output of the last one."""
    terms = [gradient]
    for each in reversed(passes):
        unit, x = each.unit, each.x.detach().requires_grad_()
        output = unit.after_addition(unit.shortcut(unit.first(x) if unit.shared else x, each.residual))
        if output.requires_grad:
            (term,) = torch.autograd.grad(output, x, terms[-1], allow_unused=True, materialize_grads=True)
        else:  # a plain unit, whose output is F(x)
            term = torch.zeros_like(x)
        terms.append(term)
    return terms[::-1]


def _norms(tensors: Sequence[Tensor]) -> list[float]:
    return torch.stack([tensor.detach().double().norm() for tensor in tensors]).tolist()


def _scale_and_gate(each: _Pass) -> dict[str, float | None]:
    shortcut, gate = each.unit.shortcut, each.gate
    if gate is None:
        return {"scale": shortcut.expected_scale(None)}
    mean = gate.double().mean().item()
    bias = getattr(shortcut.gate, "bias", None)
    return {
        "scale": shortcut.expected_scale(mean),
        "gate_mean": mean,
        "gate_open": (gate > 0.5).double().mean().item(),
        "gate_bias": bias.detach().double().mean().item() if isinstance(bias, Tensor) else None,
    }
