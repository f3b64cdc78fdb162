"""Runs on an Apple GPU, which has no float64; a device of tensors that are computed on the CPU stands in for it.

The stand-in has torch's device "meta", and refuses float64 as MPS does. It does not show what MPS computes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from observing import numbers
from pytorch_lightning.accelerators import MPSAccelerator
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from resnet_ablations import sums
from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.sweep.slots import slots_for
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]

STAND_IN = torch.device("meta")


class Stand(torch.Tensor):
    """A tensor of the stand-in device; `inner` is the CPU's tensor with its values."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Self:
        if inner.dtype == torch.float64:
            raise TypeError("this device has no float64")
        new = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=STAND_IN
        )
        new.inner = inner
        return new

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU; the result is on the device that is asked for, or on that of the arguments."""
    given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Stand)]
    on_stand_in = bool(given)
    if kwargs.get("device") is not None:
        on_stand_in = torch.device(kwargs["device"]) == STAND_IN
        kwargs = kwargs | {"device": torch.device("cpu")}
    if func is torch.ops.aten.copy_.default:
        plain(args[0]).copy_(plain(args[1]))
        return args[0]
    result = func(*tree_map(plain, args), **tree_map(plain, kwargs))
    if not on_stand_in:
        return result
    known = {id(value.inner): value for value in given}  # an operation in place returns its argument

    def moved(value: Any) -> Any:
        return known[id(value)] if id(value) in known else Stand(value) if isinstance(value, torch.Tensor) else value

    return tree_map(moved, result)


def plain(value: Any) -> Any:
    return value.inner if isinstance(value, Stand) else value


class Operators(TorchDispatchMode):
    """The operators of the stand-in device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class Literals(TorchFunctionMode):
    """Makes `torch.tensor` on the CPU and moves it: on the device "meta" itself the values would be lost."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.pop("device", None) if func is torch.tensor else None
        made = func(*args, **kwargs)
        return made if device is None else made.to(device)


@contextmanager
def machine() -> Iterator[None]:
    """A machine with the stand-in device."""
    with Operators(), Literals():
        yield


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in is this machine's Apple GPU."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    monkeypatch.setattr(MPSAccelerator, "parse_devices", staticmethod(lambda devices: [0]))
    monkeypatch.setattr(MPSAccelerator, "get_parallel_devices", staticmethod(lambda devices: [STAND_IN]))
    monkeypatch.setattr(MPSAccelerator, "setup_device", lambda self, device: None)
    monkeypatch.setattr(sums, "WITHOUT_FLOAT64", ("meta",))
    autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda device, **settings: autocast("cpu", **settings))


ONE_UNIT = ("network.depth=4", "network.units=[1]", "network.widths=[8]", "network.stem.width=8")


def test_a_run_needs_no_float64_of_the_device(config: Config, apple: None, tmp_path: Path) -> None:
    """The stand-in computes what the CPU computes, so every number is the same, those of gates too."""
    overrides = (*ONE_UNIT, "shortcut=shortcut_only_gating", "trainer.signals=true")
    on_cpu, run = config(*overrides), config(*overrides, "trainer=mps", f"paths.results={tmp_path / 'mps'}")
    expected = train_run(on_cpu)
    with machine():
        result = train_run(run)
    assert result is not None
    assert result.provenance["machine"]["device"] == "meta"
    assert numbers(result) == numbers(expected)
    for name in ("curve", "responses", "signals"):
        assert getattr(run.folder, name).read_bytes() == getattr(on_cpu.folder, name).read_bytes()


def test_the_stand_in_has_no_float64() -> None:
    with machine(), pytest.raises(TypeError, match="no float64"):
        torch.zeros(2, device=STAND_IN).double()


def test_it_is_refused_where_it_is_missing(config: Config) -> None:
    run = config("trainer=mps")
    with pytest.raises(UserError, match=r"^trainer\.accelerator=mps: this machine has no Apple GPU"):
        train_run(run)
    assert not run.folder.path.exists()


@pytest.mark.parametrize(
    ("setting", "refusal"),
    [
        ("precision=tf32", "precision=tf32: an Apple GPU has no TF32"),
        ("trainer.cuda_graph=true", "trainer.cuda_graph=true: a CUDA graph needs a CUDA GPU"),
        ("trainer.devices=2", "trainer.devices × trainer.nodes = 2: an Apple GPU trains a run alone"),
    ],
)
def test_what_it_cannot_do_is_refused(config: Config, apple: None, setting: str, refusal: str) -> None:
    with pytest.raises(UserError) as refused:
        train_run(config("trainer=mps", "bn_batch=16", setting))
    assert str(refused.value).startswith(refusal)
    assert "\n" not in str(refused.value)


def test_a_sweep_trains_one_run_at_a_time_on_it(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_ablations.sweep.slots.usable_cores", lambda: 8)
    assert slots_for([config("trainer=mps"), config("trainer=mps", "seed=1")], None).count == 1
