"""What a run needs to go on where it was: batches, dropout masks and learning rates are functions of the iteration."""

import hashlib
import io
import logging
from dataclasses import asdict, dataclass, field
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from resnet_ablations.results.run_folder import RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A run after `iteration` updates."""

    key: str
    iteration: int
    network: dict[str, Tensor]
    """Weights and running statistics, or the first rank's terms of these."""
    momentum: list[Tensor]
    """One buffer a parameter, in the optimizer's order."""
    learning_rate: float
    """Of the last update: the buffers are in its units."""
    sums: Tensor
    """Loss and errors since the curve's last row, and over how many iterations: `since_record`."""
    since_record: int
    curve: str
    """The text of `curve.csv` so far."""
    seconds: float
    """Of training so far, evaluation not counted."""
    elapsed: float
    """Of everything so far."""
    others: list[list[Tensor]] = field(default_factory=list)
    """Of each further rank, in order: its terms of the running statistics, and its sums; see `RunningStatistics`."""


def save_checkpoint(folder: RunFolder, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into the run's folder, where the two newest are kept."""
    buffer = io.BytesIO()
    torch.save(asdict(checkpoint), buffer)
    folder.write_checkpoint(checkpoint.iteration, buffer.getvalue())


def load_checkpoint(folder: RunFolder) -> Checkpoint | None:
    """The newest sound checkpoint of this run; others are set aside with a warning. Nothing in a file is executed."""
    for path, content in folder.sound_checkpoints():
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            checkpoint = Checkpoint(**state)
            if checkpoint.key != folder.key:
                raise ValueError(f"it belongs to {checkpoint.key}")
        except (UnpicklingError, ValueError, TypeError, RuntimeError, EOFError) as error:
            log.warning("%s: not used: %s", path.name, " ".join(str(error).split())[:200])
            folder.set_aside(path)
        else:
            return checkpoint
    return None


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of a network's weights and running statistics."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
