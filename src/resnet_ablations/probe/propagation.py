"""v2, section 2: what the shortcuts alone carry of the signal forward, and of its gradient back.

Where the shortcut is h(x) = λ·x and nothing follows the addition, v2's eq. 7 and 8 say of a shallow unit's input x_l, a
deep unit's x_L and the loss E, with products and sums over the units from l to L − 1:

    x_L = (∏ λ) x_l + Σ F̂(x_i)        ∂E/∂x_l = ∂E/∂x_L (∏ λ + ∂/∂x_l Σ F̂(x_i))

The first terms are what the shortcuts pass on by themselves, whatever the weights of F are. For any other unit λ is the
derivative of its output with F(x) held constant, what a gate, a convolution or a ReLU after the addition do included.
(Of x itself batch normalisation on a shortcut carries nothing, in this sense: it gives the same for any multiple of x.)
"""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.network.units import ResidualUnit


@dataclass(frozen=True)
class Sizes:
    """At the input of a unit, or the output of the last: Euclidean norms over images, channels and positions."""

    signal: float
    """‖x_l‖"""
    carried: float
    """‖(∏ λ) x_0‖ over the units before this place: what is left here of the first unit's input without any F."""
    gradient: float
    """‖∂E/∂x_l‖"""
    returned: float
    """‖∂E/∂x_L ∏ λ‖ over the units after this place: what is left here of the output's gradient without any F."""


def propagation(network: nn.Module, images: Tensor, labels: Tensor) -> list[Sizes]:
    """The sizes at the input of each residual unit and at the output of the last; E is the mean cross-entropy.

    The network is used as it stands: in `train()` batch normalisation goes by this batch, as when training starts.
    """
    with torch.random.fork_rng():  # so that the second pass drops what the first one does
        signals, logits = _pass(network, images, hold_residuals=False)
    gradients = torch.autograd.grad(F.cross_entropy(logits, labels), signals)
    alone, _ = _pass(network, images, hold_residuals=True)
    carried = [_forward_derivative(x, alone[0]) for x in alone]
    returned = torch.autograd.grad(alone[-1], alone, gradients[-1], **_UNUSED_IS_ZERO)
    places = zip(signals, carried, gradients, returned, strict=True)
    return [Sizes(*(tensor.detach().norm().item() for tensor in place)) for place in places]


_UNUSED_IS_ZERO = {"allow_unused": True, "materialize_grads": True}
"""A plain unit's output does not depend on its input but through F."""


def _pass(network: nn.Module, images: Tensor, *, hold_residuals: bool) -> tuple[list[Tensor], Tensor]:
    """The input of each unit and the output of the last one, and the logits; each F(x) a constant if so wanted."""
    signals: list[Tensor] = []
    units = [unit for unit in network.modules() if isinstance(unit, ResidualUnit)]
    with ExitStack() as hooks:
        for unit in units:
            hooks.callback(unit.register_forward_pre_hook(lambda unit, inputs: signals.append(inputs[0])).remove)
            if hold_residuals:
                # That requires a gradient all the same, for it may be all that a unit hands on.
                hold = unit.branch.register_forward_hook(lambda branch, inputs, f: f.detach().requires_grad_())
                hooks.callback(hold.remove)
        last = units[-1].register_forward_hook(lambda unit, inputs, output: signals.append(output))
        hooks.callback(last.remove)
        logits = network(images)
    return signals, logits


def _forward_derivative(y: Tensor, x: Tensor) -> Tensor:
    """∂y/∂x · x: the derivative, in its own argument, of the backward derivative, which is linear in that."""
    argument = torch.zeros_like(y, requires_grad=True)
    (backward,) = torch.autograd.grad(y, x, argument, create_graph=True, **_UNUSED_IS_ZERO)
    if not backward.requires_grad:
        return torch.zeros_like(y)
    (forward,) = torch.autograd.grad(backward, argument, x.detach(), **_UNUSED_IS_ZERO)
    return forward
