"""Runs that are watched and stopped at given iterations."""

import os
import signal
from collections.abc import Callable, Mapping

import pytest
import pytorch_lightning as pl
import torch
from torch.profiler import ProfilerActivity, profile

from resnet_ablations.config import RunConfig
from resnet_ablations.results.run_folder import Result
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.training.callbacks import AfterIteration
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.run import train_run
from resnet_ablations.training.stopping import Interrupted
from resnet_ablations.training.trainer import Extras

LAUNCHES = ("LaunchKernel", "LaunchKernelExC", "LaunchKernelEx", "MemcpyAsync", "MemsetAsync", "GraphLaunch")
"""The CUDA calls that give the GPU something to do, without the prefix of the runtime or the driver."""

QUIET = ("schedule.iterations=15", "schedule.milestones=[14]", "schedule.log_every=15", "schedule.evaluate_every=15")
"""Overrides of a run that writes no row of the curve and keeps its learning rate from iteration 2 to 14."""

Actions = Mapping[int, Callable[[], object]]


class AfterIterations(AfterIteration):
    """A callback that calls a function after each of the given iterations."""

    def __init__(self, actions: Actions) -> None:
        self.actions = actions

    def after_iteration(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        if module.iterations_done in self.actions:
            self.actions[module.iterations_done]()


def train_watched(run: RunConfig, actions: Actions) -> Result:
    """Train a run from its beginning to its end, calling each function after its iteration."""
    result = train_run(run, extras=Extras(callbacks=[AfterIterations(actions)]))
    assert result is not None
    return result


def train_until(monkeypatch: pytest.MonkeyPatch, run: RunConfig, iteration: int) -> None:
    """Train a run, and send SIGTERM after the checkpoint of `iteration`; the run ends one iteration later."""
    write = RunWriter.write_checkpoint

    def signalled(self: RunWriter, number: int, content: bytes) -> None:
        write(self, number, content)
        if number == iteration:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "write_checkpoint", signalled)
        with pytest.raises(Interrupted):
            train_run(run)
    assert run.folder.resumable_from() == iteration + 1


def train_without_waiting(run: RunConfig) -> None:
    """Train a run of `QUIET`; raise `RuntimeError` if five of its iterations wait for the GPU."""
    watch = torch.cuda.set_sync_debug_mode
    try:
        train_watched(run, {6: lambda: watch("error"), 11: lambda: watch("default")})
    finally:
        watch("default")


def launches_of(config: Callable[..., RunConfig], *overrides: str) -> float:
    """Return how many CUDA calls an iteration of a run makes that give the GPU something to do, the mean of four."""
    profiler = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
    train_watched(config(*QUIET, *overrides), {6: profiler.start, 10: profiler.stop})
    names = {f"{interface}{name}" for interface in ("cuda", "cu") for name in LAUNCHES}
    calls = {event.key: event.count for event in profiler.key_averages()}
    return sum(count for call, count in calls.items() if call.partition("_")[0] in names) / 4
