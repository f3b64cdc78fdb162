"""v2, section 2: how much signal the shortcuts alone carry forward, and how much gradient they carry back.

If the shortcut is h(x) = λ·x and nothing follows the addition, v2's eq. 7 and 8 hold for the input x_l of a shallow
unit, the input x_L of a deep unit and the loss E; products and sums run over the units from l to L − 1:

    x_L = (∏ λ) x_l + Σ F̂(x_i)        ∂E/∂x_l = ∂E/∂x_L (∏ λ + ∂/∂x_l Σ F̂(x_i))

The first terms are the part that the shortcuts pass on, whatever the weights of F are. For any other unit, λ is the
derivative of its output with F(x) held constant; it includes a gate, a convolution, or a ReLU after the addition.
(Batch normalisation on a shortcut carries nothing in this sense: its output is the same for every multiple of x.)
"""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.network.units import ResidualUnit


@dataclass(frozen=True)
class Sizes:
    """Euclidean norms over images, channels and positions, at the input of a unit or the output of the last unit."""

    signal: float
    """‖x_l‖"""
    carried: float
    """‖(∏ λ) x_0‖, the product over the units before this place: the first unit's input, carried by shortcuts alone."""
    gradient: float
    """‖∂E/∂x_l‖"""
    returned: float
    """‖∂E/∂x_L ∏ λ‖, the product over the units after this place: the output's gradient, carried by shortcuts alone."""


def propagation(network: nn.Module, images: Tensor, labels: Tensor) -> list[Sizes]:
    """Return the norms at the input of each residual unit and at the output of the last one.

    `images` are N × C × H × W, `labels` N; E is the mean cross-entropy. The network keeps its mode: in `train()` mode
    batch normalisation uses the statistics of this batch, as at the start of training.
    """
    with torch.random.fork_rng():  # so that both passes draw the same dropout masks
        signals, logits = _pass(network, images, hold_residuals=False)
    gradients = torch.autograd.grad(F.cross_entropy(logits, labels), signals)
    alone, _ = _pass(network, images, hold_residuals=True)
    carried = [_forward_derivative(x, alone[0]) for x in alone]
    returned = torch.autograd.grad(alone[-1], alone, gradients[-1], **_UNUSED_IS_ZERO)
    places = zip(signals, carried, gradients, returned, strict=True)
    return [Sizes(*(tensor.detach().norm().item() for tensor in place)) for place in places]


_UNUSED_IS_ZERO = {"allow_unused": True, "materialize_grads": True}
"""Options of `torch.autograd.grad`: with F(x) held constant, a plain unit's output does not depend on its input."""


def _pass(network: nn.Module, images: Tensor, *, hold_residuals: bool) -> tuple[list[Tensor], Tensor]:
    """Return the input of each unit and the output of the last one, and the logits.

    With `hold_residuals`, each F(x) is a constant: no gradient flows through it.
    """
    signals: list[Tensor] = []
    units = [unit for unit in network.modules() if isinstance(unit, ResidualUnit)]
    with ExitStack() as hooks:
        for unit in units:
            hooks.callback(unit.register_forward_pre_hook(lambda unit, inputs: signals.append(inputs[0])).remove)
            if hold_residuals:
                # F(x) may be all that a unit returns, and the unit's output has to require a gradient.
                hold = unit.branch.register_forward_hook(lambda branch, inputs, f: f.detach().requires_grad_())
                hooks.callback(hold.remove)
        last = units[-1].register_forward_hook(lambda unit, inputs, output: signals.append(output))
        hooks.callback(last.remove)
        logits = network(images)
    return signals, logits


def _forward_derivative(y: Tensor, x: Tensor) -> Tensor:
    """Return ∂y/∂x · x, a Jacobian-vector product.

    The backward derivative vᵀ·∂y/∂x is linear in v; its derivative by v, applied to x, is ∂y/∂x · x.
    """
    argument = torch.zeros_like(y, requires_grad=True)
    (backward,) = torch.autograd.grad(y, x, argument, create_graph=True, **_UNUSED_IS_ZERO)
    if not backward.requires_grad:
        return torch.zeros_like(y)
    (forward,) = torch.autograd.grad(backward, argument, x.detach(), **_UNUSED_IS_ZERO)
    return forward
