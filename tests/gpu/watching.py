"""Runs that are watched and stopped at given iterations."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import pytorch_lightning as pl

from resnet_ablations.config import RunConfig
from resnet_ablations.results.run_folder import Result, RunFolder
from resnet_ablations.training.run import train_run
from resnet_ablations.training.stopping import Interrupted

Actions = Mapping[int, Callable[[], object]]


class AfterIterations(pl.Callback):
    """Calls a function after each of the given iterations of a run that starts at its beginning."""

    def __init__(self, iterations: int, actions: Actions) -> None:
        self.iterations = iterations
        self.actions = actions

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *arguments: Any) -> None:
        batches = int(trainer.num_training_batches) // self.iterations
        _, _, number = arguments
        iteration, part = divmod(number + 1, batches)
        if part == 0 and iteration in self.actions:
            self.actions[iteration]()


def train_watched(monkeypatch: pytest.MonkeyPatch, run: RunConfig, actions: Actions) -> Result:
    """Train a run from its beginning to its end, calling each function after its iteration."""
    fit = pl.Trainer.fit
    watcher = AfterIterations(run.schedule.iterations, actions)

    def watched(self: pl.Trainer, *arguments: Any, **named: Any) -> None:
        self.callbacks.append(watcher)  # type: ignore[attr-defined]
        fit(self, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(pl.Trainer, "fit", watched)
        result = train_run(run)
    assert result is not None
    return result


def train_until(monkeypatch: pytest.MonkeyPatch, run: RunConfig, iteration: int) -> None:
    """Train a run, with SIGTERM as soon as the checkpoint of `iteration` is written: it ends one iteration later."""
    write = RunFolder.write_checkpoint

    def signalled(self: RunFolder, number: int, content: bytes) -> None:
        write(self, number, content)
        if number == iteration:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write_checkpoint", signalled)
        with pytest.raises(Interrupted):
            train_run(run)
    assert run.folder.resumable_from() == iteration + 1
