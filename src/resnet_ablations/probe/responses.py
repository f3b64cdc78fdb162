"""v1, section 4.2 and Fig. 7: how strongly each layer responds."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn


class Response:
    """The standard deviation of one layer's responses, over images, channels and positions together."""

    def __init__(self, layer: str) -> None:
        self.layer = layer
        self.totals = torch.zeros(3, dtype=torch.float64)
        """The sum of all values, that of their squares, and their number: those of several devices add up."""

    def add(self, responses: Tensor) -> None:
        """Count in the layer's responses to a batch, N × C × H × W."""
        values = responses.detach().double()
        number = values.new_tensor(values.numel())
        self.totals = self.totals.to(values.device) + torch.stack([values.sum(), values.square().sum(), number])

    @property
    def std(self) -> float:
        """About the mean of all."""
        *sums, number = self.totals.tolist()
        mean, square = (total / number for total in sums)
        return max(0.0, square - mean**2) ** 0.5


@contextmanager
def recorded_responses(network: nn.Module) -> Iterator[list[Response]]:
    """The responses of every 3×3 convolution, in the network's order, to what it is called with inside.

    A convolution's response is its output after batch normalisation and before ReLU or the addition; where no batch
    normalisation follows, as after a pre-activation unit's last convolution, it is the output itself.
    """
    responses, hooks = [], []
    for name, layer in _layers(network):
        response = Response(name)
        responses.append(response)
        hooks.append(layer.register_forward_hook(lambda module, inputs, output, to=response: to.add(output)))
    try:
        yield responses
    finally:
        for hook in hooks:
            hook.remove()


def _layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Each 3×3 convolution's name, and the layer whose output is its response."""
    found: list[tuple[str, nn.Module]] = []
    for name, parent in network.named_modules():
        if not isinstance(parent, nn.Sequential):
            continue
        for (child, layer), (_, following) in pairwise([*parent.named_children(), ("", nn.Identity())]):
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                found.append((f"{name}.{child}", following if isinstance(following, nn.BatchNorm2d) else layer))
    return found


def summary(responses: list[Response]) -> dict[str, float]:
    """Mean, median and maximum over the layers, as metrics of a run; none for a network without such layers."""
    if not responses:
        return {}
    deviations = [response.std for response in responses]
    return {
        "response_mean": statistics.fmean(deviations),
        "response_median": statistics.median(deviations),
        "response_max": max(deviations),
    }
