"""Runs that a signal stops."""

import os
import signal
from collections.abc import Callable

import pytest
from torch import Tensor

from resnet_ablations.config import RunConfig
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.run import train_run
from resnet_ablations.training.stopping import Interrupted


def stopped_at(monkeypatch: pytest.MonkeyPatch, run: RunConfig, micro_batch: int) -> None:
    """Train until a signal comes in the middle of that micro-batch."""
    step: Callable[[TrainingModule, int], Tensor] = TrainingModule.training_step

    def signalled(self: TrainingModule, number: int) -> Tensor:
        if number == micro_batch:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, number)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingModule, "training_step", signalled)
        with pytest.raises(Interrupted):
            train_run(run)
