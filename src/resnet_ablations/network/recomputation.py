"""Training deep networks in little memory: activations are computed again instead of kept."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(units: nn.Sequential, x: Tensor) -> Tensor:
    """units(x), of whose activations only the inputs of some √n segments are kept (Chen et al., 2016).

    The backward pass computes the rest again, segment by segment: the same numbers for a third more computation.
    """
    size = math.ceil(math.sqrt(len(units)))
    for start in range(0, len(units), size):
        segment = units[start : start + size]
        if torch.compiler.is_compiling():
            # A compiled pass moves BN's running statistics once, however often it computes a segment.
            x = checkpoint(segment, x, use_reentrant=False)
        else:
            x = checkpoint(segment, x, use_reentrant=False, context_fn=partial(_contexts, segment))
    return x


def _contexts(segment: nn.Sequential) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the forward pass, and around its repetition."""
    return nullcontext(), _on_copies_of_buffers(segment)


@contextmanager
def _on_copies_of_buffers(module: nn.Module) -> Iterator[None]:
    """A second pass over the same images must not move BN's running statistics a second time."""
    buffers = [(part, name, buffer) for part in module.modules() for name, buffer in part.named_buffers(recurse=False)]
    for part, name, buffer in buffers:
        setattr(part, name, buffer.clone())
    try:
        yield
    finally:
        for part, name, buffer in buffers:
            setattr(part, name, buffer)
