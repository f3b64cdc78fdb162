"""Lightning's callbacks of a run: they write the curve, the status and the checkpoints, and stop the training."""

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, final

import pytorch_lightning as pl

from resnet_ablations.errors import UserError
from resnet_ablations.results.curve import CurveFile, CurveRow
from resnet_ablations.results.run_folder import Status
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.settings import TrainerSettings
from resnet_ablations.training.checkpoint import Checkpoint, save_checkpoint
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.ranks import Ranks
from resnet_ablations.training.stopping import StopRequest

log = logging.getLogger(__name__)


class AfterIteration(pl.Callback, ABC):
    """A callback that acts after each iteration."""

    @abstractmethod
    def after_iteration(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Act after `module.iterations_done` iterations; `module.row` is the row that the last one completed."""

    @final
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *arguments: Any) -> None:
        self.after_iteration(trainer, pl_module)


@final
class WriteCurve(AfterIteration):
    """Writer of each new row of the curve to `curve.csv` and to the log."""

    def __init__(self, curve: CurveFile, iterations: int) -> None:
        self._curve = curve
        self._iterations = iterations

    def after_iteration(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        if module.row is not None:
            self._curve.append(module.row)
            log.info("%s", _line(module.row, self._iterations, module.images_per_second))


@final
class WriteStatus(AfterIteration):
    """Writer of the run's status, about once a second."""

    def __init__(self, writer: RunWriter, status: Status, batch_size: int) -> None:
        self._writer = writer
        self._status = status
        self._batch_size = batch_size
        self._written = -math.inf

    def after_iteration(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        status = self._status
        status.iteration = module.iterations_done
        if time.monotonic() - self._written > 1:
            status.images_per_second = module.images_per_second
            images_left = (status.iterations - status.iteration) * self._batch_size
            status.seconds_left = images_left / status.images_per_second
            self.write()

    def write(self) -> None:
        """Write the status now."""
        self._written = time.monotonic()
        self._writer.set_status(self._status)


@final
class WriteCheckpoints(AfterIteration):
    """Writer of a checkpoint when one is due; after a stop signal to any rank it writes one and stops the training.

    `state` returns the checkpoint, in every rank. Only the first rank, which has the `status`, writes files.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        ranks: Ranks,
        stop: StopRequest,
        writer: RunWriter,
        state: Callable[[], Checkpoint],
        status: WriteStatus | None,
    ) -> None:
        self.stopped_by = 0
        """The number of the signal that stopped the training; 0 if none has."""
        self._settings = settings
        self._ranks = ranks
        self._stop = stop
        self._writer = writer
        self._state = state
        self._status = status
        self._saved = time.monotonic()

    def after_iteration(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        if module.is_done:
            return  # a run that resumed from a checkpoint here would not write the curve's last row
        due = self._status is not None and self._is_due(module.iterations_done)
        self.stopped_by, due_anywhere = self._ranks.all_reduce_max(self._stop.signal or 0, int(due))
        if self.stopped_by or due_anywhere:
            checkpoint = self._state()
            if self._status is not None:
                save_checkpoint(self._writer, checkpoint)
            self._saved = time.monotonic()
        if self.stopped_by:
            self._stop.signal = self.stopped_by  # another rank may have received the signal
            trainer.should_stop = True
            if self._status is not None:
                with suppress(OSError, UserError):  # the run has stopped all the same
                    self._status.write()

    def _is_due(self, iteration: int) -> bool:
        every = self._settings.checkpoint_iterations
        seconds = time.monotonic() - self._saved
        return seconds >= 60 * self._settings.checkpoint_minutes or (every is not None and iteration % every == 0)


def _line(row: CurveRow, iterations: int, images_per_second: float) -> str:
    test = "" if row.test_error is None else f"  test: loss {row.test_loss:.4f} error {row.test_error:.2f} %"
    return (
        f"{row.iteration}/{iterations}  train: loss {row.train_loss:.4f} error {row.train_error:.2f} %{test}"
        f"  {images_per_second:,.0f} images/s"
    )
