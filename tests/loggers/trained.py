"""Tiny runs with different ends, and the points of their curves."""

import os
import signal
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest

from resnet_ablations.config import RunConfig
from resnet_ablations.results.curve import CurveReader
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.run import train_run
from resnet_ablations.training.stopping import Interrupted

STEPS = ("schedule.log_every=1", "schedule.evaluate_every=2", "trainer.checkpoint_iterations=2")


def points(folder: RunFolder) -> list[dict[str, float]]:
    """Return the curve as a logger has it: without values that were not measured."""
    with closing(CurveReader(folder.curve)) as curve:
        return [{name: value for name, value in vars(row).items() if value is not None} for row in curve.rows()]


def happening_at(monkeypatch: pytest.MonkeyPatch, iteration: int, happen: Any) -> None:
    """Call a function at the start of the iteration `iteration` of every run."""
    step = TrainingModule.training_step

    def with_it(self: TrainingModule, number: int) -> None:
        if number == iteration:
            happen()
        step(self, number)

    monkeypatch.setattr(TrainingModule, "training_step", with_it)


def interrupted(monkeypatch: pytest.MonkeyPatch, run: RunConfig, iteration: int) -> None:
    """Train a run, and stop it with SIGTERM in that iteration."""
    with monkeypatch.context() as patched:
        happening_at(patched, iteration, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted):
            train_run(run)


def crashed(monkeypatch: pytest.MonkeyPatch, run: RunConfig, iteration: int) -> None:
    """Train a run that raises an error in that iteration."""

    def wrong() -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        happening_at(patched, iteration, wrong)
        with pytest.raises(RuntimeError, match="out of memory"):
            train_run(run)


def forked(*runs: RunConfig) -> list[ForkProcess]:
    """Train the runs at the same time, each in its own process."""
    processes = [get_context("fork").Process(target=train_run, args=(run,)) for run in runs]
    for process in processes:
        process.start()
    return processes


def processes_of(folder: Path) -> list[int]:
    """Return the processes of this machine whose command line contains a folder's path."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found
