"""What the network of a run consists of, counted without memory for its weights."""

from dataclasses import dataclass

from resnet_ablations.build import meta_network, multiply_adds
from resnet_ablations.config import RunConfig

TENSOR_BYTES = 290
"""What a checkpoint takes for each tensor beside its numbers: its name, its shape, its entry in the archive."""


@dataclass(frozen=True)
class Counts:
    """What a network has."""

    multiply_adds: int
    """Of one image forward."""
    checkpoint_bytes: int
    """To within two percent: weights, running statistics, momentum."""


_counts: dict[str, Counts] = {}


def counted(run: RunConfig) -> Counts:
    """What the network of a run has; counted once for each network and size of images."""
    if (network := network_of(run)) not in _counts:
        built = meta_network(run)
        state, momentum = list(built.state_dict().values()), list(built.parameters())
        numbers = sum(tensor.nbytes for tensor in (*state, *momentum))
        _counts[network] = Counts(
            multiply_adds=multiply_adds(run, built),
            checkpoint_bytes=numbers + TENSOR_BYTES * len([*state, *momentum]),
        )
    return _counts[network]


def network_of(run: RunConfig) -> str:
    """What two runs have in common whose networks are the same but for their weights."""
    return f"{run.network} {run.shortcut} {run.activation} {run.data.source.shape} {run.data.source.classes}"
