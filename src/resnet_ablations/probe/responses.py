"""The strength of each layer's response: v1, section 4.2 and Fig. 7."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from resnet_ablations.sums import in_float64


class Response:
    """The standard deviation of one layer's responses, over all images, channels and positions."""

    def __init__(self, layer: str) -> None:
        self.layer = layer
        self.totals = torch.zeros(3, dtype=torch.float64)
        """The sum of all values, the sum of their squares, and their number; totals of several devices can be added."""

    def add(self, responses: Tensor) -> None:
        """Add one batch of the layer's responses, N × C × H × W, to the totals."""
        values = in_float64(responses.detach())
        number = values.new_tensor(values.numel())
        self.totals = self.totals.to(values.device) + torch.stack([values.sum(), values.square().sum(), number])

    @property
    def std(self) -> float:
        """The standard deviation about the mean of all values."""
        *sums, number = self.totals.tolist()
        mean, square = (total / number for total in sums)
        return max(0.0, square - mean**2) ** 0.5


@contextmanager
def recorded_responses(network: nn.Module) -> Iterator[list[Response]]:
    """Record the responses of every 3×3 convolution, in the network's order, while the context lasts.

    A convolution's response is its output after batch normalisation and before ReLU or the addition. If no batch
    normalisation follows, as after the last convolution of a pre-activation unit, the response is the output itself.
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
    """Return the name of each 3×3 convolution, and the layer whose output is its response."""
    found: list[tuple[str, nn.Module]] = []
    for name, parent in network.named_modules():
        if not isinstance(parent, nn.Sequential):
            continue
        for (child, layer), (_, following) in pairwise([*parent.named_children(), ("", nn.Identity())]):
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                found.append((f"{name}.{child}", following if isinstance(following, nn.BatchNorm2d) else layer))
    return found


def response_metrics(responses: list[Response]) -> dict[str, float]:
    """Return the mean, median and maximum over the layers, as metrics of a run; {} if there are no layers."""
    if not responses:
        return {}
    deviations = [response.std for response in responses]
    return {
        "response_mean": statistics.fmean(deviations),
        "response_median": statistics.median(deviations),
        "response_max": max(deviations),
    }
