"""The published numbers beside one's own."""

import io
import re
from pathlib import Path

import declared
import pandas as pd
import pytest
from made_up import Declare, MadeUp
from rich.console import Console

from resnet_ablations.report.cells import published
from resnet_ablations.report.cells.folder import load
from resnet_ablations.report.cells.published import load_published
from resnet_ablations.report.contents import SweepReport, sweep_report
from resnet_ablations.report.tables.render import latex, markdown, terminal
from resnet_ablations.results.sweeps import SweepPlan

MACHINE = {"cpu": "A CPU", "cores": 2, "threads": 1, "device": "cpu"}


@pytest.fixture
def reference(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    """The published folder, empty."""
    monkeypatch.setattr(published, "PUBLISHED", made_up.path.with_name("published"))
    return MadeUp(published.PUBLISHED)


def report(made_up: MadeUp, plan: SweepPlan) -> SweepReport:
    return sweep_report(plan, load(made_up.path), made_up.path, load_published(made_up.path, [plan]))


def column(made: SweepReport, heading: str) -> dict[str, str]:
    headings = [column.heading for column in made.comparison.columns]
    ids = [row.id for row in made.experiment.rows]
    return {name: row[headings.index(heading)] for name, row in zip(ids, made.comparison.rows, strict=True)}


def headings(made: SweepReport) -> list[str]:
    return [column.heading for column in made.comparison.columns]


def test_the_published_median_stands_between_the_papers_and_ours(made_up: MadeUp, reference: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1))
    made_up.run("original", 4.0)
    for seed, error in enumerate((2.0, 3.0, 90.0)):  # seed 2 is not in the plan
        reference.run("original", error, seed, machine=MACHINE)
    for index, error in enumerate((9.0, 1.0, 5.0)):
        reference.run("exclusive_gating_0_to_-5", error, index=index, machine=MACHINE, commit="beefbeefbeefbeef")
    reference.run("conv1x1", outcome="diverged", stop=100, machine=MACHINE | {"device": "A GPU"}, dirty=True)
    reference.run("dropout", 30.0, scale="small")
    made = report(made_up, plan)
    place = headings(made).index("reference")
    assert headings(made)[place - 1 : place + 2] == ["paper", "reference", "ours"]
    found = column(made, "reference")
    assert (found["original"], found["exclusive_gating_0_to_-5"], found["conv1x1"]) == ("2.50", "1.00–9.00", "diverged")
    assert found["dropout"] == "–"
    assert made.comparison.notes[-1] == (
        "reference: the median of the published runs of the same configurations and seeds, 6 runs from commits "
        "beefbeefbe and c0ffee0123 with uncommitted changes on A CPU, 2 cores and A GPU."
    )
    cells = made.tidy["shortcuts-quick"].set_index("row")
    assert cells.loc["original", ["reference_median", "reference_n"]].tolist() == [2.5, 2]
    assert cells.loc["exclusive_gating_0_to_-5", "reference_median"].tolist()[:3] == [9.0, 1.0, 5.0]
    assert cells.loc["dropout", "reference_n"] == 0


def test_fail_is_said_of_published_numbers_too(made_up: MadeUp, reference: MadeUp) -> None:
    plan = made_up.plan("paper")
    reference.run("dropout", 23.14, scale="paper")
    reference.run("exclusive_gating_0_to_-5", 30.0, scale="paper")
    reference.run("exclusive_gating_0_to_-5", 10.0, scale="paper", index=1)
    found = column(report(made_up, plan), "reference")
    assert (found["dropout"], found["exclusive_gating_0_to_-5"]) == ("fail (23.1)", "10.00–30.00")


def test_a_published_paper_run_serves_an_early_cell(made_up: MadeUp, reference: MadeUp) -> None:
    plan = made_up.plan("early")
    reference.run("original", 6.6, scale="paper", error_at=lambda iteration: 40.0)
    assert column(report(made_up, plan), "reference")["original"] == "40.00"


