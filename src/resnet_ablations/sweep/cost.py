"""What runs will cost, estimated from their networks' multiply-adds."""

from collections.abc import Iterable

import torch

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.network.cost import cost

GPU_FLOPS = 5e12
"""Operations a second that one GPU is taken to sustain on these networks: an assumption, not measured."""


def gpu_hours(runs: Iterable[RunConfig]) -> float:
    """Hours of one GPU for all runs: a step is taken as three times its forward pass, two operations a multiply-add."""
    operations = sum(6 * _multiply_adds(run) * run.schedule.batch_size * run.schedule.iterations for run in runs)
    return operations / GPU_FLOPS / 3600


_counted: dict[str, int] = {}


def _multiply_adds(run: RunConfig) -> int:
    """Of one image forward; counted once for each network and size of images."""
    height, width, channels = run.data.source.shape
    identity = f"{run.network} {run.shortcut} {run.activation} {run.data.source.shape} {run.data.source.classes}"
    if identity not in _counted:
        with torch.device("meta"):
            network = build_network(run)
        _counted[identity] = cost(network, (2, channels, height, width)).multiply_adds
    return _counted[identity]


def checkpoint_bytes(run: RunConfig) -> int:
    """Size of a checkpoint: weights, running statistics and momentum."""
    with torch.device("meta"):
        network = build_network(run)
    tensors = [*network.state_dict().values(), *network.parameters()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
