"""Lightning's trainer, configured for a run: one device, no hints, no signal handlers."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]
from pytorch_lightning.profilers import Profiler

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.training.compute import check_compute, set_float32_precision
from resnet_ablations.training.data_module import DataModule
from resnet_ablations.training.devices import accelerator_of
from resnet_ablations.training.ranks import Ranks


class _Trainer(pl.Trainer):
    """A trainer without Lightning's signal handling, which would stop between the micro-batches of a step."""

    received_sigterm = False


class Extras(NamedTuple):
    """Additions of a caller to the training of a run: Lightning's callbacks and profiler."""

    callbacks: Sequence[pl.Callback] = ()
    profiler: Profiler | str | None = None


NOTHING: Final = Extras()
"""No callbacks and no profiler."""


def lightning_trainer(config: RunConfig, iterations: int, ranks: Ranks, extras: Extras = NOTHING) -> pl.Trainer:
    """Return Lightning's trainer for `iterations` iterations of a run, and set torch's global options for the run.

    Lightning knows only this rank's device, because its DDP would start this program again for each rank, broadcast
    inside a signal handler, and wait for all ranks before every micro-batch.
    """
    # The benchmark may choose another cuDNN kernel in every process: the same seed would not give the same curve.
    torch.backends.cudnn.benchmark = False
    # Filling uninitialised memory costs about 8 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    accelerator = accelerator_of(config)
    return _Trainer(
        accelerator=accelerator,
        devices=[ranks.local_rank % torch.cuda.device_count()] if accelerator == "gpu" else 1,
        # Lightning's SLURM environment would check the number of tasks and requeue the job itself.
        plugins=[LightningEnvironment()],
        precision=set_float32_precision(config.precision),
        max_steps=iterations,
        limit_val_batches=0,  # a run evaluates by the schedule itself
        callbacks=[*extras.callbacks],
        profiler=extras.profiler,
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def check_trainer(trainer: pl.Trainer, config: RunConfig) -> None:
    """Raise `UserError` unless a trainer can train the run on the run's images; set torch's global switches for it."""
    device = trainer.strategy.root_device.type
    check_compute(config, "gpu" if device == "cuda" else device)
    needed = set_float32_precision(config.precision)
    if trainer.precision != needed:
        raise UserError(
            f"precision={config.precision}: needs pl.Trainer(precision={needed!r}), not {trainer.precision!r}"
        )
    if trainer.world_size != 1:
        raise UserError(
            f"{trainer.world_size} devices: pl.Trainer can train a run on one only, with devices=1; "
            "resnet-ablations train trainer.devices=… uses several"
        )
    images = getattr(trainer, "datamodule", None)
    if not isinstance(images, DataModule):
        raise UserError("trainer.fit: the run needs its images, datamodule=resnet_ablations.datamodule(config)")
    if images.key != config.key:
        raise UserError(
            f"trainer.fit: the module is of run {config.key}, the datamodule of run {images.key}; "
            "both need the same configuration"
        )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Suppress Lightning's hints: they concern data loaders, loggers and SLURM support that a run does not use."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
        try:
            yield
        finally:
            logger.setLevel(level)
