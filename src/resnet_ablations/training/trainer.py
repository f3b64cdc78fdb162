"""Lightning's trainer as a run uses it: one device, no hints, no signals."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]

from resnet_ablations.config import RunConfig
from resnet_ablations.training.compute import set_float32_precision
from resnet_ablations.training.devices import accelerator_of
from resnet_ablations.training.ranks import Ranks


class _Trainer(pl.Trainer):
    """One that leaves it to the run what a signal means: Lightning would stop between the micro-batches of a step."""

    received_sigterm = False


def lightning_trainer(config: RunConfig, iterations: int, ranks: Ranks) -> pl.Trainer:
    """Lightning's trainer for so many iterations of a run, and torch's global settings that go with it.

    Lightning knows of the rank's own device alone: its DDP would start this program again for each rank, broadcast
    in a signal's handler, and wait for every rank before every micro-batch.
    """
    # Which cuDNN kernel is fastest differs from call to call: the same seed would not give the same curve.
    torch.backends.cudnn.benchmark = False
    # Filling memory that nobody reads costs some 8 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    accelerator = accelerator_of(config)
    return _Trainer(
        accelerator=accelerator,
        devices=[ranks.local_rank % torch.cuda.device_count()] if accelerator == "gpu" else 1,
        # Under SLURM, Lightning would count the job's tasks and requeue the job in its own way.
        plugins=[LightningEnvironment()],
        precision=set_float32_precision(config.precision),
        max_steps=iterations,
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's hints speak of data loaders, loggers and a SLURM that a run does not use."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
        try:
            yield
        finally:
            logger.setLevel(level)
