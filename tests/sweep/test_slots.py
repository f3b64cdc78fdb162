"""The slots of a machine; the machine is made up."""

from collections.abc import Callable, Sequence

import pytest
import torch

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.sweep import slots
from resnet_ablations.sweep.packing import Packing
from resnet_ablations.sweep.slots import Slots, checked_runs_per_device, slots_for

Config = Callable[..., RunConfig]
Machine = Callable[[int, int], None]

ON_TWO = ("bn_batch=8", "schedule.batch_size=16", "trainer.devices=2")
NONE_ASKED = "trainer.threads=null"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Gives it so many cores and GPUs."""

    def make(cores: int, gpus: int) -> None:
        monkeypatch.setattr(slots, "usable_cores", lambda: cores)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return make


def measuring(packing: Packing, calls: list[tuple[int, int, int, str]]) -> Callable[..., Packing]:
    def measure(runs: Sequence[RunConfig], most: int, threads: int, gpu: str) -> Packing:
        calls.append((len(runs), most, threads, gpu))
        return packing

    return measure


def never(*_: object) -> Packing:
    raise AssertionError("nothing is to be measured")


@pytest.mark.parametrize("given", [0, -1, 1001, 1.5, True, "abc"])
def test_an_invalid_number_of_runs(config: Config, given: int) -> None:
    with pytest.raises(UserError, match=rf"hydra\.launcher\.runs_per_device={given}: must be a whole number"):
        slots_for([config()], given)
    with pytest.raises(UserError, match="runs_per_device"):
        checked_runs_per_device(given)
    assert [checked_runs_per_device(good) for good in (None, 1, 7)] == [None, 1, 7]


@pytest.mark.parametrize(
    ("overrides", "given", "expected"),
    [
        ((), None, Slots(8, 1)),
        ((), 2, Slots(2, 4)),
        ((), 3, Slots(3, 2)),
        ((), 16, Slots(16, 1)),
        (("trainer.threads=1",), None, Slots(8, 1)),
        (("trainer.threads=3",), None, Slots(2, 3)),
        (("trainer.threads=16",), None, Slots(1, 16)),
        (ON_TWO, None, Slots(4, 1)),
        ((*ON_TWO, "trainer.threads=2"), None, Slots(2, 2)),
        (ON_TWO, 1, Slots(1, 4)),
        (ON_TWO, 3, Slots(3, 1)),
    ],
)
def test_runs_share_the_cores_of_a_cpu(
    config: Config, machine: Machine, overrides: tuple[str, ...], given: int | None, expected: Slots
) -> None:
    """One a core by default, however few are left: the number of threads can change a run's last digits."""
    machine(8, 0)
    run = config(NONE_ASKED, *overrides)
    for count in (1, 20):
        assert slots_for([run] * count, given, never) == expected
    assert expected.gpus_of(0) is None


def test_the_text_of_slots() -> None:
    assert str(Slots(1, 2)) == "1 run at once, 2 threads each"
    assert str(Slots(8, 1)) == "8 runs at once, 1 thread each"
    assert str(Slots(6, 2, ("0", "1"))) == "6 runs at once, 3 on each GPU, 2 threads each"


def test_runs_that_want_the_cpu_leave_gpus_alone(config: Config, machine: Machine) -> None:
    machine(8, 4)
    assert slots_for([config(NONE_ASKED, "trainer=cpu")], None, never) == Slots(8, 1)
    assert slots_for([config(NONE_ASKED, "trainer=auto")], 1, never).gpus == ("0", "1", "2", "3")


def test_runs_share_each_gpu(config: Config, machine: Machine) -> None:
    machine(16, 2)
    packed = slots_for([config(NONE_ASKED, "trainer=auto")] * 5, 3, never)
    assert packed == Slots(6, 2, ("0", "1"))
    assert [packed.gpus_of(slot) for slot in range(6)] == ["0", "1", "0", "1", "0", "1"]


def test_runs_on_several_gpus_have_a_group_each(config: Config, machine: Machine) -> None:
    machine(16, 5)
    run = config(NONE_ASKED, *ON_TWO, "trainer.accelerator=gpu")
    assert slots_for([run] * 9, None, never) == Slots(2, 4, ("0,1", "2,3"))
    assert slots_for([run] * 9, 2, never) == Slots(4, 2, ("0,1", "2,3"))
    machine(16, 1)
    with pytest.raises(UserError, match=r"trainer\.devices=2: this machine has 1 GPU; allowed: up to 1$"):
        slots_for([run], None)


def test_only_the_gpus_that_are_visible(config: Config, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(16, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,GPU-a1b2,4")
    assert slots_for([config(NONE_ASKED, "trainer=auto")], 1).gpus == ("7", "GPU-a1b2", "4")


def test_how_many_share_a_gpu_is_measured(config: Config, machine: Machine) -> None:
    """On one of them, with its share of the cores, and for no more runs than it would get, or than it has cores."""
    machine(16, 2)
    run = config(NONE_ASKED, "trainer=auto")
    calls: list[tuple[int, int, int, str]] = []
    assert slots_for([run] * 30, None, measuring(Packing(4, 1.5), calls)) == Slots(8, 2, ("0", "1"), 1.5)
    assert slots_for([run] * 5, None, measuring(Packing(1), calls)) == Slots(2, 8, ("0", "1"))
    assert calls == [(30, 8, 8, "0"), (5, 3, 8, "0")]


@pytest.mark.parametrize(("cores", "gpus", "runs"), [(16, 1, 1), (16, 2, 2), (1, 1, 9), (2, 2, 9)])
def test_nothing_is_measured_if_no_two_runs_share_a_gpu(
    config: Config, machine: Machine, cores: int, gpus: int, runs: int
) -> None:
    machine(cores, gpus)
    assert slots_for([config(NONE_ASKED, "trainer=auto")] * runs, None, never).count == gpus
