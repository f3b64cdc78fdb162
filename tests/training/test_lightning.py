"""A run in Lightning's terms: its module and data in a plain trainer, and callbacks and a profiler in a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import LambdaCallback
from pytorch_lightning.profilers import SimpleProfiler

import resnet_ablations as ra
from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.results.curve import CurveFile
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.run import train_run
from resnet_ablations.training.trainer import Extras, quiet_lightning
from resnet_ablations.training.weights import weights_digest

Config = Callable[..., RunConfig]


def plain_trainer(**settings: Any) -> pl.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    with quiet_lightning():
        return pl.Trainer(**(quiet | {"accelerator": "cpu"} | settings))


def fit(trainer: pl.Trainer, config: RunConfig, **settings: Any) -> TrainingModule:
    module = ra.lightning_module(config)
    with quiet_lightning():
        trainer.fit(module, datamodule=ra.datamodule(config), **settings)
    return module


def text_of(module: TrainingModule, path: Path) -> bytes:
    with CurveFile(path) as curve:
        for row in module.rows:
            curve.append(row)
    return path.read_bytes()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_plain_trainer_gives_the_curve_of_the_run(config: Config, tmp_path: Path, precision: str) -> None:
    """It has no limit of epochs that fits; it validates before and after; another callback trains beside."""
    run = config("shortcut=dropout", "bn_batch=16", f"precision={precision}")
    expected = train_run(run)
    assert expected is not None
    seen: list[dict[str, float]] = []
    watch = LambdaCallback(on_train_batch_end=lambda trainer, *_: seen.append(dict(trainer.callback_metrics)))
    trainer = plain_trainer(precision=precision, callbacks=[watch])
    module = fit(trainer, run)
    assert text_of(module, tmp_path / "curve.csv") == run.folder.curve.read_bytes()
    assert weights_digest(module.network) == expected.weights
    assert len(seen) == run.schedule.iterations
    assert float(trainer.callback_metrics["test_error"]) == pytest.approx(expected.test_error)
    assert float(trainer.callback_metrics["val_error"]) == pytest.approx(expected.test_error)
    (validated,) = trainer.validate(module, datamodule=ra.datamodule(run), verbose=False)
    assert validated["val_loss"] == pytest.approx(expected.test_loss, rel=1e-5)


def test_a_run_takes_callbacks_and_a_profiler(config: Config, tmp_path: Path) -> None:
    """The curve stays the same; a callback sees the row of the iteration that has just ended."""
    straight, watched = config(), config(f"paths.results={tmp_path / 'watched'}")
    train_run(straight)
    rows: list[int] = []

    def note(trainer: pl.Trainer, module: TrainingModule, *arguments: Any) -> None:
        if module.row is not None:
            assert module.row.iteration == module.iterations_done == trainer.global_step
            rows.append(module.row.iteration)

    profiler = SimpleProfiler(dirpath=tmp_path, filename="profile")
    train_run(watched, extras=Extras([LambdaCallback(on_train_batch_end=note)], profiler))
    assert rows == [2, 4, 6]
    assert watched.folder.curve.read_bytes() == straight.folder.curve.read_bytes()
    assert "run_training_batch" in (tmp_path / "fit-profile.txt").read_text()


def test_a_callback_cannot_end_a_run_early(config: Config) -> None:
    """A shorter run would be another one."""

    def stop(trainer: pl.Trainer, *arguments: Any) -> None:
        trainer.should_stop = True

    with pytest.raises(UserError, match="callbacks: one of them stopped the run after 1 of 6 iterations"):
        train_run(config(), extras=Extras([LambdaCallback(on_train_batch_end=stop)]))
    assert config().folder.result() is None


def test_started_ranks_take_no_callbacks(config: Config) -> None:
    run = config("bn_batch=16", "trainer.devices=2")
    with pytest.raises(UserError, match=r"trainer\.devices: callbacks and a profiler need one device"):
        train_run(run, extras=Extras([pl.Callback()]))
    assert not run.folder.path.exists()


def test_a_trainer_that_would_train_something_else_is_refused(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"precision=bf16-mixed: needs pl\.Trainer\(precision='bf16-mixed'\)"):
        fit(plain_trainer(), config("precision=bf16-mixed"))
    monkeypatch.setattr(pl.Trainer, "world_size", 2)
    with pytest.raises(UserError, match="2 devices: "):
        fit(plain_trainer(), config())
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"datamodule=resnet_ablations\.datamodule\(config\)"):
        plain_trainer().fit(ra.lightning_module(config()), train_dataloaders=range(6))
    with pytest.raises(UserError, match=r"the module is of run .*-s0, the datamodule of run .*-s1; both need"):
        plain_trainer().fit(ra.lightning_module(config()), datamodule=ra.datamodule(config("seed=1")))
    with pytest.raises(UserError, match="precision=tf32: the CPU has no TF32"):
        fit(plain_trainer(), config("precision=tf32"))
    with pytest.raises(UserError, match=r"trainer\.cuda_graph=true: a CUDA graph needs a CUDA GPU"):
        fit(plain_trainer(), config("trainer.cuda_graph=true"))
    with pytest.raises(UserError, match=r"after 2 iterations comes number 1; .* no limit_train_batches"):
        fit(plain_trainer(limit_train_batches=2, max_epochs=2), config())
    module = fit(plain_trainer(), config())
    with pytest.raises(UserError, match=r"after 6 iterations comes number 1; .* a new module"):
        plain_trainer().fit(module, datamodule=ra.datamodule(config()))
    trainer = plain_trainer(max_steps=2)
    assert fit(trainer, config()).iterations_done == 2
    trainer.save_checkpoint(tmp_path / "lightning.ckpt")
    with pytest.raises(UserError, match="ckpt_path: only train_run resumes a run"):
        fit(plain_trainer(), config(), ckpt_path=tmp_path / "lightning.ckpt")
