"""Sweeps on a GPU: several runs on one card, how many is measured, and memory that is too small for one of them."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_ablations.config import RunConfig
from resnet_ablations.results.frames import load_results
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]
Settings = Callable[..., list[str]]
Python = Callable[..., subprocess.CompletedProcess[str]]

SWEEP = ("-m", "resnet_ablations.train", "-m")


@pytest.fixture(autouse=True)
def one_gpu(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """Shows the sweep the first GPU only."""
    if device == "gpu":
        first = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", first)


def test_four_runs_two_at_a_time_on_a_gpu(
    python: Python, settings: Settings, config: Config, tmp_path: Path, device: str
) -> None:
    """Each trains the same bytes as it does alone."""
    choices = ("shortcut=identity,dropout", "seed=0,1", "hydra.launcher.runs_per_device=2")
    ended = python(*SWEEP, *settings(*choices), cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ("2 on each GPU" if device == "gpu" else "2 runs at once") in ended.stdout
    runs = load_results(tmp_path / "results")
    assert len(runs) == 4
    assert set(runs["outcome"]) == {"finished"}
    alone = config("shortcut=dropout", "seed=1", results="alone")
    train_run(alone)
    beside = RunFolder(tmp_path / "results", alone.key)
    assert beside.curve.read_bytes() == alone.folder.curve.read_bytes()


def test_how_many_runs_share_a_gpu_is_measured(python: Python, settings: Settings, tmp_path: Path, gpu: None) -> None:
    """The sweep prints the measured rates, and trains the fastest number of runs at once."""
    ended = python(*SWEEP, *settings("seed=0,1"), cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    measured = re.search(
        r"on one GPU: 1 at once ([\d,]+) images/s, 2 at once ([\d,]+) images/s; so ([12]) at once", ended.stdout
    )
    assert measured, ended.stdout
    one, two, chosen = (int(number.replace(",", "")) for number in measured.groups())
    assert min(one, two) > 0
    assert chosen == (2 if two >= 1.05 * one else 1)
    assert f"{chosen} on each GPU" in ended.stdout


@pytest.mark.whole_gpu
def test_a_run_that_needs_too_much_memory_says_so_in_one_line(
    python: Python, settings: Settings, tmp_path: Path, gpu: None
) -> None:
    """The other run of the sweep finishes."""
    # ResNet-1202 keeps over 200 GB of so many images.
    batch = ("bn_batch=65536", "schedule.batch_size=65536", "schedule.iterations=2", "schedule.milestones=[1]")
    choices = ("network.depth=1202,8", "schedule.warmup_iterations=0", *batch, "hydra.launcher.runs_per_device=1")
    ended = python(*SWEEP, *settings(*choices), cwd=tmp_path)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout
    told = [line for line in ended.stdout.splitlines() if line.startswith("[") and "CUDA out of memory" in line]
    assert len(told) == 1, ended.stdout
    assert "resnet1202" in told[0]
    assert "1 finished" in ended.stdout
