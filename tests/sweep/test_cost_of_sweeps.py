"""Estimates of cost: counted, timed with a replacement of the timer, and compared with the files of a run."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from finished import write_checkpoint

from resnet_ablations.config import RunConfig
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.sweep import counts, estimates
from resnet_ablations.sweep.estimates import (
    checkpoint_bytes,
    disk_bytes,
    multiply_adds_left,
    time_left,
)
from resnet_ablations.sweep.slots import Slots
from resnet_ablations.training.run import train_run
from resnet_ablations.training.timing import StepSeconds

Config = Callable[..., RunConfig]
TEST_IMAGES = 360
ONE = Slots(count=1, threads=1)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RunConfig, int]]:
    """The runs that were timed, with their threads: a step takes 1 s, a test image 1 ms."""
    calls: list[tuple[RunConfig, int]] = []

    def step_seconds(run: RunConfig, threads: int, multiply_adds: int) -> StepSeconds:
        assert multiply_adds == counts.counted(run).multiply_adds
        calls.append((run, threads))
        return StepSeconds(iteration=1.0, test_image=0.001)

    monkeypatch.setattr(estimates, "step_seconds", step_seconds)
    return calls


def checkpointed(run: RunConfig, iteration: int) -> None:
    run.folder.freeze(run.as_dict())
    write_checkpoint(run.folder, iteration)


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
            "trainer.channels_last=false",
            "trainer.compile=default",
        )
    ]
    assert time_left(alike, ONE).networks == len(timed) == 1
    timed.clear()
    told: list[tuple[int, int]] = []
    left = time_left([*alike, *others], ONE, timed=lambda done, of: told.append((done, of)))
    assert left.networks == len(timed) == 1 + len(others)
    assert told == [(done, 11) for done in range(1, 12)]


def test_networks_that_differ_in_fractions_are_timed_once(config: Config, timed: list[Any]) -> None:
    biases = (0, -6, -5.5, -1e-3)
    scales = [(0, 1), (0.5, 1), (0.5, 0.5)]
    gated = [config("shortcut=exclusive_gating", f"shortcut.gate_bias={bias}") for bias in biases]
    scaled = [
        config("shortcut=constant_scaling", f"shortcut.shortcut_scale={on_x}", f"shortcut.residual_scale={on_f}")
        for on_x, on_f in scales
    ]
    left = time_left([*gated, *scaled], ONE)
    assert left.networks == len(timed) == 2
    assert left.seconds == pytest.approx(7 * time_left([config()], ONE).seconds)


def test_numbers_that_change_the_multiply_adds_are_timed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example, the ratio of a shortcut of one's own."""
    runs = [config("shortcut=constant_scaling", f"shortcut.shortcut_scale={scale}") for scale in (0.25, 0.5)]
    monkeypatch.setattr(estimates, "step_seconds", lambda *_: StepSeconds(iteration=1.0, test_image=0.001))
    assert time_left(runs, ONE).networks == 1
    monkeypatch.setattr(estimates, "counted", lambda run: SimpleNamespace(multiply_adds="0.25" in str(run.shortcut)))
    assert time_left(runs, ONE).networks == 2


def test_larger_batches_are_timed_too(config: Config, timed: list[Any]) -> None:
    time_left([config("bn_batch=16"), config("bn_batch=16", "schedule.batch_size=64")], ONE)
    assert len(timed) == 2


def test_iterations_and_evaluations_count(config: Config, timed: list[Any]) -> None:
    # Tested after 4 and, at the end, 6 iterations; then once more.
    assert time_left([config()], ONE).seconds == pytest.approx(6 + 3 * 0.001 * TEST_IMAGES)
    whole = config("schedule.iterations=8")
    assert time_left([whole], ONE).seconds == pytest.approx(8 + 3 * 0.001 * TEST_IMAGES)
    held_out = config("data.held_out=100")
    assert time_left([held_out], ONE).seconds == pytest.approx(6 + 3 * 0.001 * 100)


def test_only_the_remaining_iterations_count(config: Config, timed: list[Any]) -> None:
    run = config()
    all_of_it = multiply_adds_left([run])
    checkpointed(run, 4)
    assert time_left([run], ONE).seconds == pytest.approx(2 + 2 * 0.001 * TEST_IMAGES)
    checkpointed(run, 5)
    assert time_left([run], ONE).seconds == pytest.approx(1 + 2 * 0.001 * TEST_IMAGES)
    assert multiply_adds_left([run]) * 6 == all_of_it > 0


