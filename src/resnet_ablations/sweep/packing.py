"""The number of runs that train fastest together on one GPU, found by short trials in separate processes."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any, Final

import torch

from resnet_ablations.config import RunConfig, validate
from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.sweep.counts import counted
from resnet_ablations.training.stopping import when_parent_ends
from resnet_ablations.training.timing import step_seconds

GAIN: Final = 1.05
"""The smallest speed-up that justifies twice as many runs: less is close to the noise of the measurement."""
MEMORY: Final = 0.5
"""The largest share of a GPU's memory for training steps: images and test batches need memory too."""
STEPS: Final = 1000
"""The largest number of timed steps."""


@dataclass(frozen=True)
class Packing:
    """The number of runs that are trained at the same time on a GPU."""

    runs: int
    slowdown: float = 1.0
    """The time of a step, relative to a run that is alone on the GPU."""


READY_SECONDS: Final = 600.0
"""The longest wait of a trial process for the others to warm up."""

Rate = Callable[[RunConfig, int, int, str], float]
"""A function of run, number of runs at once, threads of each, and GPU name; returns images per second."""


def images_per_second(run: RunConfig, count: int, threads: int, gpu: str) -> float:
    """Return the images per second of `count` processes together, measured when all have warmed up.

    `gpu` is a name in CUDA_VISIBLE_DEVICES. Raise `MemoryError` if their steps take more than the share `MEMORY` of the
    GPU's memory, and any error of one of the processes.
    """
    # The sweep's fork server cannot be used: it starts with the runs' number of threads.
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count, timeout=READY_SECONDS)
    with ProcessPoolExecutor(count, context, initializer=_begin, initargs=(barrier, gpu)) as pool:
        tries = [pool.submit(_try, run.as_dict(), threads, counted(run).multiply_adds) for _ in range(count)]
        wait(tries)
    errors = [error for each in tries if (error := each.exception()) is not None]
    if errors:
        raise next((error for error in errors if not isinstance(error, BrokenBarrierError)), errors[0])
    rates, taken = zip(*(each.result() for each in tries), strict=True)
    if (share := max(taken)) > MEMORY:
        raise MemoryError(f"the training steps alone take {100 * share:.0f} % of the GPU's memory")
    return sum(rates)


def best_packing(
    runs: Sequence[RunConfig], most: int, threads: int, gpu: str, rate: Rate = images_per_second
) -> Packing:
    """Return the packing of 1, 2, 4, … up to `most` runs on a GPU with the most images per second; print all rates.

    Only the largest network of the runs is tried: if it fits in memory, the others fit too. `threads` is the number of
    CPU threads for all runs together.
    """
    run = max(runs, key=lambda run: counted(run).multiply_adds * run.bn_batch)
    progress = ProgressLines("measuring how many runs train fastest together on a GPU")
    rates: list[float] = []
    measured: list[str] = []
    while (count := 2 ** len(rates)) <= most:
        progress.at(count, most, "runs at once")
        try:
            rates.append(rate(run, count, max(1, threads // count), gpu))
        except Exception as error:  # the runs themselves report an error that concerns them
            measured.append(f"{count} at once: {' '.join(str(error).split()) or type(error).__name__}")
            break
        measured.append(f"{count} at once {rates[-1]:,.0f} images/s")
        if count > 1 and rates[-1] < GAIN * rates[-2]:
            rates.pop()
            break
    best = 2 ** max(len(rates) - 1, 0)
    print(
        f"{run.configuration} on one GPU: {', '.join(measured)}; so {best} at once on each GPU "
        f"(hydra.launcher.runs_per_device={best} skips this measurement)",
        flush=True,
    )
    return Packing(best, max(1.0, best * rates[0] / rates[-1]) if rates else 1.0)


_together: Barrier


def _begin(barrier: Barrier, gpu: str) -> None:
    """Set up a trial process; runs before its task."""
    global _together
    _together = barrier
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    when_parent_ends(lambda: os._exit(1))


def _try(frozen: dict[str, Any], threads: int, multiply_adds: int) -> tuple[float, float]:
    """Return a run's images per second beside the others, and the share of the GPU's memory that all take."""
    try:
        run = validate(frozen, identify_data=False)
        seconds = step_seconds(run, threads, multiply_adds, ready=_together.wait, steps=STEPS)
    except BaseException:
        _together.abort()  # the other processes must not wait for this one
        raise
    free, total = torch.cuda.mem_get_info() if torch.cuda.is_available() else (1, 1)
    return run.schedule.batch_size / seconds.iteration, 1 - free / total
