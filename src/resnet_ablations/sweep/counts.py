"""The multiply-adds and the checkpoint size of a run's network, computed without memory for its weights."""

from collections.abc import Iterable
from functools import cached_property

from torch import Tensor

from resnet_ablations.build import meta_network
from resnet_ablations.config import RunConfig
from resnet_ablations.network.cost import multiply_adds
from resnet_ablations.training.weights import keeps_weights

TENSOR_BYTES = 290
"""The bytes of a file for each tensor besides its numbers: name, shape, archive entry."""


class Counts:
    """The counts of a network, computed on first use: the start of a sweep needs only one of them."""

    def __init__(self, run: RunConfig) -> None:
        self._network, self._image = meta_network(run), run.data.image
        self._kept: dict[bool | None, int] = {}

    @cached_property
    def multiply_adds(self) -> int:
        """The multiply-adds of a forward pass of one image."""
        return multiply_adds(self._network, self._image)

    @cached_property
    def checkpoint_bytes(self) -> int:
        """The size of a checkpoint (weights, running statistics, momentum), to within 2 %."""
        state, momentum = list(self._network.state_dict().values()), list(self._network.parameters())
        return _file_bytes([*state, *momentum])

    def kept_bytes(self, setting: bool | None) -> int:
        """Return the size of the weights that a finished run keeps, by `trainer.keep_weights`; 0 if it keeps none."""
        if setting not in self._kept:
            kept = self._network.state_dict().values() if keeps_weights(setting, self._network) else ()
            self._kept[setting] = _file_bytes(kept)
        return self._kept[setting]


def _file_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes + TENSOR_BYTES for tensor in tensors)


_counts: dict[str, Counts] = {}


def counted(run: RunConfig) -> Counts:
    """Return the counts of a run's network; cached by network and image size."""
    if (network := network_of(run)) not in _counts:
        _counts[network] = Counts(run)
    return _counts[network]


def network_of(run: RunConfig) -> str:
    """Return a text that is equal for two runs if their networks differ at most in weights."""
    return f"{run.network} {run.shortcut} {run.activation} {run.data.source.shape} {run.data.source.classes}"
