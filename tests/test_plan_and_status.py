"""`python -m resnet_ablations.plan` and `.status`: what would run, and how far each run is; nothing is written."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_ablations import experiments, plan, status
from resnet_ablations.config import RunConfig
from resnet_ablations.results.claims import Claim
from resnet_ablations.results.run_folder import Result, RunFolder, Status

TINY = ("network.depth=8", "schedule.iterations=6")


@pytest.fixture
def says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """Runs one of the two in `tmp_path`, on a wide terminal, and returns what it said on stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(main: Callable[[], None], *arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        before = sorted(tmp_path.rglob("*"))
        main()
        assert sorted(tmp_path.rglob("*")) == before
        return capsys.readouterr()

    return run


def finish(run: RunConfig, results: Path) -> None:
    folder = RunFolder(results, run.key)
    folder.start(run.plain())
    settings = {"iterations": 6, "parameters": 1, "seconds": 1.0, "images_per_second": 1234.0, "provenance": {}}
    errors = {"train_loss": 0.5, "train_error": 10.0, "test_loss": 0.7, "test_error": 12.345}
    names = {"key": run.key, "configuration": run.configuration, "seed": run.seed, "outcome": "finished"}
    folder.finish(Result.model_validate(names | settings | errors))


def line(text: str, part: str) -> str:
    (found,) = (line for line in text.splitlines() if part in line)
    return found


def test_a_plan_lists_its_runs_and_how_far_they_are(says: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    from resnet_ablations.overrides import compose

    identity, dropout = (compose([*TINY, f"shortcut={name}"]) for name in ("identity", "dropout"))
    finish(identity, tmp_path / "results")
    folder = RunFolder("results", dropout.key)
    folder.start(dropout.plain())
    folder.set_status(Status(outcome="failed", iteration=3, iterations=6, reason="OSError: disk"))
    folder.write_checkpoint(2, b"weights")
    said, _ = says(plan.main, *TINY, "shortcut=identity,dropout,conv1x1")
    assert "finished" in line(said, identity.key)
    assert "failed, resumable from step 2" in line(said, dropout.key)
    assert "GPU-hours" in line(said, "to train: about")
    assert "missing" in line(said, "conv1x1")
    assert "3 runs, 1 finished, 2 to train" in said


def test_a_plan_of_an_experiment_names_the_rows(says: Callable[..., tuple[str, str]]) -> None:
    said, _ = says(plan.main, "experiment=shortcuts", "scale=quick", "rows=original,dropout", "schedule.iterations=700")
    assert "2 runs, 0 finished, 2 to train" in said
    assert "700" in line(said, "original")
    assert "missing" in line(said, "dropout")
    assert line(said, "identity").split()[0] == "original", "a sole column need not be named"


def test_a_plan_of_several_columns_names_the_cells(
    says: Callable[..., tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of those that a run serves, whichever are asked for."""
    monkeypatch.setattr(experiments, "EXPERIMENTS", tmp_path)
    shallow, deep = "[network.depth=8]", "[network.depth=20]"
    (tmp_path / "tiny.yaml").write_text(
        f"""
title: Tiny
source: nowhere
caption: nothing
headings: [case]
columns:
  - {{id: test, overrides: {shallow}}}
  - {{id: train, overrides: {shallow}, metric: train_error}}
  - {{id: deep, overrides: {deep}}}
scales: {{quick: {{seeds: [0], instead: {{shortcut=dropout: [shortcut=identity], shortcut=conv1x1: null}}}}}}
rows:
  - {{id: first, labels: [a], configurations: [[shortcut=identity]], cells: {{test: {{}}, train: {{}}, deep: {{}}}}}}
  - {{id: second, labels: [b], configurations: [[shortcut=dropout]], cells: {{test: {{}}}}}}
  - {{id: third, labels: [c], configurations: [[shortcut=conv1x1]], cells: {{deep: {{}}}}}}
""",
        encoding="utf-8",
    )
    said, _ = says(plan.main, "experiment=tiny")
    assert line(said, "resnet8").split("  ")[0].strip() == "first/test, first/train, second/test"
    assert line(said, "resnet20").split()[0] == "first/deep"
    assert "2 runs, 0 finished, 2 to train" in said
    assert "third" not in said
    said, _ = says(plan.main, "experiment=tiny", "columns=train")
    assert line(said, "resnet8").split("  ")[0].strip() == "first/test, first/train, second/test"
    assert "1 runs, 0 finished, 1 to train" in said


def test_mistakes_of_a_plan(says: Callable[..., tuple[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        says(plan.main, "experiment=shortcuts", "network.depth=57")
    assert end.value.code == 2
    assert "network.depth=57" in capsys.readouterr().err


def test_status(says: Callable[..., tuple[str, str]], config: Callable[..., RunConfig], tmp_path: Path) -> None:
    finished, running, failed, gone = (config(f"seed={seed}") for seed in range(4))
    finish(finished, tmp_path / "results")
    under_way = Status(outcome="running", iteration=3, iterations=6, images_per_second=99.0, seconds_left=65)
    for run, state in (
        (running, under_way),
        (failed, Status(outcome="failed", iteration=4, iterations=6, reason="OSError: disk")),
        (gone, under_way),
    ):
        RunFolder(tmp_path / "results", run.key).start(run.plain())
        RunFolder(tmp_path / "results", run.key).set_status(state)
    with Claim(running.folder.path):
        said, _ = says(status.main)
    table = said[: said.index("\n\n")]
    for key, parts in (
        (finished.key, ["finished", "1,234", "12.3"]),
        (running.key, ["running", "3/6", "99", "1:05"]),
        (failed.key, ["failed", "4/6"]),
        (gone.key, ["failed", "3/6"]),
    ):
        assert all(part in line(table, key) for part in parts), said
    assert f"{failed.key}: OSError: disk\n" in said
    assert f"{gone.key}: its process is gone without a word\n" in said
    assert "results/runs/RUN/log.txt" in said


def test_status_fits_80_columns(says: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    """The longest name there is, at the paper's length."""
    key = "resnet110-shortcut_only_gating-relu_only_preactivation-fashion_mnist-1a2b3c4d-s12"
    folder = RunFolder(tmp_path / "results", key)
    folder.start({})
    folder.set_status(
        Status(outcome="running", iteration=63_999, iterations=64_000, images_per_second=12_345, seconds_left=90_000)
    )
    with Claim(folder.path):
        said, _ = says(status.main)
    assert max(map(len, said.splitlines())) <= 80
    assert all(part in said for part in ("63999/64000", "12,345", "1 day, 1:00:00"))


def test_status_of_nothing(says: Callable[..., tuple[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        says(status.main, "nowhere")
    assert end.value.code == 2
    assert "nowhere: no run yet" in capsys.readouterr().err
