"""What runs will cost: multiply-adds, time on this machine, disk."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from heapq import heapify, heapreplace

from resnet_ablations.config import RunConfig
from resnet_ablations.settings import DataSettings
from resnet_ablations.sweep.counts import counted, network_of
from resnet_ablations.sweep.slots import Slots
from resnet_ablations.training.timing import StepSeconds, step_seconds

GPU_FLOPS = 5e12
"""Operations a second that one GPU is taken to sustain on these networks: an assumption, not measured."""

KEPT = 3
"""Checkpoints of a run that lie on the disk at once: two, and the next while it is written."""


def gpu_hours(runs: Iterable[RunConfig]) -> float:
    """Hours of one GPU for all runs, from their first step on, two operations a multiply-add."""
    return hours_at_assumed_rate(sum(_multiply_adds(run, run.schedule.iterations) for run in runs))


def multiply_adds_left(runs: Iterable[RunConfig]) -> int:
    """What training has still to do, from each run's checkpoint on: a step is taken as three forward passes."""
    return sum(_multiply_adds(run, _iterations_left(run)) for run in runs)


def hours_at_assumed_rate(multiply_adds: int) -> float:
    """Hours of one GPU at `GPU_FLOPS`, two operations a multiply-add."""
    return 2 * multiply_adds / GPU_FLOPS / 3600


@dataclass(frozen=True)
class TimeLeft:
    """How long a sweep takes on this machine."""

    seconds: float
    """Of training and testing, from the checkpoints that there are to the end of the last run."""
    networks: int
    """How many were timed."""
    too_large: tuple[str, ...]
    """The configurations whose networks the memory did not hold: their runs are not counted in."""


def time_left(
    runs: Sequence[RunConfig], slots: Slots, timed: Callable[[int, int], object] = lambda done, of: None
) -> TimeLeft:
    """The time until the local launcher has trained the runs, from a few steps of each distinct network.

    `timed` is told after each network how many of how many are done. Raise `UserError` where a run's device is not
    there. Not counted: starting processes, decoding image files, and testing in the further ways that these have.
    """
    networks = {_timed_alike(run): run for run in runs}
    seconds: dict[str, StepSeconds] = {}
    for done, (name, run) in enumerate(networks.items(), start=1):
        with suppress(MemoryError):
            seconds[name] = step_seconds(run, slots.threads, counted(run).multiply_adds)
        timed(done, len(networks))
    ends = [0.0] * slots.count
    heapify(ends)
    for run in runs:
        if (step := seconds.get(_timed_alike(run))) is not None:
            heapreplace(ends, ends[0] + slots.slowdown * _seconds_left(run, step))
    too_large = (run.configuration for run in runs if _timed_alike(run) not in seconds)
    return TimeLeft(max(ends), len(seconds), tuple(dict.fromkeys(too_large)))


def disk_bytes(runs: Sequence[RunConfig], at_once: int) -> int:
    """The most that the runs take at a time: all results, and of the largest at once two checkpoints and a new one."""
    return sum(map(_result_bytes, runs)) + checkpoints_bytes(runs, at_once)


def checkpoints_bytes(runs: Sequence[RunConfig], at_once: int) -> int:
    """The most that checkpoints take while so many of the runs are trained at once, whichever these are."""
    return KEPT * sum(sorted(map(checkpoint_bytes, runs), reverse=True)[:at_once])


def checkpoint_bytes(run: RunConfig) -> int:
    """The size of one checkpoint of a run, to within two percent: weights, running statistics, momentum."""
    return counted(run).checkpoint_bytes


def _timed_alike(run: RunConfig) -> str:
    """What two runs have in common whose steps take as long."""
    batches = f"{run.schedule.batch_size} {run.bn_batch} {run.precision}"
    trainer = run.trainer.model_dump(exclude={"workers", "checkpoint_minutes", "checkpoint_iterations"})
    return f"{network_of(run)} {batches} {trainer}"


def _multiply_adds(run: RunConfig, iterations: int) -> int:
    return 3 * counted(run).multiply_adds * run.schedule.batch_size * iterations


def _iterations_left(run: RunConfig) -> int:
    return run.schedule.iterations - (run.folder.resumable_from() or 0)


def _seconds_left(run: RunConfig, step: StepSeconds) -> float:
    iterations, every = run.schedule.iterations, run.schedule.evaluate_every
    left = _iterations_left(run)
    # The last iteration is always tested, and the finished network once more for its other numbers.
    evaluations = -(-iterations // every) - (iterations - left) // every + 1
    return left * step.iteration + evaluations * _test_images(run.data) * step.test_image


@cache
def _test_images(data: DataSettings) -> int:
    return data.held_out or data.source.test_images()


def _result_bytes(run: RunConfig) -> int:
    """Roughly what a finished run leaves: text, mostly a line of its curve and of its log at every logged iteration."""
    return 8_000 + 200 * (run.schedule.iterations // run.schedule.log_every) + 40 * run.network.depth
