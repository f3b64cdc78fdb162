"""The launcher of one machine: what Hydra's setting comes to."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from hydra_plugins.resnet_ablations_plugins.plugins import LocalLauncher
from resnet_ablations.config import RunConfig
from resnet_ablations.cores import usable_cores
from resnet_ablations.sweep import processes, slots
from resnet_ablations.sweep.slots import Slots


def test_slots_are_computed_once(config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """A retried run, perhaps alone, has the same number of threads as before."""
    asked: list[tuple[int, int | None]] = []
    trained: list[tuple[int, Slots]] = []

    def slots_for(runs: list[RunConfig], given: int | None) -> Slots:
        asked.append((len(runs), given))
        return Slots(4, 2, ("0", "1"))

    monkeypatch.setattr(slots, "slots_for", slots_for)
    monkeypatch.setattr(
        processes, "train_in_processes", lambda runs, slots, fail_fast: trained.append((len(runs), slots))
    )
    launcher = LocalLauncher(3)
    launcher.config = SimpleNamespace(sweep=SimpleNamespace(fail_fast=False))
    runs = [config(f"seed={seed}") for seed in range(5)]
    assert launcher.at_once(runs) == 4
    launcher.train(runs)
    launcher.train(runs[:1])
    assert asked == [(5, 3)]
    assert trained == [(5, Slots(4, 2, ("0", "1"))), (1, Slots(4, 2, ("0", "1")))]


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2])
def test_runs_of_a_sweep_share_the_cores_as_set(
    python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, count: int
) -> None:
    settings = ("network.depth=8", "schedule.iterations=2", "trainer=cpu", "seed=0,1", "paths.results=mine")
    at_once = f"hydra.launcher.runs_per_device={count}"
    ended = python("-m", "resnet_ablations.train", "-m", *settings, at_once, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = [json.loads(path.read_text()) for path in (tmp_path / "mine" / "runs").glob("*/result.json")]
    assert [result["provenance"]["machine"]["threads"] for result in results] == [max(1, usable_cores() // count)] * 2
