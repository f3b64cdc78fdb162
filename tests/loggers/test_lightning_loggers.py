"""Lightning's CSV and TensorBoard loggers contain the curve, also of an interrupted run."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from trained import STEPS, interrupted, points

from resnet_ablations.config import RunConfig
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]


def in_csv(folder: RunFolder) -> list[dict[str, float]]:
    with (folder.path / "csv" / "metrics.csv").open() as file:
        rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]
    return [{"iteration": int(row.pop("step"))} | {name: float(value) for name, value in row.items()} for row in rows]


def in_tensorboard(folder: RunFolder) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def by_name(folder: RunFolder) -> dict[str, list[tuple[int, float]]]:
    """Return the curve's columns in float32, as TensorBoard stores them."""
    columns: dict[str, list[tuple[int, float]]] = {}
    for point in points(folder):
        for name in point.keys() - {"iteration"}:
            columns.setdefault(name, []).append((int(point["iteration"]), float(np.float32(point[name]))))
    return columns


def test_csv_holds_every_point_of_the_curve(config: Config) -> None:
    run = config("logger=csv", *STEPS)
    train_run(run)
    assert in_csv(run.folder) == points(run.folder)
    assert len(points(run.folder)) == 6
    assert yaml.safe_load((run.folder.path / "csv" / "hparams.yaml").read_text())["seed"] == 0


def test_tensorboard_holds_every_point_of_the_curve(config: Config) -> None:
    run = config("logger=tensorboard", *STEPS)
    result = train_run(run)
    shown = in_tensorboard(run.folder)
    finals = {name: shown.pop(f"final/{name}") for name in ("train_error", "test_error")}
    assert shown == by_name(run.folder)
    assert finals["test_error"] == [(6, pytest.approx(result.test_error))]


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_a_run_that_goes_on_has_each_point_once(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logger: str
) -> None:
    """Also the points after the checkpoint, as of a killed process; older content of the file is gone."""
    run, straight = (config(f"logger={logger}", *STEPS, f"paths.results={tmp_path}/{place}") for place in "ab")
    interrupted(monkeypatch, run, 4)
    newest = next(run.folder.path.glob("checkpoint-00000005-*.pt"))
    newest.unlink()
    assert len(points(run.folder)) == 5
    assert run.folder.resumable_from() == 4
    with run.folder.curve.open("a") as file:
        file.write("9,9,9,9,9,9\n1")
    train_run(run)
    train_run(straight)
    assert run.folder.curve.read_bytes() == straight.folder.curve.read_bytes()
    if logger == "csv":
        assert in_csv(run.folder) == points(run.folder)
    else:
        shown = in_tensorboard(run.folder)
        assert {tag: values for tag, values in shown.items() if "/" not in tag} == by_name(run.folder)


def test_a_logger_writes_into_its_own_folder_and_changes_no_number(config: Config, tmp_path: Path) -> None:
    left = {}
    for logger in ("none", "csv", "tensorboard"):
        run = config(f"logger={logger}", f"paths.results={tmp_path}/{logger}")
        train_run(run)
        left[logger] = ({path.name for path in run.folder.path.iterdir()}, run.key, run.folder.curve.read_bytes())
    files, *numbers = left["none"]
    assert left == {"none": left["none"]} | {name: (files | {name}, *numbers) for name in ("csv", "tensorboard")}


def test_a_logger_that_breaks_costs_one_warning(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from resnet_ablations.loggers import lightning

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    expected = train_run(config(*STEPS, f"paths.results={tmp_path}/other"))
    monkeypatch.setattr(lightning.CsvLogger, "log", full)
    run = config("logger=csv", *STEPS)
    assert train_run(run).weights == expected.weights
    (warning,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert warning.startswith("CsvLogger: ")
    assert "No space left" in warning
