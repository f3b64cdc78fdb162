"""Training of deep networks in little memory: the backward pass computes activations again instead of keeping them."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(units: nn.Sequential, x: Tensor) -> Tensor:
    """Return units(x), keeping only the inputs of about √n segments of n units (Chen et al., 2016).

    The backward pass computes the other activations again, segment by segment: the same numbers, a third more
    computation.
    """
    size = math.ceil(math.sqrt(len(units)))
    for start in range(0, len(units), size):
        segment = units[start : start + size]
        if torch.compiler.is_compiling():
            # A compiled pass updates BN's running statistics once, however often it computes a segment.
            x = checkpoint(segment, x, use_reentrant=False)
        else:
            x = checkpoint(segment, x, use_reentrant=False, context_fn=partial(_contexts, segment))
    return x


def _contexts(segment: nn.Sequential) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts of the forward pass and of its repetition in the backward pass."""
    return nullcontext(), _on_copies_of_buffers(segment)


@contextmanager
def _on_copies_of_buffers(module: nn.Module) -> Iterator[None]:
    """Replace buffers by copies, so that the repetition does not update BN's running statistics a second time."""
    buffers = [
        (child, name, buffer) for child in module.modules() for name, buffer in child.named_buffers(recurse=False)
    ]
    for child, name, buffer in buffers:
        setattr(child, name, buffer.clone())
    try:
        yield
    finally:
        for child, name, buffer in buffers:
            setattr(child, name, buffer)
