"""One repetition of each training loop that is compared: a tutorial's and ours."""

import pickle
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.cores import usable_cores
from resnet_ablations.data.array_batches import ArrayBatches
from resnet_ablations.data.images import Images
from resnet_ablations.training.callbacks import AfterIteration
from resnet_ablations.training.compute import set_float32_precision
from resnet_ablations.training.data_module import DataModule
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.ranks import ALONE
from resnet_ablations.training.trainer import Extras, lightning_trainer, quiet_lightning

WARM_UP: Final = 5
"""Iterations before the clock starts: memory is allocated, kernels are loaded, CUDA graphs are recorded."""
PROFILED: Final = 1
"""Iterations on a GPU whose CUDA calls are counted, after the clock has stopped."""
LAUNCHES: Final = ("LaunchKernel", "LaunchKernelExC", "LaunchKernelEx", "MemcpyAsync", "MemsetAsync", "GraphLaunch")
WAITS: Final = ("StreamSynchronize", "EventSynchronize")


@dataclass
class Repetition:
    """The measures of some iterations."""

    seconds: float = 0.0
    """The seconds of an iteration."""
    launches: float | None = None
    """The launches of an iteration on the GPU: kernels, copies and graphs."""
    waits: float | None = None
    """The number of times that the CPU waits for the GPU in an iteration."""


class Stopwatch:
    """A stopwatch for a loop that calls `after` at the end of each iteration."""

    def __init__(self, iterations: int, *, gpu: bool, profiled: bool) -> None:
        self.measured = Repetition()
        self.last = WARM_UP + iterations + (PROFILED if profiled else 0)
        self._iterations = iterations
        self._gpu = gpu
        activities = (ProfilerActivity.CPU, ProfilerActivity.CUDA)
        self._profiler = profile(activities=activities) if profiled else None

    def after(self, iteration: int) -> None:
        """Note the end of an iteration, counted from 1 to `last`."""
        if iteration == WARM_UP:
            self._start = self._now()
        if iteration == WARM_UP + self._iterations:
            self.measured.seconds = (self._now() - self._start) / self._iterations
            if self._profiler is not None:
                self._profiler.start()
        if iteration == self.last and self._profiler is not None:
            self._profiler.stop()
            calls = {event.key: event.count for event in self._profiler.key_averages()}
            self.measured.launches = _calls(calls, LAUNCHES) / PROFILED
            self.measured.waits = _calls(calls, WAITS) / PROFILED

    def _now(self) -> float:
        if self._gpu:
            torch.cuda.synchronize()
        return time.perf_counter()


def _calls(calls: Mapping[str, int], names: tuple[str, ...]) -> int:
    """Return the number of CUDA calls, of the driver and of the runtime, with these names."""
    both = {f"{interface}{name}" for interface in ("cuda", "cu") for name in names}
    return sum(count for call, count in calls.items() if call.partition("_")[0] in both)


def plain(config: RunConfig, images: Path, stopwatch: Stopwatch) -> None:
    """Train as a tutorial does, on images that `write_cifar10` has written."""
    gpu = config.trainer.accelerator == "gpu"
    device = torch.device("cuda" if gpu else "cpu")
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    set_float32_precision(config.precision)
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ]
    )
    loader: DataLoader[Any] = DataLoader(
        _Unchecked(str(images), train=True, transform=transform),
        batch_size=config.schedule.batch_size,
        shuffle=True,
        num_workers=min(8, usable_cores()) if gpu else 2,
        drop_last=True,
        pin_memory=gpu,
    )
    network = build_network(config).to(device)
    schedule = config.schedule
    optimizer = torch.optim.SGD(
        network.parameters(), schedule.learning_rate, schedule.momentum, weight_decay=schedule.weight_decay
    )
    bf16 = config.precision == "bf16-mixed"
    for iteration, (batch, labels) in enumerate(_endless(loader), start=1):
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = network(batch.to(device, non_blocking=True))
            loss = F.cross_entropy(logits, labels.to(device, non_blocking=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        stopwatch.after(iteration)
        if iteration == stopwatch.last:
            return


def _endless(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


class _Unchecked(CIFAR10):  # type: ignore[misc]
    """Torchvision's CIFAR-10 without the check of the real archive's sums."""

    meta = CIFAR10.meta | {"md5": None}

    def _check_integrity(self) -> bool:
        return True


def write_cifar10(images: Images, folder: Path) -> None:
    """Write images as torchvision's CIFAR10 reads them."""
    base = folder / CIFAR10.base_folder
    base.mkdir()
    names = [name for name, _ in CIFAR10.train_list]
    for name, part in zip(names, np.array_split(np.arange(len(images.train)), len(names)), strict=True):
        rows = images.train[part].transpose(0, 3, 1, 2).reshape(len(part), -1)
        (base / name).write_bytes(pickle.dumps({"data": rows, "labels": images.train_labels[part].tolist()}))
    (base / CIFAR10.meta["filename"]).write_bytes(pickle.dumps({CIFAR10.meta["key"]: [str(i) for i in range(10)]}))


def ours(config: RunConfig, images: Images, stopwatch: Stopwatch) -> None:
    """Train as `resnet_ablations` does."""
    batches = ArrayBatches(
        images, pad=4, flip=True, normalisation="per_pixel_mean", batch_size=config.schedule.batch_size, seed=0
    )
    iterations = config.schedule.iterations
    with quiet_lightning():
        trainer = lightning_trainer(config, iterations, ALONE, Extras(callbacks=[_Noting(stopwatch)]))
        module = TrainingModule(build_network(config), config)
        trainer.fit(module, datamodule=DataModule(config.key, batches, range(iterations)))


class _Noting(AfterIteration):
    """A callback that notes each iteration, and ends the training after the last one."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch

    def after_iteration(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        if module.iterations_done <= self._stopwatch.last:
            self._stopwatch.after(module.iterations_done)
            trainer.should_stop = module.iterations_done == self._stopwatch.last