def test_without_published_runs_of_the_plan_there_is_no_such_column(made_up: MadeUp, reference: MadeUp) -> None:
    plan = made_up.plan()
    made_up.run("original", 4.0)
    assert load_published(made_up.path, [plan]) is None, "there is no such folder"
    reference.run("original", 4.0, scale="small")
    reference.run("original", 4.0, seed=1)
    made = report(made_up, plan)
    assert "reference" not in headings(made)
    assert not any("reference" in note for note in made.comparison.notes)
    assert "reference_median" not in made.tidy["shortcuts-quick"]


def test_the_published_folder_is_not_held_against_itself(
    reference: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = reference.plan()
    reference.run("original", 4.0)
    monkeypatch.chdir(tmp_path)
    assert load_published(Path("published"), [plan]) is None
    (tmp_path / "link").symlink_to(reference.path)
    assert load_published(tmp_path / "link", [plan]) is None
    assert load_published(tmp_path / "results", [plan]) is not None


def test_beside_several_columns_it_is_where_there_is_room(declare: Declare, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = declare(declared.PLACEMENTS)
    monkeypatch.setattr(published, "PUBLISHED", made_up.path.with_name("published"))
    plan = made_up.plan(seeds=(0, 1, 2, 3, 4))
    MadeUp(published.PUBLISHED, "declared").run("original/r110", 4.25)
    made = report(made_up, plan)
    assert "| case | Fig. | ResNet-110 paper | ResNet-110 reference | ResNet-110 ours |" in markdown(made.comparison)
    assert made.tidy["declared-quick"]["reference_median"].tolist()[:2] == [
        4.25,
        pytest.approx(float("nan"), nan_ok=True),
    ]
    out = io.StringIO()
    terminal(made.comparison, Console(file=out, width=200, highlight=False))
    note = "not here but in declared-quick.md and declared-quick.csv: ResNet-110 reference; ResNet-164 reference."
    for text in (out.getvalue(), latex(made.comparison)):
        assert note in " ".join(text.split())
        assert "4.25" not in text


def test_every_run_is_a_line(made_up: MadeUp) -> None:
    plan = made_up.plan("early", seeds=(0, 1))
    made_up.run("original", 40.0, scale="early", seconds=60.0, train_error=45.0, dirty=True)
    made_up.run("conv1x1", 12.0, scale="paper", error_at=lambda iteration: 70.0)
    made_up.run("dropout", seed=1, scale="early", outcome="diverged", stop=100)
    frame = report(made_up, plan).tidy["shortcuts-early-runs"]
    assert list(frame) == [
        *("key", "configuration", "seed", "outcome", "iterations", "test_error", "train_error", "run_iterations"),
        *("seconds", "images_per_second", "parameters", "multiply_adds", "commit", "dirty", "overrides"),
    ]
    by_overrides = frame.set_index("overrides")
    own, served, diverged = (
        by_overrides.loc[f"shortcut={name}"] for name in ("identity", "conv1x1", "dropout shortcut.rate=0.5")
    )
    assert own["key"] == f"{made_up.configuration('early', 'original')}-s0"
    assert own[["test_error", "train_error", "seconds", "dirty"]].tolist() == [40.0, 45.0, 60.0, True]
    assert served["key"] == f"{made_up.configuration('paper', 'conv1x1')}-s0"
    assert served[["configuration", "iterations", "run_iterations"]].tolist() == [
        *(made_up.configuration("early", "conv1x1"), 2_000, 64_000),
    ]
    assert served["test_error"] == 70.0
    assert (diverged["outcome"], diverged["seed"], pd.isna(diverged["test_error"])) == ("diverged", 1, True)


def test_metrics_that_the_table_shows_are_in_the_line_of_a_run(declare: Declare) -> None:
    made_up = declare(declared.CROPS)
    plan = made_up.plan()
    made_up.run("r152_224/top1", 23.5, metrics={"top5_error": 6.5, "crop320_error": 21.5})
    (run,) = report(made_up, plan).tidy["declared-quick-runs"].to_dict("records")
    assert (run["test_error"], run["top5_error"], run["crop320_error"]) == (23.5, 6.5, 21.5)
    assert not [name for name in run if re.match("crops10|response", name)]
