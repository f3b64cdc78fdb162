"""The paper's momentum, which is Caffe's: v ← m·v + lr·(g + wd·w), w ← w − v.

Nesterov's momentum, also in Caffe's form: the same v, and w ← w − (m·v + lr·(g + wd·w)).

Torch's form, in R1 and FB: b ← m·b + g + wd·w, w ← w − lr·b; Nesterov's: w ← w − lr·(g + wd·w + m·b). Both forms are
equal while lr is constant.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from resnet_ablations.network.shortcuts import Shortcut


def set_learning_rate(
    optimizer: torch.optim.Optimizer, learning_rate: float, form: Literal["caffe", "torch"] = "caffe"
) -> None:
    """Set the learning rate of a `torch.optim.SGD`; for Caffe's form, rescale its momentum buffers.

    torch keeps b = v / lr, fused or not. Caffe's v contains each gradient times the learning rate of that gradient's
    iteration. At a change of lr, torch alone would rescale all past gradients; for Caffe's form, b becomes v / lr with
    the new lr instead.
    """
    for group in optimizer.param_groups:
        if group["lr"] == learning_rate:
            continue
        if form == "caffe":
            _rescale(optimizer, group["params"], group["lr"] / learning_rate)
        group["lr"] = learning_rate


def _rescale(optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor], factor: float) -> None:
    """Multiply the momentum buffers of the parameters; a parameter has none before its first update."""
    for parameter in parameters:
        buffer = optimizer.state[parameter].get("momentum_buffer")
        if buffer is not None:
            buffer.mul_(factor)


def split_by_decay(network: nn.Module, decayed: str) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters with weight decay and the parameters without it.

    With `all`, every parameter decays; with `conv_weights`, only the weights of convolutions and of the classifier do.
    The `undecayed()` parameters of a shortcut never decay.
    """
    spared = {id(p) for module in network.modules() if isinstance(module, Shortcut) for p in module.undecayed()}
    if decayed == "conv_weights":
        spared |= {id(parameter) for parameter in network.parameters() if parameter.ndim == 1}
    parameters = list(network.parameters())
    return [p for p in parameters if id(p) not in spared], [p for p in parameters if id(p) in spared]
