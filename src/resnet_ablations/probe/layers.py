"""The layers of a network in the order in which it applies them."""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """One layer of a network, as applied to an image."""

    name: str
    """The module's name, such as `units.3.branch.0`."""
    operation: str
    """`3×3 convolution`, `batch normalisation`, `identity`; for other layers torch's class name, such as `ReLU`."""
    output: str
    """The output's shape for one image, such as `16×8×8`."""
    parameters: int


def layers(network: nn.Module, images: Tensor) -> list[Layer]:
    """Return every module without submodules, in the order of the forward pass; a unit's addition is no module.

    Call the network on N × C × H × W images in evaluation mode, and restore its mode.
    """
    found: list[Layer] = []
    was_training = network.training
    with ExitStack() as after, torch.no_grad():
        after.callback(network.train, was_training)
        for name, module in network.named_modules():
            if not any(module.children()) and not isinstance(module, nn.Sequential):
                parameters = sum(parameter.numel() for parameter in module.parameters())

                def add(
                    module: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name, count: int = parameters
                ) -> None:
                    shape = "×".join(map(str, output.shape[1:]))
                    found.append(Layer(name, _operation(module), shape, count))

                after.callback(module.register_forward_hook(add).remove)
        network.eval()(images)
    return found


def _operation(module: nn.Module) -> str:
    match module:
        case nn.Conv2d():
            stride = f", stride {module.stride[0]}" if module.stride[0] > 1 else ""
            return "{}×{} convolution".format(*module.kernel_size) + stride
        case nn.BatchNorm2d():
            return "batch normalisation"
        case nn.Identity():
            return "identity"
        case _:
            return type(module).__name__
