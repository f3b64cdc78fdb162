"""What is left to do, on this machine: counted, timed by a stand-in, and compared with files that a run leaves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_ablations.config import RunConfig
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.sweep import cost
from resnet_ablations.sweep.cost import (
    checkpoint_bytes,
    disk_bytes,
    gpu_hours,
    hours_at_assumed_rate,
    multiply_adds_left,
    runs_at_once,
    time_left,
)
from resnet_ablations.training.run import train_run
from resnet_ablations.training.timing import StepSeconds

Config = Callable[..., RunConfig]
TEST_IMAGES = 360


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RunConfig, int]]:
    """What was timed, with how many threads: a step takes a second, a test image a thousandth."""
    calls: list[tuple[RunConfig, int]] = []

    def step_seconds(run: RunConfig, threads: int, multiply_adds: int) -> StepSeconds:
        assert multiply_adds == cost._counted(run).multiply_adds
        calls.append((run, threads))
        return StepSeconds(iteration=1.0, test_image=0.001)

    monkeypatch.setattr(cost, "step_seconds", step_seconds)
    return calls


def checkpointed(run: RunConfig, iteration: int) -> None:
    run.folder.start(run.plain())
    run.folder.write_checkpoint(iteration, b"weights")


def test_each_distinct_network_is_timed_once(config: Config, timed: list[Any]) -> None:
    alike = [config(), config("seed=1"), config("schedule.iterations=9"), config("schedule.learning_rate=0.2")]
    others = [
        config(override)
        for override in (
            "network.depth=14",
            "shortcut=dropout",
            "activation=full_preactivation",
            "precision=bf16-mixed",
            "bn_batch=16",
            "trainer.recompute=true",
            "data=generated",
            "trainer.threads=2",
        )
    ]
    assert time_left(alike, 1).networks == len(timed) == 1
    timed.clear()
    told: list[tuple[int, int]] = []
    left = time_left([*alike, *others], 1, timed=lambda done, of: told.append((done, of)))
    assert left.networks == len(timed) == 1 + len(others)
    assert told == [(done, 9) for done in range(1, 10)]


def test_larger_batches_are_timed_too(config: Config, timed: list[Any]) -> None:
    time_left([config("bn_batch=16"), config("bn_batch=16", "schedule.batch_size=64")], 1)
    assert len(timed) == 2


def test_iterations_and_evaluations_count(config: Config, timed: list[Any]) -> None:
    # Tested after 4 and, at the end, 6 iterations; then once more.
    assert time_left([config()], 1).seconds == pytest.approx(6 + 3 * 0.001 * TEST_IMAGES)
    whole = config("schedule.iterations=8")
    assert time_left([whole], 1).seconds == pytest.approx(8 + 3 * 0.001 * TEST_IMAGES)
    held_out = config("data.held_out=100")
    assert time_left([held_out], 1).seconds == pytest.approx(6 + 3 * 0.001 * 100)


def test_only_what_is_left_counts(config: Config, timed: list[Any]) -> None:
    run = config()
    all_of_it = multiply_adds_left([run])
    checkpointed(run, 4)
    assert time_left([run], 1).seconds == pytest.approx(2 + 2 * 0.001 * TEST_IMAGES)
    checkpointed(run, 5)
    assert time_left([run], 1).seconds == pytest.approx(1 + 2 * 0.001 * TEST_IMAGES)
    assert multiply_adds_left([run]) * 6 == all_of_it > 0
    assert gpu_hours([run]) == pytest.approx(hours_at_assumed_rate(all_of_it)), "of the whole run"


def test_runs_go_side_by_side_in_their_order(config: Config, timed: list[Any]) -> None:
    each = 0.001 * TEST_IMAGES * 2
    settings = ("schedule.milestones=[1]", "schedule.evaluate_every=1000")
    runs = [config(*settings, f"schedule.iterations={count}") for count in (20, 30, 30, 20)]
    # 20 and then, before the 30 beside it have ended, 30; the last 20 begin after 30.
    for processes, seconds in ((1, 100 + 4 * each), (2, 50 + 2 * each), (3, 40 + 2 * each), (4, 30 + each)):
        left = time_left(runs, processes)
        assert left.seconds == pytest.approx(seconds), processes


def test_as_many_at_once_as_the_launcher_trains(
    config: Config, timed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_ablations.sweep.processes.usable_cores", lambda: 8)
    runs = [config(f"seed={seed}") for seed in range(6)]
    assert [runs_at_once(runs), runs_at_once(runs, 3), runs_at_once(runs[:2])] == [6, 3, 2]
    for count in (None, 4, 3, 16):
        time_left(runs, count)
    assert [threads for _, threads in timed] == [1, 2, 2, 1]


def test_a_network_that_memory_does_not_hold_is_told(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def step_seconds(run: RunConfig, *_: int) -> StepSeconds:
        if run.network.depth == 14:
            raise MemoryError
        return StepSeconds(1.0, 0.0)

    monkeypatch.setattr(cost, "step_seconds", step_seconds)
    large = config("network.depth=14")
    left = time_left([large, config(), large.with_seed(1)], 1)
    assert (left.seconds, left.networks, left.too_large) == (6.0, 1, (large.configuration,))
    assert time_left([large], 1).networks == 0


@pytest.mark.parametrize(
    "overrides",
    [
        ("shortcut=identity",),
        ("network.depth=32", "shortcut=exclusive_gating", "activation=full_preactivation"),
        ("network=imagenet_resnet50", "network.depth=50"),
    ],
)
def test_a_checkpoint_is_as_large_as_a_real_one(
    config: Config, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(RunFolder, "write_checkpoint", lambda self, iteration, content: sizes.append(len(content)))
    one_step = ("schedule.iterations=2", "trainer.checkpoint_iterations=1", "bn_batch=4", "schedule.batch_size=4")
    run = config(*one_step, *overrides)
    train_run(run)
    assert sizes
    assert checkpoint_bytes(run) == pytest.approx(sizes[0], rel=0.02)


def test_the_disk_holds_all_results_and_the_checkpoints_of_those_at_once(config: Config) -> None:
    small, large = config(), config("network.depth=20")
    one = disk_bytes([small], 1)
    results = one - 3 * checkpoint_bytes(small)
    assert 0 < results < 20_000
    more = [small, large, small.with_seed(1), large.with_seed(1)]
    for processes, checkpoints in ((1, [large]), (2, [large, large]), (3, [large, large, small])):
        assert disk_bytes(more, processes) == pytest.approx(
            3 * sum(map(checkpoint_bytes, checkpoints)) + 4 * results, rel=0.01
        )


def test_what_a_run_leaves_is_no_more_than_was_said(config: Config) -> None:
    run = config("schedule.iterations=60", "schedule.log_every=1", "schedule.batch_size=4", "bn_batch=4")
    said = disk_bytes([run], 1) - 3 * checkpoint_bytes(run)
    train_run(run)
    left = sum(path.stat().st_size for path in Path(run.folder.path).iterdir())
    assert said / 3 < left < said


def test_counting_takes_no_memory(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet-1202 is counted as quickly as any: on the meta device."""
    cost._counts.clear()
    devices: set[str] = set()
    build = cost.meta_network

    def spying(run: RunConfig) -> torch.nn.Module:
        network = build(run)
        devices.update(tensor.device.type for tensor in network.state_dict().values())
        return network

    monkeypatch.setattr(cost, "meta_network", spying)
    checkpoint_bytes(config())
    assert devices == {"meta"}
