"""Estimates of the cost of runs: multiply-adds, time on this machine, disk space."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from heapq import heapify, heapreplace

from resnet_ablations.config import RunConfig
from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.settings import DataSettings
from resnet_ablations.sweep.counts import counted, network_of
from resnet_ablations.sweep.slots import Slots
from resnet_ablations.training.running_statistics import AVERAGED_ITERATIONS
from resnet_ablations.training.timing import StepSeconds, step_seconds

GPU_FLOPS = 5e12
"""The assumed (not measured) operations per second of one GPU on these networks."""

SIGNALS_LINE = 90
"""The most bytes of a line of `signals.csv`; a line without gates has about 50."""

KEPT = 3
"""The checkpoints of a run on the disk at the same time: two, and the next one while it is written."""


def multiply_adds_left(runs: Iterable[RunConfig]) -> int:
    """Return the multiply-adds left after each run's newest checkpoint; a step counts as three forward passes."""
    images = ((run, run.schedule.batch_size * _iterations_left(run)) for run in _with_progress(runs))
    return sum(3 * counted(run).multiply_adds * count for run, count in images)


def hours_at_assumed_rate(multiply_adds: int) -> float:
    """Return the hours of one GPU at `GPU_FLOPS`, at two operations a multiply-add."""
    return 2 * multiply_adds / GPU_FLOPS / 3600


@dataclass(frozen=True)
class TimeLeft:
    """The estimated time of a sweep on this machine."""

    seconds: float
    """The time for training and testing, from the existing checkpoints to the end of the last run."""
    networks: int
    """The number of networks that were timed."""
    too_large: tuple[str, ...]
    """The configurations whose networks do not fit in memory; their runs are not in `seconds`."""


def time_left(
    runs: Sequence[RunConfig], slots: Slots, timed: Callable[[int, int], object] = lambda done, of: None
) -> TimeLeft:
    """Return the time that the local launcher needs for the runs, from a few timed steps of each network.

    Networks that differ only in fractions count as one.

    `timed` is called after each network with two numbers: networks timed so far, and all networks. Raise `UserError` if
    a run's device is missing. The estimate leaves out starting processes, decoding image files, and the
    tests with 10 crops, with crops of 320 and at five scales.
    """
    keys = [_timing_key(run) for run in runs]
    networks = dict(zip(keys, runs, strict=True))
    seconds: dict[str, StepSeconds] = {}
    for done, (name, run) in enumerate(networks.items(), start=1):
        with suppress(MemoryError):
            seconds[name] = step_seconds(run, slots.threads, counted(run).multiply_adds)
        timed(done, len(networks))
    ends = [0.0] * slots.count
    heapify(ends)
    for key, run in zip(keys, runs, strict=True):
        if (step := seconds.get(key)) is not None:
            heapreplace(ends, ends[0] + slots.slowdown * _seconds_left(run, step))
    too_large = (run.configuration for key, run in zip(keys, runs, strict=True) if key not in seconds)
    return TimeLeft(max(ends), len(seconds), tuple(dict.fromkeys(too_large)))


def disk_bytes(runs: Sequence[RunConfig], at_once: int) -> int:
    """Return the most disk space that the runs take: all results, and the checkpoints of `at_once` runs."""
    return sum(map(_result_bytes, runs)) + checkpoints_bytes(runs, at_once)


def checkpoints_bytes(runs: Sequence[RunConfig], at_once: int) -> int:
    """Return the most disk space that checkpoints take if any `at_once` of the runs are trained at the same time."""
    return KEPT * sum(sorted(map(checkpoint_bytes, _with_progress(runs)), reverse=True)[:at_once])


def checkpoint_bytes(run: RunConfig) -> int:
    """Return the size of one checkpoint of a run, to within 2 %."""
    return counted(run).checkpoint_bytes + _signals_bytes(run)


def _with_progress(runs: Iterable[RunConfig]) -> Iterator[RunConfig]:
    """Yield the runs; print the progress if counting their networks takes seconds."""
    runs, progress = list(runs), ProgressLines("counting networks")
    for done, run in enumerate(runs, start=1):
        yield run
        progress.at(done, len(runs), "runs")


def _timing_key(run: RunConfig) -> str:
    """Return a text that is equal for two runs whose steps take the same time.

    Networks that differ in fractions such as λ or b_g take the same time if they have the same multiply-adds.
    """
    network = re.sub(r"-?\d+\.\d+(e-?\d+)?", "x", network_of(run))
    batches = f"{run.schedule.batch_size} {run.bn_batch} {run.precision}"
    without_effect = {"workers", "checkpoint_minutes", "checkpoint_iterations", "keep_weights", "signals"}
    trainer = run.trainer.model_dump(exclude=without_effect)
    return f"{network} {counted(run).multiply_adds} {batches} {trainer}"


def _iterations_left(run: RunConfig) -> int:
    return run.schedule.iterations - (run.folder.resumable_from() or 0)


def _seconds_left(run: RunConfig, step: StepSeconds) -> float:
    iterations, every = run.schedule.iterations, run.schedule.evaluate_every
    iterations_left = _iterations_left(run)
    # The last iteration is always tested; the finished network is tested once more for its other metrics.
    evaluations = -(-iterations // every) - (iterations - iterations_left) // every + 1
    evaluation = _test_images(run.data) * step.test_image
    if run.bn_statistics == "averaged":  # forward passes, a third of an iteration each
        evaluation += min(AVERAGED_ITERATIONS, iterations) * step.iteration / 3
    return iterations_left * step.iteration + evaluations * evaluation


@cache
def _test_images(data: DataSettings) -> int:
    return data.held_out or data.source.test_images()


def _result_bytes(run: RunConfig) -> int:
    """Return the approximate size of a finished run: its weights if they are kept, its signals, and text.

    The text is mostly a line in curve and log for each logged iteration.
    """
    kept = counted(run).kept_bytes(run.trainer.keep_weights) + _signals_bytes(run)
    return kept + 8_000 + 200 * (run.schedule.iterations // run.schedule.log_every) + 40 * run.network.depth


def _signals_bytes(run: RunConfig) -> int:
    """Return the size of `signals.csv`: a line for each unit, and for the last output, at each recorded iteration."""
    if not run.trainer.signals or run.trainer.recompute:
        return 0
    recorded = 1 + -(-run.schedule.iterations // run.schedule.evaluate_every)
    return SIGNALS_LINE * (sum(run.network.stages) + 1) * recorded