def test_runs_are_scheduled_in_order_on_all_slots(config: Config, timed: list[Any]) -> None:
    each = 0.001 * TEST_IMAGES * 2
    settings = ("schedule.milestones=[1]", "schedule.evaluate_every=1000")
    runs = [config(*settings, f"schedule.iterations={count}") for count in (20, 30, 30, 20)]
    # 20 and then, before the 30 beside it have ended, 30; the last 20 begin after 30.
    for count, seconds in ((1, 100 + 4 * each), (2, 50 + 2 * each), (3, 40 + 2 * each), (4, 30 + each)):
        assert time_left(runs, Slots(count, 1)).seconds == pytest.approx(seconds), count


def test_networks_are_timed_with_the_threads_of_their_slots(config: Config, timed: list[Any]) -> None:
    for slots in (Slots(4, 2), Slots(1, 8)):
        time_left([config()], slots)
    assert [threads for _, threads in timed] == [2, 8]


def test_runs_that_share_a_gpu_take_longer(config: Config, timed: list[Any]) -> None:
    runs = [config(f"seed={seed}") for seed in range(4)]
    alone, packed = Slots(2, 1, ("0", "1")), Slots(4, 1, ("0", "1"), slowdown=1.5)
    assert time_left(runs, packed).seconds == pytest.approx(time_left(runs, alone).seconds * 1.5 / 2)


def test_a_network_that_does_not_fit_in_memory_is_reported(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def step_seconds(run: RunConfig, *_: int) -> StepSeconds:
        if run.network.depth == 14:
            raise MemoryError
        return StepSeconds(1.0, 0.0)

    monkeypatch.setattr(estimates, "step_seconds", step_seconds)
    large = config("network.depth=14")
    left = time_left([large, config(), large.with_seed(1)], ONE)
    assert (left.seconds, left.networks, left.too_large) == (6.0, 1, (large.configuration,))
    assert time_left([large], ONE).networks == 0


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
    monkeypatch.setattr(RunWriter, "write_checkpoint", lambda self, iteration, content: sizes.append(len(content)))
    one_step = ("schedule.iterations=2", "trainer.checkpoint_iterations=1", "bn_batch=4", "schedule.batch_size=4")
    run = config(*one_step, *overrides)
    train_run(run)
    assert sizes
    assert checkpoint_bytes(run) == pytest.approx(sizes[0], rel=0.02)


def test_the_disk_holds_all_results_and_the_checkpoints_of_those_at_once(config: Config) -> None:
    small, large = (config(f"network.depth={depth}", "trainer.keep_weights=false") for depth in (8, 20))
    one = disk_bytes([small], 1)
    results = one - 3 * checkpoint_bytes(small)
    assert 0 < results < 20_000
    more = [small, large, small.with_seed(1), large.with_seed(1)]
    for at_once, checkpoints in ((1, [large]), (2, [large, large]), (3, [large, large, small])):
        assert disk_bytes(more, at_once) == pytest.approx(
            3 * sum(map(checkpoint_bytes, checkpoints)) + 4 * results, rel=0.01
        )


def test_a_run_takes_no_more_disk_than_estimated(config: Config) -> None:
    run = config("schedule.iterations=60", "schedule.log_every=1", "schedule.batch_size=4", "bn_batch=4")
    said = disk_bytes([run], 1) - 3 * checkpoint_bytes(run)
    train_run(run)
    left = sum(path.stat().st_size for path in Path(run.folder.path).iterdir())
    weights = run.folder.weights.stat().st_size
    assert weights + (said - weights) / 3 < left < said


def test_signals_count_in_the_result_and_in_three_checkpoints(config: Config) -> None:
    settings = ("shortcut=exclusive_gating", "schedule.evaluate_every=1", "schedule.batch_size=4", "bn_batch=4")
    run, without = config(*settings), config(*settings, "trainer.signals=false")
    counted = (disk_bytes([run], 1) - disk_bytes([without], 1)) / 4
    train_run(run)
    assert counted / 2 < run.folder.signals.stat().st_size < counted


def test_counting_takes_no_memory(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet-1202 is counted as quickly as any: on the meta device."""
    counts._counts.clear()
    devices: set[str] = set()
    build = counts.meta_network

    def spying(run: RunConfig) -> torch.nn.Module:
        network = build(run)
        devices.update(tensor.device.type for tensor in network.state_dict().values())
        return network

    monkeypatch.setattr(counts, "meta_network", spying)
    checkpoint_bytes(config())
    assert devices == {"meta"}
