"""The choice of a logger and its settings, which are not part of a run's key."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_ablations import clean
from resnet_ablations.config import RunConfig, validate
from resnet_ablations.errors import UserError
from resnet_ablations.loggers.logger import NoLogger
from resnet_ablations.loggers.wandb import WandbLogger
from resnet_ablations.overrides import compose
from resnet_ablations.publish import _copied
from resnet_ablations.results.keys import is_location
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.sweep.planning import plan
from resnet_ablations.train import main
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]


@pytest.mark.parametrize("logger", ["none", "csv", "tensorboard", "wandb"])
def test_the_key_is_that_without_a_logger(config: Config, logger: str) -> None:
    run = config(f"logger={logger}")
    assert run.key == config().key
    assert is_location(f"logger={logger}")
    assert validate(run.as_dict()).as_dict() == run.as_dict()


def test_no_logger_is_the_default_also_of_earlier_frozen_configurations(config: Config) -> None:
    tree = config().as_dict()
    del tree["logger"]
    assert isinstance(validate(tree).logger.build(), NoLogger)
    assert validate(tree).as_dict() == config().as_dict()


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("logger=mlflow", "logger=mlflow: no such option; allowed: csv, none, tensorboard, wandb"),
        ("logger._target_=os.system", "logger._target_=os.system: must name a Logger class"),
        ("logger.wait_seconds=-1", "logger.wait_seconds=-1: must be greater than or equal to 0"),
        ("logger.project=mine", "logger.project=mine: no such key here"),
    ],
)
def test_mistakes(config: Config, override: str, told: str) -> None:
    with pytest.raises(UserError, match=f"^{told}"):
        config("logger=wandb", override)


def wandb_of(run: RunConfig) -> WandbLogger:
    logger = run.logger.build()
    assert isinstance(logger, WandbLogger)
    return logger


def test_a_sweep_tells_wandb_which_experiment_at_which_scale(tmp_path: Path) -> None:
    overrides = ("experiment=lambda", "scale=quick", f"paths.results={tmp_path}")
    shown, unseen = plan((*overrides, "logger=wandb")), plan(overrides)
    assert {(wandb_of(job.config).group, wandb_of(job.config).job_type) for job in shown.jobs} == {("lambda", "quick")}
    assert [job.config.key for job in shown.jobs] == [job.config.key for job in unseen.jobs]
    assert shown.record is not None
    assert unseen.record is not None
    assert shown.record.name == unseen.record.name
    assert shown.record.configurations.keys() == unseen.record.configurations.keys()


def test_the_user_can_set_the_wandb_group() -> None:
    assert wandb_of(compose(["logger=wandb"])).group is None
    assert wandb_of(compose(["logger=wandb", "logger.group=mine"])).group == "mine"


@pytest.mark.parametrize("arguments", [["logger=wandb"], ["-m", "logger=wandb", "seed=0,1"]])
def test_a_missing_key_stops_a_run_and_a_sweep_before_they_begin(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The error is one line; nothing is written, and no question is asked, because no terminal could answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(
        "error: logger=wandb: no API key for http://127.0.0.1:9: run `wandb login`, or set WANDB_API_KEY"
    )
    assert list(tmp_path.iterdir()) == []


def test_logger_files_are_removed_with_their_run_and_not_published(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = config("logger=csv")
    train_run(run)
    (run.folder.path / "wandb").mkdir()
    (run.folder.path / "wandb" / "latest-run").symlink_to("gone")
    results, reference = Path(run.paths.results), tmp_path / "reference"
    reference.mkdir()
    assert _copied(RunFolder(results, run.key), RunFolder(reference, run.key))
    published = {path.name for path in RunFolder(reference, run.key).path.iterdir()}
    assert published == {"config.yaml", "curve.csv", "layer_responses.csv", "result.json", "signals.csv"}
    assert "logger" not in RunFolder(reference, run.key).config.read_text()
    monkeypatch.setattr(sys, "argv", ["clean", "--results", str(results), run.key])
    monkeypatch.setattr("builtins.input", lambda question: "y")
    clean.main()
    assert list((results / "runs").iterdir()) == []
