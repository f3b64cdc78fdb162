"""The published numbers beside one's own."""

import io
import re
import shutil
from pathlib import Path

import declared
import pandas as pd
import pytest
from made_tables import lines, sweep, table
from made_up import Declare, MadeUp
from rich.console import Console

from resnet_ablations.report import frame
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.report.tables.formats import latex, markdown, terminal
from resnet_ablations.report.tables.summary import run_table, summary
from resnet_ablations.report.tables.table import Table
from resnet_ablations.results.sweeps import SweepPlan

MACHINE = {"cpu": "A CPU", "cores": 2, "threads": 1, "device": "cpu"}


@pytest.fixture
def reference(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    """The published folder, empty."""
    monkeypatch.setattr(frame, "PUBLISHED", made_up.path.with_name("published"))
    return MadeUp(frame.PUBLISHED)


def column(made_up: MadeUp, plan: SweepPlan, heading: str) -> dict[str, str]:
    return {row: texts[heading] for row, texts in lines(made_up, plan).items()}


def headings(made: Table) -> list[str]:
    return [column.heading for column in made.columns]


def test_the_published_median_is_in_the_column_between_the_papers_and_ours(made_up: MadeUp, reference: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1))
    made_up.run("original", 4.0)
    for seed, error in enumerate((2.0, 3.0, 90.0)):  # seed 2 is not in the plan, and counts too
        reference.run("original", error, seed, machine=MACHINE)
    for index, error in enumerate((9.0, 1.0, 5.0)):
        reference.run("exclusive_gating_0_to_-5", error, index=index, machine=MACHINE, commit="beefbeefbeefbeef")
    reference.run("conv1x1", outcome="diverged", stop=100, machine=MACHINE | {"device": "A GPU; Another"}, dirty=True)
    reference.run("dropout", 30.0, scale="small")
    made = table(made_up, plan)
    place = headings(made).index("reference")
    assert headings(made)[place - 1 : place + 2] == ["paper", "reference", "ours"]
    found = column(made_up, plan, "reference")
    assert found["original"] == "3.00 (2.00–90.00)"
    assert (found["exclusive_gating_0_to_-5"], found["conv1x1"]) == ("1.00–9.00", "diverged")
    assert found["dropout"] == "–"
    assert made.notes[-2] == (
        "reference: the median (lowest–highest) of the published runs of the same configurations, 7 runs from commits "
        "beefbeefbe and c0ffee0123 with uncommitted changes on A CPU, 2 cores, A GPU and Another."
    )
    assert made.notes[-1] == "Within the range of the published seeds: 1 of 1 of our numbers."
    cells = summary(sweep(made_up, plan)).set_index("row")
    of_original = cells.loc["original", ["reference_median", "reference_low", "reference_high", "reference_n"]]
    assert of_original.tolist() == [3.0, 2.0, 90.0, 3]
    assert cells.loc["exclusive_gating_0_to_-5", "reference_median"].tolist()[:3] == [9.0, 1.0, 5.0]
    assert cells.loc["dropout", "reference_n"] == 0


def test_numbers_outside_the_published_range_are_named(made_up: MadeUp, reference: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 7))
    for cell, error in (("original", 2.0), ("conv1x1", 7.5), ("dropout", 50.0)):
        made_up.run(cell, error, 7)
    for seed in (0, 1):
        reference.run("original", 2.0 + seed, seed)
        reference.run("conv1x1", 8.0 + seed, seed)
    reference.run("dropout", 30.0)  # one seed has no range
    assert table(made_up, plan).notes[-1] == (
        "Within the range of the published seeds: 1 of 2 of our numbers; outside: “1×1 conv shortcut”."
    )


def test_published_numbers_are_fail_too(made_up: MadeUp, reference: MadeUp) -> None:
    plan = made_up.plan("paper")
    reference.run("dropout", 23.14, scale="paper")
    reference.run("exclusive_gating_0_to_-5", 30.0, scale="paper")
    reference.run("exclusive_gating_0_to_-5", 10.0, scale="paper", index=1)
    found = column(made_up, plan, "reference")
    assert (found["dropout"], found["exclusive_gating_0_to_-5"]) == ("fail (23.1)", "10.00–30.00")


def test_a_published_paper_run_serves_an_early_cell(made_up: MadeUp, reference: MadeUp) -> None:
    plan = made_up.plan("early")
    reference.run("original", 6.6, scale="paper", error_at=lambda iteration: 40.0)
    assert column(made_up, plan, "reference")["original"] == "40.00"


def test_the_column_is_missing_without_published_runs(made_up: MadeUp, reference: MadeUp) -> None:
    plan = made_up.plan()
    made_up.run("original", 4.0)
    assert "reference" not in headings(table(made_up, plan)), "there is no such folder"
    reference.run("original", 4.0, scale="small")
    made = table(made_up, plan)
    assert "reference" not in headings(made)
    assert not any("reference" in note for note in made.notes)
    assert "reference_median" not in summary(sweep(made_up, plan))


def test_the_published_folder_is_not_its_own_reference(
    reference: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference.plan()
    reference.run("original", 4.0)
    shutil.copytree(reference.path / "sweeps", tmp_path / "results" / "sweeps")
    (tmp_path / "link").symlink_to(reference.path)
    monkeypatch.chdir(tmp_path)
    own = [read_report_data(Path(name)).sweeps[0].published for name in ("published", "link", "results")]
    assert [published.empty for published in own] == [True, True, False]


def test_beside_several_columns_it_is_where_there_is_room(declare: Declare, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = declare(declared.PLACEMENTS)
    monkeypatch.setattr(frame, "PUBLISHED", made_up.path.with_name("published"))
    plan = made_up.plan(seeds=(0, 1, 2, 3, 4))
    MadeUp(frame.PUBLISHED, "declared").run("original/r110", 4.25)
    made = table(made_up, plan)
    assert "| case | Fig. | ResNet-110 paper | ResNet-110 reference | ResNet-110 ours |" in markdown(made)
    assert summary(sweep(made_up, plan))["reference_median"].tolist()[:2] == [
        4.25,
        pytest.approx(float("nan"), nan_ok=True),
    ]
    out = io.StringIO()
    terminal(made, Console(file=out, width=200, highlight=False))
    note = "shown in declared-quick.md and declared-quick.csv: ResNet-110 reference; ResNet-164 reference."
    for text in (out.getvalue(), latex(made)):
        assert note in " ".join(text.split())
        assert "4.25" not in text


def test_every_run_is_a_line(made_up: MadeUp) -> None:
    plan = made_up.plan("early", seeds=(0, 1))
    made_up.run("original", 40.0, scale="early", seconds=60.0, train_error=45.0, dirty=True)
    made_up.run("conv1x1", 12.0, scale="paper", error_at=lambda iteration: 70.0)
    made_up.run("dropout", seed=1, scale="early", outcome="diverged", stop=100)
    frame = run_table(sweep(made_up, plan))
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
    (run,) = run_table(sweep(made_up, plan)).to_dict("records")
    assert (run["test_error"], run["top5_error"], run["crop320_error"]) == (23.5, 6.5, 21.5)
    assert not [name for name in run if re.match("crops10|response", name)]
