"""The time of a run's steps on this machine, measured with a few of its own steps on random images."""

import gc
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self, final

import torch
from torch import Tensor

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.data.batches import Batches, Crops
from resnet_ablations.training.compute import (
    BF16_EMULATED,
    CUDA_GRAPHS,
    emulates_bf16,
    micro_batches_per_pass,
    raising_memory_error,
)
from resnet_ablations.training.devices import accelerator_of
from resnet_ablations.training.ranks import ALONE

SECONDS: Final = 0.5
"""Time limit for the timed steps of one network."""
STEPS: Final = 10
"""Limit for the number of timed steps of one network."""
CPU_MULTIPLY_ADDS: Final = 2e10
"""Limit for the multiply-adds of one forward pass on a CPU: some seconds a step, and less than 3 GB of memory."""


@dataclass(frozen=True)
class StepSeconds:
    """The time that a run needs on this machine, in seconds."""

    iteration: float
    """Seconds of one iteration: forward, backward and update, without evaluation."""
    test_image: float
    """Seconds of one image in an evaluation, without the training batches of averaged statistics before it."""


def step_seconds(
    config: RunConfig,
    threads: int,
    multiply_adds: int,
    *,
    ready: Callable[[], object] = lambda: None,
    steps: int = STEPS,
) -> StepSeconds:
    """Return the measured time of a run's iteration and of a test image; `multiply_adds` as in `Cost.multiply_adds`.

    Lightning does the run's own steps on the run's device, with `trainer.threads` CPU threads or, if that is null,
    `threads`. No data are read and nothing is written. A step is one forward and backward pass and an update; on a
    CPU, a step of a large network has fewer images, at least two. The time of a step is scaled to the images of an
    iteration. After a warm-up, `ready` is called, which may wait for other processes; then up to `steps` steps are
    timed.

    Raise `MemoryError` if the device's memory is too small, and `UserError` if the device does not exist.
    """
    accelerator = accelerator_of(config)
    slower = BF16_EMULATED if emulates_bf16(config.precision, accelerator) else 1
    images = min(config.bn_batch, max(2, int(CPU_MULTIPLY_ADDS // (slower * multiply_adds))))
    if gpu := accelerator == "gpu":
        own = config.micro_batches // config.trainer.ranks
        images = config.bn_batch * micro_batches_per_pass(
            config.trainer.micro_batches_per_pass, own, torch.device("cuda")
        )
    before = torch.get_num_threads()
    torch.set_num_threads(config.trainer.threads or threads)
    gc.freeze()
    try:
        devices = range(torch.cuda.device_count()) if gpu else ()
        with raising_memory_error(), torch.random.fork_rng(devices=devices), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the warnings concern real training only
            step, evaluation = _timed(config, images, ready, steps)
    finally:
        torch.set_num_threads(before)
        gc.collect()  # Lightning's objects reference each other and the network; `freeze` left only them to look at
        gc.unfreeze()
    ranks = config.trainer.ranks
    return StepSeconds(step * config.schedule.batch_size / images / ranks, evaluation / images / ranks)


def _timed(config: RunConfig, images: int, ready: Callable[[], object], steps: int) -> tuple[float, float]:
    """Return the median seconds of a step on `images` images, and the seconds of testing as many."""
    # Imported here because Lightning takes seconds, which a plan without timing does not need.
    from pytorch_lightning import Trainer
    from pytorch_lightning.callbacks import LambdaCallback

    from resnet_ablations.training.captured import WARM_UP
    from resnet_ablations.training.data_module import DataModule
    from resnet_ablations.training.module import TrainingModule
    from resnet_ablations.training.trainer import Extras, lightning_trainer, quiet_lightning

    # torch.compile records its CUDA graphs in the second step and replays them from the third on.
    warm_up = 3 if config.trainer.compile in CUDA_GRAPHS else 1
    if config.trainer.cuda_graph:
        warm_up = WARM_UP + 1
    never = 10 * steps
    schedule = {"batch_size": images, "iterations": never, "log_every": never, "evaluate_every": never}
    config = config.model_copy(
        update={
            "bn_batch": min(images, config.bn_batch),
            "bn_statistics": "moving",
            "schedule": config.schedule.model_copy(update=schedule),
            "trainer": config.trainer.model_copy(update={"micro_batches_per_pass": None}),
        }
    )
    ends: list[float] = []
    evaluation = 0.0

    def after_iteration(trainer: Trainer, module: TrainingModule, *arguments: object) -> None:
        nonlocal evaluation
        if module.iterations_done < warm_up:
            return
        if module.iterations_done == warm_up:
            ready()
        ends.append(_now(module.device))
        if len(ends) > steps or ends[-1] - ends[0] > SECONDS:
            module.evaluate()
            evaluation = _now(module.device) - ends[-1]
            trainer.should_stop = True

    batches = _RandomImages(images, config.data.source.shape, config.data.source.classes)
    module = TrainingModule(build_network(config), config)
    with quiet_lightning():
        timed = Extras(callbacks=[LambdaCallback(on_train_batch_end=after_iteration)])
        lightning_trainer(config, never, ALONE, timed).fit(
            module, datamodule=DataModule(config.key, batches, range(never))
        )
    return statistics.median(end - start for start, end in pairwise(ends)), evaluation


def _now(device: torch.device) -> float:
    """Return the time after the device has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


@final
class _RandomImages(Batches):
    """The same random images in every step."""

    top5 = False

    def __init__(self, count: int, shape: tuple[int, int, int], classes: int) -> None:
        self.images = torch.randn(count, *shape).permute(0, 3, 1, 2)
        self.labels = torch.randint(classes, (count,))

    def to(self, device: torch.device) -> Self:
        self.images, self.labels = self.images.to(device), self.labels.to(device)
        return self

    def train(self, iteration: int, micro_batch: int = 0, micro_batches: int = 1) -> tuple[Tensor, Tensor]:
        return self.images, self.labels

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield self.images, self.labels

    def protocols(self) -> dict[str, Callable[[], Crops]]:
        return {}

    def close(self) -> None:
        pass
