"""How many runs train best side by side on one GPU: tried for a moment, each in a process of its own."""

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
"""What twice as many runs at once have to bring, for less is nearer to the noise of measuring than worth the memory."""
MEMORY: Final = 0.5
"""The share of a GPU's memory that steps may take: a run also keeps its images there, and tests many at a time."""
STEPS: Final = 1000
"""So many at most, for many GPUs take a hundred of a small network in the second that is measured."""


@dataclass(frozen=True)
class Packing:
    """How many runs are trained at once on a GPU."""

    runs: int
    slowdown: float = 1.0
    """How many times longer a step takes than that of a run alone on the GPU."""


Rate = Callable[[RunConfig, int, int, str], float]
"""Images a second of so many runs at once, in so many threads each, on the GPU of this name."""


def images_per_second(run: RunConfig, count: int, threads: int, gpu: str) -> float:
    """What so many processes train in a second, all together, from the moment when the last of them is warm.

    `gpu` is what CUDA_VISIBLE_DEVICES names; raise `MemoryError` where they take more than their share of its memory,
    and whatever else happens to one of them.
    """
    # Not by the fork server of the sweep's runs, which begins with their number of threads.
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count)
    with ProcessPoolExecutor(count, context, initializer=_begin, initargs=(barrier, gpu)) as pool:
        tries = [pool.submit(_try, run.as_dict(), threads, counted(run).multiply_adds) for _ in range(count)]
        wait(tries)
    errors = [error for each in tries if (error := each.exception()) is not None]
    if errors:
        raise next((error for error in errors if not isinstance(error, BrokenBarrierError)), errors[0])
    rates, taken = zip(*(each.result() for each in tries), strict=True)
    if (share := max(taken)) > MEMORY:
        raise MemoryError(f"{100 * share:.0f} % of the memory taken by their steps alone")
    return sum(rates)


def best_packing(
    runs: Sequence[RunConfig], most: int, threads: int, gpu: str, rate: Rate = images_per_second
) -> Packing:
    """The packing, of 1, 2, 4, … up to `most` runs on a GPU, with the most images a second; says what was measured.

    The largest network of the runs is tried, for what holds it holds the others. `threads` are all that there are.
    """
    run = max(runs, key=lambda run: counted(run).multiply_adds * run.bn_batch)
    progress = ProgressLines("trying how many runs train best at once on a GPU")
    rates: list[float] = []
    told: list[str] = []
    while (count := 2 ** len(rates)) <= most:
        progress.at(count, most, "runs at once")
        try:
            rates.append(rate(run, count, max(1, threads // count), gpu))
        except Exception as error:  # whatever it is, the runs themselves will say it, or can do without this
            told.append(f"{count} at once: {' '.join(str(error).split()) or type(error).__name__}")
            break
        told.append(f"{count} at once {rates[-1]:,.0f} images/s")
        if count > 1 and rates[-1] < GAIN * rates[-2]:
            rates.pop()
            break
    best = 2 ** max(len(rates) - 1, 0)
    print(
        f"{run.configuration} on one GPU: {', '.join(told)}; so {best} at once on each GPU "
        f"(hydra.launcher.runs_per_device={best} says it without measuring)",
        flush=True,
    )
    return Packing(best, max(1.0, best * rates[0] / rates[-1]) if rates else 1.0)


_together: Barrier


def _begin(barrier: Barrier, gpu: str) -> None:
    """In each process, before anything is known of its task."""
    global _together
    _together = barrier
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    when_parent_ends(lambda: os._exit(1))


def _try(frozen: dict[str, Any], threads: int, multiply_adds: int) -> tuple[float, float]:
    """Images a second of a run beside the others, and the share of the GPU's memory that all of them take."""
    try:
        run = validate(frozen)
        seconds = step_seconds(run, threads, multiply_adds, ready=_together.wait, steps=STEPS)
    except BaseException:
        _together.abort()  # nobody is to wait for it
        raise
    free, total = torch.cuda.mem_get_info() if torch.cuda.is_available() else (1, 1)
    return run.schedule.batch_size / seconds.iteration, 1 - free / total
