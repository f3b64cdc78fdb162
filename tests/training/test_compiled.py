"""A compiled network trains like the same network without compilation, and uses its checkpoints and names."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch._inductor.config
from comparing import BF16_LOSSES, BF16_WEIGHTS, LOSSES, SMALL, WEIGHTS, Trained, distance_of_weights, trained
from observing import numbers
from signalled import stopped_at
from torch import Tensor, nn
from torch._dynamo.utils import counters

from resnet_ablations.config import RunConfig
from resnet_ablations.network.masks import Mask, numbers_of_masks
from resnet_ablations.results.run_folder import Result
from resnet_ablations.settings import CompileMode
from resnet_ablations.training import compute, module
from resnet_ablations.training.compute import check_compute
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler"),
    pytest.mark.xdist_group("compiler"),
]

RUN = (*SMALL, "shortcut=dropout", "schedule.log_every=1")


@pytest.fixture(scope="module", autouse=True)
def compiled_code(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep compiled code for this file's tests. Compile in this process, because another one would import torch."""
    # Without `vec_isa_ok`, torch compiles eleven programs to try the vector instructions that the CPU says it has.
    settings = {"compile_threads": 1, "cpp.vec_isa_ok": True}
    with pytest.MonkeyPatch.context() as patched, torch._inductor.config.patch(settings):
        patched.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture
def float32(config: Config, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The run without compilation."""
    return trained(config(*RUN), monkeypatch)


@pytest.mark.parametrize("rate", [0.5, 0.3])
def test_a_compiled_mask_equals_the_eager_mask(rate: float) -> None:
    """Also with the next numbers, which are written to the same memory."""
    mask, images = Mask(rate), torch.randn(4, 16, 12, 12)
    numbers = numbers_of_masks([mask], 4, torch.device("cpu"))
    compiled = torch.compile(lambda images: images * mask(images), fullgraph=True, dynamic=False)
    for _ in range(2):
        numbers.random_()
        assert torch.equal(compiled(images), images * mask(images))


def test_a_compiled_run_equals_the_eager_run(config: Config, monkeypatch: pytest.MonkeyPatch, float32: Trained) -> None:
    """Dropout masks and responses are equal too; the network is compiled once, for all sizes of test batches."""
    check_compute(config(*RUN, "trainer.compile=default"), "cpu")  # compiles something itself
    counters.clear()
    compiled = trained(config(*RUN, "trainer.compile=default"), monkeypatch)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert not torch.equal(compiled.weights["stem.0.weight"], float32.weights["stem.0.weight"]), "it is other code"
    assert compiled.losses == pytest.approx(float32.losses, rel=LOSSES)
    assert distance_of_weights(compiled, float32) < WEIGHTS
    assert compiled.result.key == float32.result.key
    assert compiled.result.metrics == pytest.approx(float32.result.metrics, rel=LOSSES)


@pytest.mark.long
def test_in_bf16_too(config: Config, monkeypatch: pytest.MonkeyPatch, float32: Trained) -> None:
    compiled = trained(config(*RUN, "trainer.compile=default", "precision=bf16-mixed"), monkeypatch)
    assert compiled.losses == pytest.approx(float32.losses, rel=BF16_LOSSES)
    assert WEIGHTS < distance_of_weights(compiled, float32) < BF16_WEIGHTS


def kept_bytes(config: Config, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> int:
    """Return the bytes that a compiled run's first forward pass keeps for the backward pass."""
    kept: list[int] = []

    def spying(network: nn.Module, mode: CompileMode | None) -> Callable[[Tensor], Tensor]:
        forward = compute.training_pass(network, mode)

        def spied(images: Tensor) -> Tensor:
            logits = forward(images)
            kept.append(sum(tensor.nbytes for tensor in logits.grad_fn.saved_tensors))  # type: ignore[union-attr]
            return logits

        return spied

    with monkeypatch.context() as patched:
        patched.setattr(module, "training_pass", spying)
        run = config(*RUN, "trainer.compile=default", *overrides)
        train_run(run)
    shutil.rmtree(run.folder.path)
    return kept[0]


@pytest.mark.long
def test_recomputing_too(config: Config, monkeypatch: pytest.MonkeyPatch, float32: Trained) -> None:
    """BN's running statistics are updated once, although the layers before them are computed twice."""
    recompute = "trainer.recompute=true"
    assert kept_bytes(config, monkeypatch, recompute) < 0.8 * kept_bytes(config, monkeypatch)
    compiled = trained(config(*RUN, "trainer.compile=default", recompute), monkeypatch)
    assert compiled.losses == pytest.approx(float32.losses, rel=LOSSES)
    assert distance_of_weights(compiled, float32) < WEIGHTS
    running = [name for name in compiled.weights if "running" in name or "num_batches" in name]
    for name in running:
        torch.testing.assert_close(compiled.weights[name], float32.weights[name], rtol=1e-3, atol=1e-4)
    assert running


def stopped_in(monkeypatch: pytest.MonkeyPatch, run: RunConfig, iteration: int) -> None:
    """Train until a signal comes in the step of `iteration`."""
    stopped_at(monkeypatch, run, (iteration - 1) * run.micro_batches)


def close(result: Result, expected: Result) -> bool:
    return result.test_loss == pytest.approx(expected.test_loss, rel=LOSSES)


def test_compiled_and_eager_runs_resume_from_each_others_checkpoints(
    config: Config, monkeypatch: pytest.MonkeyPatch, float32: Trained
) -> None:
    run, compiled = config(*RUN), config(*RUN, "trainer.compile=default")
    for first, second, third in ((run, compiled, run), (compiled, run, compiled)):
        stopped_in(monkeypatch, first, 2)
        stopped_in(monkeypatch, second, 4)
        assert close(train_run(third), float32.result)
        assert "not used" not in run.folder.log.read_text()
        shutil.rmtree(run.folder.path)


@pytest.mark.long
def test_resumed_equals_uninterrupted(config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bit for bit."""
    straight, run = (
        config(*RUN, "trainer.compile=default", f"paths.results={tmp_path}/{place}") for place in ("a", "b")
    )
    expected = train_run(straight)
    stopped_in(monkeypatch, run, 3)
    assert numbers(train_run(run)) == numbers(expected)
    assert run.folder.curve.read_bytes() == straight.folder.curve.read_bytes()


@pytest.mark.long
def test_without_a_compiler_a_sweep_is_refused(
    python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """The error is one line, and nothing is written.

    In short: `test_compute.py::test_a_compiled_run_without_a_compiler_is_refused`.
    """
    settings = (*SMALL, "trainer=cpu", "trainer.compile=default", "paths.results=mine")
    environment = {"CXX": "/no/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    ended = python("-m", "resnet_ablations.train", "-m", *settings, cwd=tmp_path, **environment)
    assert ended.returncode == 2
    (line,) = [line for line in ended.stderr.splitlines() if "cpp_extension" not in line]  # CUDA's, where there is none
    assert line.startswith("error: trainer.compile=default: torch.compile does not work here: ")
    assert "/no/compiler" in line
    assert not (tmp_path / "mine").exists()
