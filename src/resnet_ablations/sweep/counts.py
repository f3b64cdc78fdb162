"""What the network of a run consists of, counted without memory for its weights."""

from functools import cached_property

from resnet_ablations.build import meta_network
from resnet_ablations.config import RunConfig
from resnet_ablations.network.cost import multiply_adds

TENSOR_BYTES = 290
"""What a checkpoint takes for each tensor beside its numbers: its name, its shape, its entry in the archive."""


class Counts:
    """What a network has; counted when it is asked for, for a sweep's start needs one of them alone."""

    def __init__(self, run: RunConfig) -> None:
        self._network, self._image = meta_network(run), run.data.image

    @cached_property
    def multiply_adds(self) -> int:
        """Of one image forward."""
        return multiply_adds(self._network, self._image)

    @cached_property
    def checkpoint_bytes(self) -> int:
        """To within two percent: weights, running statistics, momentum."""
        state, momentum = list(self._network.state_dict().values()), list(self._network.parameters())
        return sum(tensor.nbytes + TENSOR_BYTES for tensor in (*state, *momentum))


_counts: dict[str, Counts] = {}


def counted(run: RunConfig) -> Counts:
    """What the network of a run has; counted once for each network and size of images."""
    if (network := network_of(run)) not in _counts:
        _counts[network] = Counts(run)
    return _counts[network]


def network_of(run: RunConfig) -> str:
    """What two runs have in common whose networks are the same but for their weights."""
    return f"{run.network} {run.shortcut} {run.activation} {run.data.source.shape} {run.data.source.classes}"
