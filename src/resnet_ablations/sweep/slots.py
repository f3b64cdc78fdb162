"""How many runs this machine trains at once, and on what each."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.results.provenance import usable_cores
from resnet_ablations.sweep.packing import Packing, best_packing


@dataclass(frozen=True)
class Slots:
    """Places for runs that are trained at once."""

    count: int
    threads: int
    """CPU threads of each process that trains."""
    gpus: tuple[str, ...] = ()
    """For each GPU, or group of as many as a run takes, its name in CUDA_VISIBLE_DEVICES; none on a CPU."""
    slowdown: float = 1.0
    """How many times longer a step takes than that of a run that has its GPU for itself, where that was measured."""

    def __str__(self) -> str:
        """What is said of them: `4 runs at once, 2 on each GPU, 3 threads each`."""
        runs = "1 run" if self.count == 1 else f"{self.count} runs"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        on_gpus = f", {self.count // len(self.gpus)} on each GPU" if self.gpus else ""
        return f"{runs} at once{on_gpus}, {threads} each"

    def gpus_of(self, slot: int) -> str | None:
        """Those of a slot: the first run of each GPU comes before the second one of any."""
        return self.gpus[slot % len(self.gpus)] if self.gpus else None


def checked_runs_per_device(given: object) -> int | None:
    """The launcher's setting; raise `UserError` where it is no number of runs."""
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given >= 1):
        return given
    raise UserError(f"hydra.launcher.runs_per_device={given}: must be a whole number from 1 on, or null")


def slots_for(
    runs: Sequence[RunConfig],
    runs_per_device: int | None,
    measure: Callable[[Sequence[RunConfig], int, int, str], Packing] = best_packing,
) -> Slots:
    """As many runs on each GPU, or on the CPU as a whole, as `runs_per_device` says.

    By default that is measured for a GPU, unless there is no more than one run for each, and one a core on a CPU: the
    number of threads can change a run's last digits, so it follows neither from measuring nor from how many runs are
    left. On a CPU, runs that ask for threads have so many cores each. Runs on several devices have these for
    themselves by default. Raise `UserError` where a number is none.
    """
    given = checked_runs_per_device(runs_per_device)
    devices = max(run.trainer.devices for run in runs)
    cores = usable_cores()
    gpus = _gpu_groups(runs, devices)
    if not gpus:
        count = given or max(1, cores // max(run.trainer.devices * (run.trainer.threads or 1) for run in runs))
        return Slots(count, _threads(runs, cores // (count * devices)))
    most = min(-(-len(runs) // len(gpus)), cores // len(gpus))
    if given is not None:
        packing = Packing(given)
    elif devices > 1 or most < 2:
        packing = Packing(1)
    else:
        packing = measure(runs, most, cores // len(gpus), gpus[0])
    count = len(gpus) * packing.runs
    return Slots(count, _threads(runs, cores // (count * devices)), gpus, packing.slowdown)


def _threads(runs: Sequence[RunConfig], share: int) -> int:
    """Those that the runs ask for; of one that does not, its share of the cores."""
    asked = [run.trainer.threads for run in runs if run.trainer.threads is not None]
    return max(asked) if len(asked) == len(runs) else max(1, share)


def _gpu_groups(runs: Sequence[RunConfig], size: int) -> tuple[str, ...]:
    """The machine's GPUs by so many at a time, by their names in CUDA_VISIBLE_DEVICES; none where no run wants one."""
    gpus = 0 if all(run.trainer.accelerator == "cpu" for run in runs) else torch.cuda.device_count()
    if 0 < gpus < size:
        raise UserError(f"trainer.devices={size}: this machine has {gpus} GPU{'s' if gpus > 1 else ''}")
    names = (os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))).split(",")
    return tuple(",".join(names[start : start + size]) for start in range(0, gpus - size + 1, size))
