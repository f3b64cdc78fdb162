"""The places of a machine where runs are trained at the same time."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from resnet_ablations.config import RunConfig
from resnet_ablations.cores import usable_cores
from resnet_ablations.errors import UserError
from resnet_ablations.sweep.packing import Packing, best_packing


@dataclass(frozen=True)
class Slots:
    """Places for runs that are trained at the same time."""

    count: int
    threads: int
    """The CPU threads of each process that trains."""
    gpus: tuple[str, ...] = ()
    """The names in CUDA_VISIBLE_DEVICES of each GPU, or of each group of GPUs for one run; empty on a CPU."""
    slowdown: float = 1.0
    """The measured time of a step, relative to a run that is alone on its GPU; 1 if not measured."""

    def __str__(self) -> str:
        """Return for example `4 runs at once, 2 on each GPU, 3 threads each`."""
        runs = "1 run" if self.count == 1 else f"{self.count} runs"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        on_gpus = f", {self.count // len(self.gpus)} on each GPU" if self.gpus else ""
        return f"{runs} at once{on_gpus}, {threads} each"

    def gpus_of(self, slot: int) -> str | None:
        """Return the GPUs of a slot, in turn: every GPU gets one run before any gets a second."""
        return self.gpus[slot % len(self.gpus)] if self.gpus else None


MOST_RUNS = 1000
"""The most runs on one device: each is a process with a torch of its own."""


def checked_runs_per_device(value: object) -> int | None:
    """Return the launcher's `runs_per_device`; raise `UserError` unless it is from 1 to `MOST_RUNS`, or null."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_RUNS):
        return value
    raise UserError(f"hydra.launcher.runs_per_device={value}: must be a whole number from 1 to {MOST_RUNS}, or null")


def slots_for(
    runs: Sequence[RunConfig],
    runs_per_device: int | None,
    measure: Callable[[Sequence[RunConfig], int, int, str], Packing] = best_packing,
) -> Slots:
    """Return the slots: `runs_per_device` runs on each GPU, or on the CPU as a whole.

    On GPUs, null means: measured; but 1 if no two runs share a GPU or a run uses several devices. On a CPU, null means:
    one run for each group of `trainer.threads` cores, by default for each core. The number on a CPU depends neither on
    a measurement nor on the number of missing runs, because another number of threads gives another run.
    Raise `UserError` if `runs_per_device` is not as `checked_runs_per_device` has it.
    """
    per_device = checked_runs_per_device(runs_per_device)
    devices = max(run.trainer.devices for run in runs)
    cores = usable_cores()
    gpus = gpu_groups(runs, devices)
    if not gpus:
        # Runs take turns on the one Apple GPU of a machine.
        alone = any(run.trainer.accelerator == "mps" for run in runs)
        fitting = cores // max(run.trainer.devices * (run.trainer.threads or 1) for run in runs)
        count = per_device or (1 if alone else max(1, fitting))
        return Slots(count, _threads(runs, cores // (count * devices)))
    most = min(-(-len(runs) // len(gpus)), cores // len(gpus))
    if per_device is not None:
        packing = Packing(per_device)
    elif devices > 1 or most < 2:
        packing = Packing(1)
    else:
        packing = measure(runs, most, cores // len(gpus), gpus[0])
    count = len(gpus) * packing.runs
    return Slots(count, _threads(runs, cores // (count * devices)), gpus, packing.slowdown)


def _threads(runs: Sequence[RunConfig], share: int) -> int:
    """Return the largest `trainer.threads` of the runs, or `share` if a run has none."""
    threads = [run.trainer.threads for run in runs if run.trainer.threads is not None]
    return max(threads) if len(threads) == len(runs) else max(1, share)


def gpu_groups(runs: Sequence[RunConfig], size: int) -> tuple[str, ...]:
    """Return the GPUs in groups of `size`, as names in CUDA_VISIBLE_DEVICES; empty if all runs use the CPU."""
    gpus = 0 if all(run.trainer.accelerator == "cpu" for run in runs) else torch.cuda.device_count()
    if 0 < gpus < size:
        raise UserError(
            f"trainer.devices={size}: this machine has {gpus} GPU{'s' if gpus > 1 else ''}; allowed: up to {gpus}"
        )
    names = (os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))).split(",")
    return tuple(",".join(names[start : start + size]) for start in range(0, gpus - size + 1, size))
