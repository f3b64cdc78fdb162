"""Devices are checked without a CUDA context in a sweep's process, and two ranks do not take the same GPU."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from resnet_ablations.config import RunConfig
from resnet_ablations.data.batches import Share
from resnet_ablations.errors import UserError
from resnet_ablations.results.provenance import provenance
from resnet_ablations.training import devices
from resnet_ablations.training.devices import check_devices_in_child, check_own_gpus, device_names, gpu_versions
from resnet_ablations.training.ranks import ALONE, Ranks

Config = Callable[..., RunConfig]


def refused(*arguments: Any) -> None:
    raise AssertionError("this process has asked the GPU itself")


@pytest.mark.parametrize("setting", ["precision=tf32", "trainer.compile=default"])
def test_checks_that_need_a_cuda_context_run_in_a_child_process(
    config: Config, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """The other process has no GPU and says so; this one believes to have one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("is_tf32_supported", "get_device_name", "get_device_properties", "current_device"):
        monkeypatch.setattr(torch.cuda, name, refused)
    run = config("trainer=gpu", setting)
    with pytest.raises(UserError, match=r"^trainer\.accelerator=gpu: .*no CUDA GPU"):
        check_devices_in_child([config(), run, run.with_seed(1)])
    assert not torch.cuda.is_initialized()


def test_checks_without_a_cuda_context_run_in_this_process(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "ProcessPoolExecutor", refused)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check_devices_in_child([config(), config("trainer=gpu", "precision=bf16-mixed", "trainer.cuda_graph=true")])
    with pytest.raises(UserError, match=r"^trainer\.devices=2: this machine has 1 CUDA GPU; allowed: up to 1"):
        check_devices_in_child([config("trainer=gpu", "bn_batch=8", "trainer.devices=2")])
    check_devices_in_child([config("trainer=gpu", "bn_batch=8", "trainer.devices=2", "trainer.backend=gloo")])


class Others(Ranks):
    """The first rank, with the answers of the other ranks."""

    def __init__(self, *others: str) -> None:
        super().__init__(Share(0, 1 + len(others)))
        self.others = others

    def gather(self, own: Any) -> Any:
        return list(self.others)

    def broadcast(self, make: Callable[[], Any]) -> Any:
        return make()


@pytest.mark.parametrize(
    ("others", "gpus"),
    [(("here a",), 1), (("here b",), 2), (("there a",), 2), (("here b", "here a", "there c"), 3)],
)
def test_two_ranks_on_one_gpu_are_refused(monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...], gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda place: SimpleNamespace(uuid="a"))
    monkeypatch.setattr(devices.socket, "gethostname", lambda: "here")
    ranks = Others(*others)
    if gpus == ranks.count:
        check_own_gpus(ranks)
        return
    with pytest.raises(UserError, match=rf"= {ranks.count}: the ranks have {gpus} GPUs between them") as refusal:
        check_own_gpus(ranks)
    assert "\n" not in str(refusal.value)


def test_the_names_of_all_ranks_devices_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A100")
    gpu = torch.device("cuda", 0)
    assert device_names(torch.device("cpu"), ALONE) == "cpu"
    assert device_names(gpu, Others("A100")) == "2 × A100"
    assert device_names(gpu, Others("H100", "A100", "L4")) == "2 × A100, H100, L4"


def test_the_versions_of_a_gpus_libraries_are_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The driver's is what nvidia-smi says; without it, the driver's is unknown."""
    assert gpu_versions(torch.device("cpu")) == {}
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setenv("PATH", str(tmp_path))
    expected = {"CUDA": "13.0", "cuDNN": "91002", "driver": None}
    assert gpu_versions(torch.device("cuda", 0)) == expected
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 580.65.06\necho 580.65.06\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert gpu_versions(torch.device("cuda", 0)) == expected | {"driver": "580.65.06"}
    assert provenance("A100", 1, expected)["versions"]["cuDNN"] == "91002"
