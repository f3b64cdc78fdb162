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
    counted: dict[str, int] = {}
    operations = 0
    for run in runs:
        image = run.data.source.shape
        identity = f"{run.network} {run.shortcut} {run.activation} {image}"
        if identity not in counted:
            with torch.device("meta"):
                network = build_network(run)
            counted[identity] = cost(network, (2, image[2], *image[:2])).multiply_adds
        operations += 6 * counted[identity] * run.schedule.batch_size * run.schedule.iterations
    return operations / GPU_FLOPS / 3600
