"""logger=wandb with WANDB_MODE=offline: the recording on disk, read by wandb's own reader, is the curve."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from fake_wandb import KEY, Kept, serving
from trained import STEPS, crashed, forked, interrupted, points

from resnet_ablations.config import RunConfig
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]

pytestmark = pytest.mark.usefixtures("offline")


def recordings(folder: RunFolder) -> list[Path]:
    return sorted((folder.path / "wandb").glob("offline-run-*"))


def read_back(recording: Path) -> Kept:
    """Return the data in the recording that `wandb sync` would send to a server."""
    with serving() as fake:
        account = {"WANDB_MODE": "online", "WANDB_API_KEY": KEY, "WANDB_BASE_URL": fake.url}
        command = [sys.executable, "-m", "wandb", "sync", str(recording)]
        subprocess.run(command, cwd=recording, env=os.environ | account, check=True, capture_output=True, timeout=60)
        (run,) = fake.runs.values()
        return run


def wandbs_modules() -> set[str]:
    """Return the imported modules of wandb; an earlier test of this process may have imported some."""
    return {name for name in sys.modules if name.partition(".")[0] == "wandb"}


def test_a_finished_run(config: Config) -> None:
    run = config("logger=wandb", "shortcut=dropout", "activation=full_preactivation", *STEPS)
    before, modules = (sys.excepthook, sys.exit), wandbs_modules()
    result = train_run(run)
    assert (sys.excepthook, sys.exit) == before, "wandb is in another process"
    assert "WANDB_SERVICE" not in os.environ
    assert wandbs_modules() == modules
    (recording,) = recordings(run.folder)
    assert recording.name.endswith(run.key)
    there = read_back(recording)
    assert there.points == points(run.folder)
    assert [row["_step"] for row in there.history] == [1, 2, 3, 4, 5, 6, 7], "each once; then the figure"
    assert there.history[-1]["error_curve"]["_type"] == "image-file"
    assert (recording / "files" / there.history[-1]["error_curve"]["path"]).read_bytes().startswith(b"\x89PNG")
    assert there.exit_codes == [0]
    assert {there.said("name"), there.said("displayName")} == {run.key}
    assert there.said("project") == "resnet-ablations"
    assert there.said("tags") == ["resnet8", "dropout", "full_preactivation", "digits"]
    resolved = yaml.safe_load(run.folder.config.read_text())
    assert {name: there.config[name] for name in resolved} == resolved
    assert there.config["provenance"]["machine"] == result.provenance["machine"]
    for name in ("outcome", "test_error", "train_error", "test_loss", "weights", "iterations"):
        assert there.summary[name] == getattr(result, name)
    metrics = there.config["_wandb"]["m"]
    x_axes = {metric["1"]: metrics[metric["5"] - 1]["1"] for metric in metrics if "5" in metric}
    assert x_axes == dict.fromkeys(there.points[1].keys() - {"iteration"}, "iteration")


def test_a_run_that_goes_on_records_the_whole_curve_under_the_same_id(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Offline, wandb does not know its earlier data of a run; so the second recording repeats the first one's rows."""
    run = config("logger=wandb", *STEPS)
    interrupted(monkeypatch, run, 3)
    first = read_back(*recordings(run.folder))
    assert (first.exit_codes, first.summary["outcome"]) == ([255], "interrupted")
    assert [point["iteration"] for point in first.points] == [1, 2, 3, 4]
    train_run(run)
    second = read_back(recordings(run.folder)[-1])
    assert len(recordings(run.folder)) == 2
    assert {first.said("name"), second.said("name")} == {run.key}
    assert second.points == points(run.folder)
    assert second.points[:4] == first.points
    assert (second.exit_codes, second.summary["outcome"]) == ([0], "finished")


def test_runs_that_end_otherwise(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = config("logger=wandb", *STEPS)
    crashed(monkeypatch, broken, 3)
    there = read_back(*recordings(broken.folder))
    assert there.exit_codes == [1]
    assert (there.summary["outcome"], there.summary["reason"]) == ("failed", "RuntimeError: out of memory")
    assert [point["iteration"] for point in there.points] == [1, 2, 3]
    assert "error_curve" not in there.history[-1]

    diverging = config("logger=wandb", *STEPS, "schedule.evaluate_every=1", "schedule.learning_rate=1e30")
    assert train_run(diverging).outcome == "diverged"
    there = read_back(*recordings(diverging.folder))
    assert there.exit_codes == [0], "a divergence is a result"
    assert there.summary["outcome"] == "diverged"
    assert there.points[0]["test_error"] > 0
    assert there.summary.get("test_error") is None, "not the last that it had"
    last = points(diverging.folder)[-1]
    assert {name: float(value) for name, value in there.points[-1].items()} == pytest.approx(last, nan_ok=True)
    assert any(math.isnan(value) for value in last.values())


@pytest.mark.long
def test_parallel_runs_are_as_many_recordings_each_with_its_own_points(config: Config) -> None:
    runs = [config("logger=wandb", *STEPS, f"seed={seed}") for seed in (0, 1)]
    for process in forked(*runs):
        process.join()
    there = [read_back(*recordings(run.folder)) for run in runs]
    assert [one.said("name") for one in there] == [run.key for run in runs]
    assert [one.points for one in there] == [points(run.folder) for run in runs]
    assert there[0].points != there[1].points


def test_a_run_on_two_devices_is_one_recording(config: Config) -> None:
    run = config("logger=wandb", *STEPS, "schedule.batch_size=16", "bn_batch=8", "trainer.devices=2")
    train_run(run)
    there = read_back(*recordings(run.folder))
    assert there.points == points(run.folder)
    assert (there.exit_codes, there.config["provenance"]["machine"]["device"]) == ([0], "2 × cpu")


def test_wandbs_own_variables_say_where_to(config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    told = {"PROJECT": "mine", "ENTITY": "us", "RUN_GROUP": "first", "JOB_TYPE": "try", "TAGS": "a,b", "NOTES": "why"}
    for name, value in told.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "scratch"))
    run = config("logger=wandb")
    train_run(run)
    assert recordings(run.folder) == []
    there = read_back(*(tmp_path / "scratch" / "wandb").glob("offline-run-*"))
    said = [there.said(name) for name in ("project", "entity", "groupName", "jobType", "notes")]
    assert said == ["mine", "us", "first", "try", "why"]
    assert there.said("tags")[:3] == ["a", "b", "resnet8"]
