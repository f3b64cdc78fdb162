"""Runs at once on a GPU: which number is chosen by a made-up clock; the processes are real, on the CPU."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
import torch

from resnet_ablations.config import RunConfig
from resnet_ablations.sweep import packing
from resnet_ablations.sweep.packing import Packing, best_packing, images_per_second
from resnet_ablations.training.timing import StepSeconds

Config = Callable[..., RunConfig]


def rating(rates: dict[int, float | Exception], calls: list[tuple[int, int, str]]) -> packing.Rate:
    def rate(run: RunConfig, count: int, threads: int, gpu: str) -> float:
        calls.append((count, threads, gpu))
        if isinstance(found := rates[count], Exception):
            raise found
        return found

    return rate


TOO_LITTLE = MemoryError("80 % of the memory")


@pytest.mark.parametrize(
    ("rates", "most", "tried", "chosen"),
    [
        ({1: 1000, 2: 1900, 4: 3000, 8: 2900}, 16, 4, Packing(4, 4 * 1000 / 3000)),
        ({1: 1000, 2: 1030}, 16, 2, Packing(1)),  # the second brings less than it takes
        ({1: 1000, 2: 1900, 4: 3000}, 7, 3, Packing(4, 4 * 1000 / 3000)),
        ({1: 1000, 2: 2100}, 2, 2, Packing(2)),  # noise: nobody is quicker in company
        ({1: 1000, 2: 1900, 4: TOO_LITTLE}, 16, 3, Packing(2, 2 * 1000 / 1900)),
        ({1: TOO_LITTLE}, 16, 1, Packing(1)),
    ],
)
def test_the_most_productive_number_is_chosen(
    config: Config, rates: dict[int, float | Exception], most: int, tried: int, chosen: Packing
) -> None:
    calls: list[tuple[int, int, str]] = []
    assert best_packing([config()], most, 12, "3", rating(rates, calls)) == chosen
    assert calls == [(1, 12, "3"), (2, 6, "3"), (4, 3, "3"), (8, 1, "3")][:tried]


def test_the_measurement_is_printed_in_one_line(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run = config()
    best_packing([run], 8, 8, "0", rating({1: 1234.5, 2: 2000, 4: MemoryError("no\nroom")}, []))
    assert capsys.readouterr().out == (
        f"{run.configuration} on one GPU: 1 at once 1,234 images/s, 2 at once 2,000 images/s, 4 at once: no room; "
        "so 2 at once on each GPU (hydra.launcher.runs_per_device=2 skips this measurement)\n"
    )


def test_the_largest_network_is_tried(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [config(), config("network.depth=14"), config("network.depth=20", "bn_batch=8"), config()]
    best_packing(runs, 1, 1, "0", rating({1: 1.0}, []))
    assert capsys.readouterr().out.startswith(runs[1].configuration)


def test_processes_train_side_by_side(config: Config) -> None:
    """Both processes are measured, and both end."""
    before = threading.active_count()
    assert images_per_second(config(), 2, 1, "0") > 0
    assert threading.active_count() == before
    assert not config().folder.path.exists()


class InThisProcess:
    """Stands for the pool of processes, one task after the other."""

    def __init__(
        self, count: int, context: object, initializer: Callable[..., None], initargs: tuple[Any, ...]
    ) -> None:
        pass

    def __enter__(self) -> "InThisProcess":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, task: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(task(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Free and all memory of the GPU after each process's steps, of which each takes half a second."""
    memory: list[tuple[int, int]] = []
    monkeypatch.setattr(packing, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(packing, "_together", threading.Barrier(1), raising=False)
    monkeypatch.setattr(packing, "step_seconds", lambda *_, ready, steps: StepSeconds(0.5, ready()))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: memory.pop(0))
    return memory


def test_rates_add_up(config: Config, taken: list[tuple[int, int]]) -> None:
    taken += [(9, 10), (7, 10), (5, 10)]
    assert images_per_second(config(), 3, 1, "0") == pytest.approx(3 * 32 / 0.5)
    assert taken == []


def test_steps_may_take_half_of_the_memory(config: Config, taken: list[tuple[int, int]]) -> None:
    taken += [(49, 100), (80, 100)]
    with pytest.raises(MemoryError, match="51 % of the GPU's memory"):
        images_per_second(config(), 2, 1, "0")


def test_no_process_waits_for_one_that_failed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is told, not that the others waited in vain."""
    barrier = threading.Barrier(2)

    def fail(*_: object, **__: object) -> StepSeconds:
        raise MemoryError("none left")

    monkeypatch.setattr(packing, "_together", barrier, raising=False)
    monkeypatch.setattr(packing, "step_seconds", fail)
    with pytest.raises(MemoryError):
        packing._try(config().as_dict(), 1, 1)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(timeout=10)

    outcomes = iter([threading.BrokenBarrierError(), MemoryError("none left")])

    def ended(*_: object) -> tuple[float, float]:
        raise next(outcomes)

    monkeypatch.setattr(packing, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(packing, "_try", ended)
    with pytest.raises(MemoryError, match="none left"):
        images_per_second(config(), 2, 1, "0")
