"""Runs that a signal stops."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from resnet_ablations.config import RunConfig
from resnet_ablations.data.array_batches import ArrayBatches
from resnet_ablations.data.file_batches import FileBatches
from resnet_ablations.training.run import train_run
from resnet_ablations.training.stopping import Interrupted

Train = Callable[..., tuple[Tensor, Tensor]]


def stopped_at(monkeypatch: pytest.MonkeyPatch, run: RunConfig, micro_batch: int) -> None:
    """Train, and send a signal in the middle of micro-batch `micro_batch`."""
    with monkeypatch.context() as patched:
        for kind in (ArrayBatches, FileBatches):
            patched.setattr(kind, "train", _signalled(kind.train, micro_batch))
        with pytest.raises(Interrupted):
            train_run(run)


def _signalled(train: Train, micro_batch: int) -> Train:
    sent = False

    def signalled(self: Any, iteration: int, number: int, passes: int) -> tuple[Tensor, Tensor]:
        nonlocal sent
        # An evaluation with averaged statistics reads the batch again; a second signal would end the process.
        if not sent and iteration * passes + number == micro_batch:
            sent = True
            os.kill(os.getpid(), signal.SIGTERM)
        return train(self, iteration, number, passes)

    return signalled
