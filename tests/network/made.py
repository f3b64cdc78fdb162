"""Networks for tests: composed from conf/, made small, with random values where 0 and 1 could hide a mistake."""

from dataclasses import replace
from functools import cache

import torch
from torch import nn

from resnet_ablations.config import RunConfig
from resnet_ablations.overrides import compose
from resnet_ablations.paths import CONF


def names(group: str) -> list[str]:
    """Return the options of a group: every file that a user can choose."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if not path.name.startswith("_"))


NETWORKS, ACTIVATIONS, SHORTCUTS = names("network"), names("activation"), names("shortcut")


@cache
def composed(*overrides: str) -> RunConfig:
    return compose(overrides)


def combined(network: str, activation: str = "original", shortcut: str = "identity") -> RunConfig:
    """Return a configuration with these three options; composing each option once is faster than each combination."""
    parts = {
        "activation": composed(f"activation={activation}").activation,
        "shortcut": composed(f"shortcut={shortcut}").shortcut,
    }
    return composed(f"network={network}").model_copy(update=parts)


def small(config: RunConfig, units: int = 1, width: int = 4) -> RunConfig:
    """Return the configuration with `units` units per stage and `width` channels, doubled in each further stage."""
    network = narrow(config, width).network
    stages = len(network.widths)
    changes = {"depth": 2 + len(network.kernels) * stages * units, "units": [units] * stages}
    return config.model_copy(update={"network": network.model_copy(update=changes)})


def narrow(config: RunConfig, width: int = 4) -> RunConfig:
    """Return the configuration at its own depth, with `width` channels, doubled in each further stage."""
    network = config.network
    widths = [width * 2**stage for stage in range(len(network.widths))]
    changes = {"widths": widths, "stem": replace(network.stem, width=width)}
    return config.model_copy(update={"network": network.model_copy(update=changes)})


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Return the network with random γ, β, biases and running statistics; 0 and 1 would hide a wrong order."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.ndim == 1:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network
