"""TF32, memory format, gradients of CUDA graphs: they change a run's numbers by rounding at most."""

import platform
from collections.abc import Callable, Iterator

import pytest
import torch
from comparing import BF16_LOSSES, BF16_WEIGHTS, LOSSES, SMALL, WEIGHTS, distance_of_weights, trained
from observing import numbers
from torch import Tensor, nn

from resnet_ablations.build import network_for
from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.training import compute, module
from resnet_ablations.training.compute import check_compute, forget_gradients, in_memory_format, set_float32_precision
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]


@pytest.fixture
def switches() -> Iterator[None]:
    """Restore torch's switches after a test."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def a_gpu(monkeypatch: pytest.MonkeyPatch, tf32: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda: tf32)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")


def test_only_precision_is_part_of_the_key(config: Config) -> None:
    others = ("trainer.channels_last=false", "trainer.compile=default", "trainer.compile=max-autotune")
    assert {config(other).key for other in others} == {config().key}
    assert len({config(f"precision={name}").key for name in ("32-true", "bf16-mixed", "tf32")}) == 3


def test_tf32_on_a_cpu_is_refused_before_anything_is_written(config: Config) -> None:
    run = config("precision=tf32")
    with pytest.raises(UserError, match="precision=tf32: the CPU has no TF32; allowed here: 32-true, bf16-mixed"):
        train_run(run)
    assert not run.folder.path.exists()


def test_tf32_on_a_gpu_without_it_is_refused(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpu(monkeypatch, tf32=False)
    with pytest.raises(UserError, match="precision=tf32: Tesla T4 has no TF32"):
        check_compute(config("precision=tf32"), "gpu")
    check_compute(config(), "gpu")
    a_gpu(monkeypatch, tf32=True)
    check_compute(config("precision=tf32"), "gpu")
    with pytest.raises(UserError, match="the CPU has no TF32"):
        check_compute(config("precision=tf32"), "cpu")


@pytest.mark.parametrize(("capability", "slow"), [("DEFAULT", True), ("AVX2", True), ("AVX512", False)])
def test_bf16_that_a_cpu_emulates_is_told_once(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    capability: str,
    slow: bool,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr("resnet_ablations.output._told", set())
    for accelerator in ("gpu", "cpu", "cpu"):
        check_compute(config("precision=bf16-mixed"), accelerator)
    check_compute(config(), "cpu")
    told = "precision=bf16-mixed: this CPU has no instructions for bf16 and trains about 10 times slower with it than "
    assert capsys.readouterr().err == (f"{told}with precision=32-true\n" if slow else "")


@pytest.mark.usefixtures("switches")
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("precision", "lightnings", "tf32"),
    [("tf32", "32-true", True), ("32-true", "32-true", False), ("bf16-mixed", "bf16-mixed", False)],
)
def test_float32_precision_sets_every_tf32_switch(precision: str, lightnings: str, tf32: bool, before: bool) -> None:
    """The result depends on no earlier switch, and every switch that torch and Lightning read is set."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = before
    assert set_float32_precision(precision) == lightnings
    assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is tf32
    assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
    if hasattr(torch.backends, "fp32_precision"):  # from torch 2.9 on
        assert (torch.backends.cudnn.conv.fp32_precision == "tf32") is tf32
        assert (torch.backends.cuda.matmul.fp32_precision == "tf32") is tf32


@pytest.mark.usefixtures("switches")
def test_a_run_sets_its_float32_precision(config: Config) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    train_run(config("schedule.iterations=1"))
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_cuda_graphs_on_a_cpu_are_refused_before_anything_is_written(config: Config, mode: str) -> None:
    run = config(f"trainer.compile={mode}")
    with pytest.raises(UserError, match=f"trainer.compile={mode}: its CUDA graphs need a CUDA GPU; allowed elsewhere"):
        train_run(run)
    assert not run.folder.path.exists()


def test_a_compiled_run_without_a_compiler_is_refused(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "_why_not_compiled", lambda device: f"no compiler for the {device}")
    run = config("trainer.compile=default")
    with pytest.raises(UserError, match=r"trainer\.compile=default: torch\.compile does not work here: no compiler"):
        train_run(run)
    assert not run.folder.path.exists()
    train_run(config("schedule.iterations=1"))


def test_an_unknown_mode_is_refused(config: Config) -> None:
    with pytest.raises(UserError, match=r"trainer\.compile=true: must be 'default', 'reduce-overhead' or"):
        config("trainer.compile=true")


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("channels_last", [True, False])
def test_all_that_a_network_computes_is_in_one_order(config: Config, channels_last: bool, colours: int) -> None:
    """Images with one channel are in both memory formats at once; torch must not have to guess."""
    network = in_memory_format(network_for(config("network.depth=14"), channels=colours, classes=10), channels_last)
    seen: list[Tensor] = []
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.BatchNorm2d)):
            part.register_forward_hook(lambda module, images, output: seen.append(output))
    network(torch.randn(4, 8, 8, colours).permute(0, 3, 1, 2))
    assert len(seen) > 20
    for output in seen:
        assert output.is_contiguous(memory_format=torch.channels_last) is channels_last
        assert output.is_contiguous() is not channels_last


def test_channels_first_is_the_same_run(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also its dropout masks."""
    settings = (*SMALL, "shortcut=dropout")
    last, first = (
        trained(config(*settings, f"trainer.channels_last={value}"), monkeypatch) for value in ("true", "false")
    )
    assert not torch.equal(last.weights["stem.0.weight"], first.weights["stem.0.weight"]), "it is another computation"
    assert first.losses == pytest.approx(last.losses, rel=LOSSES)
    assert distance_of_weights(first, last) < WEIGHTS


def test_bf16_is_near_float32(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    full, half = (
        trained(config(*SMALL, f"precision={precision}"), monkeypatch) for precision in ("32-true", "bf16-mixed")
    )
    assert half.losses == pytest.approx(full.losses, rel=BF16_LOSSES)
    assert WEIGHTS < distance_of_weights(half, full) < BF16_WEIGHTS


def test_gradients_that_cuda_graphs_could_overwrite_stay_where_they_are() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    addresses = set()
    for _ in range(2):
        forget_gradients(optimizer, "reduce-overhead")
        for factor in (2, 3):
            (factor * parameter).sum().backward()
        assert parameter.grad is not None
        assert parameter.grad.tolist() == [5, 5, 5], "of both backward passes, and of no earlier step"
        addresses.add(parameter.grad.data_ptr())
    assert len(addresses) == 1
    forget_gradients(optimizer, "default")
    assert parameter.grad is None


@pytest.mark.usefixtures("any_device")
def test_zeroed_gradients_change_no_number(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same steps as with CUDA graphs, but without the graphs."""
    settings = ("shortcut=dropout", "bn_batch=16")
    expected = train_run(config(*settings))
    expected_curve = config(*settings).folder.curve.read_bytes()
    modes: list[object] = []

    def uncompiled(network: nn.Module, mode: compute.CompileMode | None) -> Callable[[Tensor], Tensor]:
        modes.append(mode)
        return network.__call__

    monkeypatch.setattr(module, "training_pass", uncompiled)
    monkeypatch.setattr(compute, "CUDA_GRAPHS", ("default",))
    run = config(*settings, "trainer.compile=default", f"paths.results={config().paths.results}2")
    assert numbers(train_run(run)) == numbers(expected)
    assert run.folder.curve.read_bytes() == expected_curve
    assert modes == ["default"]
