"""Timed steps are the run's own, few, and without side effects; their duration is not tested."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.training import timing
from resnet_ablations.training.timing import STEPS, step_seconds

Config = Callable[..., RunConfig]
Forward = tuple[bool, Tensor, Tensor]


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[Forward]:
    """Record for each forward pass: in training or not, the images, the logits."""
    seen: list[Forward] = []
    build = timing.build_network

    def spying(config: RunConfig) -> nn.Module:
        network = build(config)
        network.register_forward_hook(lambda module, args, out: seen.append((module.training, *args, out.detach())))
        return network

    monkeypatch.setattr(timing, "build_network", spying)
    return seen


def clock(monkeypatch: pytest.MonkeyPatch, times: Iterator[float]) -> None:
    monkeypatch.setattr(timing, "_now", lambda device: next(times))


def every(seconds: float) -> Iterator[float]:
    return (seconds * count for count in range(1000))


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_a_step_is_one_micro_batch_of_the_run(
    config: Config, forwards: list[Forward], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: str, dtype: Any
) -> None:
    """The data set does not exist, and is not needed."""
    clock(monkeypatch, every(10))
    run = config("data=cifar10", f"data.root={tmp_path}", "bn_batch=8", f"precision={precision}")
    step_seconds(run, 1, 1)
    assert [training for training, _, _ in forwards] == [True, True, False], "a warm-up, a timed step, an evaluation"
    for _, images, logits in forwards:
        assert images.shape == (8, 3, 32, 32)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert logits.dtype == dtype
    assert list(tmp_path.iterdir()) == []


def test_weights_change_from_step_to_step(
    config: Config, forwards: list[Forward], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(monkeypatch, every(10))
    step_seconds(config(), 1, 1)
    assert not torch.equal(forwards[0][2], forwards[1][2])


@pytest.mark.parametrize(("seconds", "steps"), [(0.001, STEPS), (0.15, 4), (5, 1)])
def test_timing_stops_after_half_a_second_or_ten_steps(
    config: Config, forwards: list[Forward], monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    clock(monkeypatch, every(seconds))
    step_seconds(config(), 1, 1)
    assert sum(training for training, _, _ in forwards) == 1 + steps


def test_ready_is_called_after_the_warm_up(
    config: Config, forwards: list[Forward], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is not timed."""
    now = [0.0]
    monkeypatch.setattr(timing, "_now", lambda device: now[0] + 2 * len(forwards))
    at: list[int] = []

    def ready() -> None:
        at.append(len(forwards))
        now[0] += 1000

    seconds = step_seconds(config("bn_batch=32"), 1, 1, ready=ready)
    assert at == [1]
    assert seconds.iteration == pytest.approx(2)


@pytest.mark.parametrize(("mode", "warm_up"), [("default", 1), ("reduce-overhead", 3), ("max-autotune", 3)])
@pytest.mark.usefixtures("any_device")
def test_cuda_graphs_are_recorded_before_steps_are_timed(
    config: Config, forwards: list[Forward], monkeypatch: pytest.MonkeyPatch, mode: str, warm_up: int
) -> None:
    monkeypatch.setattr("resnet_ablations.training.module.training_pass", lambda network, mode: network.__call__)
    clock(monkeypatch, every(0.001))
    at: list[int] = []
    step_seconds(config(f"trainer.compile={mode}"), 1, 1, ready=lambda: at.append(len(forwards)), steps=25)
    assert at == [warm_up]
    assert sum(training for training, _, _ in forwards) == warm_up + 25


def test_the_median_without_the_warm_up_counts(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    # The end of the warm-up, of three steps (0.1, 0.35 and 0.2 s), and of the evaluation.
    clock(monkeypatch, iter([100.0, 100.1, 100.45, 100.65, 102.25]))
    seconds = step_seconds(config("schedule.batch_size=32", "bn_batch=16"), 1, 1)
    assert seconds.iteration == pytest.approx(0.2 * 32 / 16)
    assert seconds.test_image == pytest.approx(1.6 / 16)


@pytest.mark.parametrize(("multiply_adds", "images"), [(1, 16), (125, 8), (10**9, 2)])
def test_fewer_images_where_the_network_is_too_large(
    config: Config, forwards: list[Forward], monkeypatch: pytest.MonkeyPatch, multiply_adds: int, images: int
) -> None:
    monkeypatch.setattr(timing, "CPU_MULTIPLY_ADDS", 1000)
    clock(monkeypatch, every(10))
    seconds = step_seconds(config("schedule.batch_size=32", "bn_batch=16"), 1, multiply_adds)
    assert {len(batch) for _, batch, _ in forwards} == {images}
    assert seconds.iteration == pytest.approx(10 * 32 / images)
    assert seconds.test_image == pytest.approx(10 / images)


def test_fewer_images_where_the_cpu_emulates_bf16(
    config: Config, forwards: list[Forward], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "emulates_bf16", lambda precision, accelerator: precision == "bf16-mixed")
    monkeypatch.setattr(timing, "CPU_MULTIPLY_ADDS", 1000)
    clock(monkeypatch, every(10))
    step_seconds(config("schedule.batch_size=32", "bn_batch=16", "precision=bf16-mixed"), 1, 25)
    assert {len(batch) for _, batch, _ in forwards} == {4}


def test_the_setting_of_memory_is_the_runs(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr("resnet_ablations.network.resnet.recomputed", lambda units, x: calls.append(x) or units(x))
    for setting, called in (("false", False), ("true", True)):
        clock(monkeypatch, every(10))
        step_seconds(config(f"trainer.recompute={setting}"), 1, 1)
        assert bool(calls) is called


def test_threads_and_random_numbers_are_as_before(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def timed(*_: Any) -> tuple[float, float]:
        threads.append(torch.get_num_threads())
        torch.rand(1)
        if len(threads) == 3:
            raise KeyboardInterrupt
        return 1.0, 1.0

    monkeypatch.setattr(timing, "_timed", timed)
    before = torch.get_num_threads(), torch.random.get_rng_state()
    step_seconds(config("trainer.threads=3"), 2, 1)
    step_seconds(config("trainer.threads=null"), 2, 1)
    with pytest.raises(KeyboardInterrupt):
        step_seconds(config("trainer.threads=4"), 2, 1)
    assert threads == [3, 2, 4]
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    "timed",
    [lambda *_: torch.empty(2**54), raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."))],
    ids=["CPU", "GPU"],
)
def test_too_little_memory(config: Config, monkeypatch: pytest.MonkeyPatch, timed: Callable[..., Any]) -> None:
    monkeypatch.setattr(timing, "_timed", timed)
    with pytest.raises(MemoryError, match="allocate"):
        step_seconds(config(), 1, 1)


def test_other_errors_are_not_reported_as_too_little_memory(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_timed", raising(RuntimeError("shapes cannot be multiplied")))
    with pytest.raises(RuntimeError, match="shapes"):
        step_seconds(config(), 1, 1)


def test_a_device_that_is_not_there(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA GPU"):
        step_seconds(config("trainer=gpu"), 1, 1)


def test_averaged_statistics_are_not_part_of_the_time_of_a_test_image(
    config: Config, forwards: list[Forward], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The estimate of a run adds their batches itself."""
    clock(monkeypatch, every(10))
    step_seconds(config("bn_statistics=averaged"), 1, 1)
    assert [training for training, _, _ in forwards] == [True, True, False]
