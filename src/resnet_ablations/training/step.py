"""The arithmetic of one iteration before the update: forward pass, loss, backward pass and the curve's sums."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_ablations.settings import CompileMode
from resnet_ablations.sums import in_float64
from resnet_ablations.training.compute import forget_gradients


class Step:
    """The forward and backward passes of an iteration; their number is `passes`, and their gradients are averaged."""

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        sums: Tensor,
        passes: int,
        compile_mode: CompileMode | None,
    ) -> None:
        self._forward = forward
        self._optimizer = optimizer
        self._sums = sums
        self._passes = passes
        self._compile_mode = compile_mode

    def add_gradients(self, number: int, images: Tensor, labels: Tensor) -> None:
        """Add the gradients of pass `number`, counted from 0, and its loss and errors to the sums.

        The first pass drops the gradients of the iteration before.
        """
        if number == 0:
            forget_gradients(self._optimizer, self._compile_mode)
        logits = self._forward(images)
        # One sum for the curve and the gradients: divided by the number of images, it is the mean to the last bit.
        loss = F.cross_entropy(logits, labels, reduction="sum")
        self._sums += loss_and_errors(loss, logits, labels)
        # The backward pass has the types of the forward pass; autocast must not choose types a second time.
        with torch.autocast(images.device.type, enabled=False):
            (loss / len(labels) / self._passes).backward()


def loss_and_errors(loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the batch's summed cross-entropy, which is `loss`, and its number of errors, on `device_of_sums`."""
    errors = (logits.detach().argmax(1) != labels).sum()
    return torch.stack([in_float64(loss.detach()), in_float64(errors)])
