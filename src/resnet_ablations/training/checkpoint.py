"""Checkpoints: the state that a run needs to resume.

Batches and dropout masks are functions of the iteration, so a checkpoint does not hold them. The learning rate is a
function of the iteration and of `warmed_up`.
"""

import io
import logging
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.training.weights import loaded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `iteration` updates."""

    key: str
    iteration: int
    network: dict[str, Tensor]
    """Weights and running statistics; with several ranks, the first rank's terms of the running statistics."""
    momentum: list[Tensor]
    """One momentum buffer per parameter, in the optimizer's order."""
    learning_rate: float
    """The learning rate of the last update, which is also the unit of the momentum buffers."""
    sums: Tensor
    """The summed loss and the number of errors since the curve's last row."""
    since_record: int
    """The iterations since the curve's last row."""
    curve: str
    """The text of `curve.csv` so far."""
    seconds: float
    """Seconds of training so far, without evaluation."""
    elapsed: float
    """Seconds since the start of the run, with evaluation."""
    warmed_up: bool = False
    """True if a row of the curve had a training error below `schedule.warmup_until_error`."""
    others: list[list[Tensor]] = field(default_factory=list)
    """The other ranks' terms of the running statistics (`RunningStatistics`) and sums, in the order of the ranks."""
    signals: str = ""
    """The text of `signals.csv` so far; empty if the run records none."""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    """The provenance of each attempt so far; empty in checkpoints of earlier versions."""


def save_checkpoint(writer: RunWriter, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into the run's folder, which keeps the two newest ones."""
    buffer = io.BytesIO()
    torch.save(asdict(checkpoint), buffer)
    writer.write_checkpoint(checkpoint.iteration, buffer.getvalue())


def load_checkpoint(writer: RunWriter) -> Checkpoint | None:
    """Return the newest intact checkpoint of this run; None if there is none.

    Damaged files, and checkpoints of another run, are renamed with a warning. Nothing in a file is executed.
    """
    for path, content in writer.sound_checkpoints():
        try:
            checkpoint = Checkpoint(**loaded(content))
            if checkpoint.key != writer.folder.key:
                raise ValueError(f"the checkpoint belongs to the run {checkpoint.key}")
        except (ValueError, TypeError) as error:
            log.warning("%s: not used: %s", path.name, " ".join(str(error).split())[:200])
            writer.set_aside(path)
        else:
            return checkpoint
    return None
