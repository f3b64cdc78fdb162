"""One run on a GPU: the same seed gives the same bytes, also when the run is stopped, killed or moved to a CPU."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from observing import numbers, wait_until
from watching import train_until

import resnet_ablations as ra
from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.paths import CONF
from resnet_ablations.training.run import train_run
from resnet_ablations.training.weights import weights_digest

Config = Callable[..., RunConfig]
Settings = Callable[..., list[str]]
Python = Callable[..., subprocess.CompletedProcess[str]]

SHORTCUTS = sorted(path.stem for path in (CONF / "shortcut").glob("*.yaml"))
PRECISIONS = ("32-true", "tf32", "bf16-mixed")
CHECKPOINTS = "trainer.checkpoint_iterations=2"
# One residual unit: rounding in a deeper network grows too fast to compare two devices.
ONE_UNIT = ("network.depth=4", "network.units=[1]", "network.widths=[8]", "network.stem.width=8")


def skip_without(precision: str, device: str) -> None:
    if precision == "tf32" and device == "cpu":
        pytest.skip("a CPU has no TF32")


def losses(run: RunConfig) -> list[float]:
    """The losses of a run's curve, of training and then of testing."""
    curve = pd.read_csv(run.folder.curve)
    return [*curve["train_loss"], *curve["test_loss"].dropna()]


def assert_same_files(run: RunConfig, other: RunConfig) -> None:
    assert numbers(run.folder.result()) == numbers(other.folder.result())
    for name in ("curve", "responses", "signals"):
        assert getattr(run.folder, name).read_bytes() == getattr(other.folder, name).read_bytes()


def test_a_run_from_the_command_line(python: Python, settings: Settings, config: Config, tmp_path: Path) -> None:
    """It says in one line what came out, and its result names the device and the GPU's libraries."""
    ended = python("-m", "resnet_ablations.train", *settings(), cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = config().folder.result()
    assert result is not None
    assert result.summary() in ended.stdout
    device = torch.cuda.get_device_name() if config().trainer.accelerator == "gpu" else "cpu"
    assert result.provenance["machine"]["device"] == device
    versions = {name: result.provenance["versions"].get(name) for name in ("CUDA", "cuDNN", "driver")}
    assert all(versions.values()) if device != "cpu" else not any(versions.values()), versions


def test_a_plain_trainer_gives_the_curve_of_the_run(config: Config, device: str) -> None:
    run = config("shortcut=dropout")
    result = train_run(run)
    assert result is not None
    module = ra.lightning_module(run)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(accelerator=device, devices=1, deterministic=True, **quiet)  # type: ignore[arg-type]
    trainer.fit(module, datamodule=ra.datamodule(run))
    assert weights_digest(module.network) == result.weights
    last = module.rows[-1]
    assert (last.train_loss, last.test_loss, last.test_error) == (
        result.train_loss,
        result.test_loss,
        result.test_error,
    )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_the_same_seed_gives_the_same_bytes(config: Config, device: str, shortcut: str, precision: str) -> None:
    skip_without(precision, device)
    first, second = (config(f"shortcut={shortcut}", f"precision={precision}", results=place) for place in ("a", "b"))
    for run in (first, second):
        result = train_run(run)
        assert result is not None
        assert result.outcome == "finished"
    assert_same_files(first, second)


def test_another_seed_gives_other_bytes(config: Config) -> None:
    first, second = config(), config("seed=1")
    train_run(first)
    train_run(second)
    assert losses(first) != losses(second)


@pytest.mark.parametrize(
    "overrides",
    [*((f"precision={precision}", "shortcut=dropout") for precision in PRECISIONS), ("data=generated", "data.crop=16")],
    ids=[*PRECISIONS, "image files"],
)
def test_a_run_stopped_by_sigterm_goes_on_to_the_same_bytes(
    config: Config, device: str, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    skip_without(overrides[0].removeprefix("precision="), device)
    stopped, straight = (config(CHECKPOINTS, *overrides, results=place) for place in ("a", "b"))
    train_until(monkeypatch, stopped, 2)
    train_until(monkeypatch, stopped, 6)
    train_run(stopped)
    train_run(straight)
    assert_same_files(stopped, straight)


def test_a_run_killed_by_sigkill_goes_on_to_the_same_bytes(settings: Settings, config: Config, tmp_path: Path) -> None:
    schedule = ("schedule.iterations=500", "schedule.log_every=10", "schedule.evaluate_every=100")
    overrides = ("shortcut=dropout", "trainer.checkpoint_iterations=20", *schedule)
    killed, straight = (config(*overrides, results=place) for place in ("a", "b"))
    train = [sys.executable, "-m", "resnet_ablations.train", *settings(*overrides, results="a")]
    with (tmp_path / "said").open("w") as said, subprocess.Popen(train, stdout=said, stderr=said) as process:
        try:
            wait_until(lambda: killed.folder.resumable_from() is not None or process.poll() is not None, 120)
        finally:
            process.kill()
    assert process.returncode == -9, (tmp_path / "said").read_text()
    assert killed.folder.result() is None
    train_run(killed)
    train_run(straight)
    assert_same_files(killed, straight)


def test_a_gpus_checkpoint_goes_on_on_a_cpu_and_back(
    config: Config, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers are those of the GPU alone, but for rounding."""
    moved, straight = (config(*ONE_UNIT, CHECKPOINTS, results=place) for place in ("a", "b"))
    on_cpu = config(*ONE_UNIT, CHECKPOINTS, "trainer.accelerator=cpu", results="a")
    assert on_cpu.key == moved.key
    train_until(monkeypatch, moved, 2)
    train_until(monkeypatch, on_cpu, 6)
    train_run(moved)
    train_run(straight)
    log = moved.folder.log.read_text()
    assert "not used" not in log
    assert all(f"from step {step}" in log for step in (0, 3, 7))
    assert losses(moved) == pytest.approx(losses(straight), rel=1e-3)


@pytest.mark.parametrize(("precision", "tolerance"), [("32-true", 1e-3), ("tf32", 1e-2), ("bf16-mixed", 3e-2)])
def test_a_gpu_trains_what_a_cpu_trains(config: Config, gpu: None, precision: str, tolerance: float) -> None:
    run = config(*ONE_UNIT, f"precision={precision}", results="a")
    on_cpu = config(*ONE_UNIT, "trainer.accelerator=cpu", results="b")
    train_run(run)
    train_run(on_cpu)
    assert losses(run) == pytest.approx(losses(on_cpu), rel=tolerance)


def test_more_devices_than_there_are_is_refused_in_one_line(config: Config, gpu: None) -> None:
    wanted = torch.cuda.device_count() + 1
    run = config("bn_batch=1", f"trainer.devices={2 ** wanted.bit_length()}")
    with pytest.raises(UserError) as refusal:
        train_run(run)
    (line,) = refusal.value.messages
    assert "\n" not in line
    assert line.startswith(f"trainer.devices={run.trainer.devices}: ")
    assert not run.folder.path.exists()
