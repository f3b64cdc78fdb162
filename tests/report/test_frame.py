"""The frame: which runs fill which cells, with what result."""

import math
from pathlib import Path

import declared
import pandas as pd
import pytest
from made_up import Declare, MadeUp

from resnet_ablations.report import frame
from resnet_ablations.report.frame import COLUMNS, load_cells, read_report_data
from resnet_ablations.results.sweeps import sweep_path


def rows(cells: pd.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    return list(cells[list(columns)].itertuples(index=False, name=None))


def test_one_row_a_planned_run_of_a_cell_in_the_papers_order(made_up: MadeUp) -> None:
    made_up.plan(seeds=(0, 3))
    made_up.run("original", 4.0, seed=3, train_error=0.5, seconds=12.0)
    cells = load_cells(made_up.path)
    assert list(dict.fromkeys(cells["row"])) == [row.id for row in made_up.experiment.rows]
    original, several = cells[cells["row"] == "original"], cells[cells["row"] == "exclusive_gating_0_to_-5"]
    columns = ("sweep", "scale", "column", "seed", "outcome")
    assert rows(original, *columns) == [
        ("shortcuts-quick", "quick", "error", 0, "missing"),
        ("shortcuts-quick", "quick", "error", 3, "finished"),
    ]
    found = original.iloc[1]
    assert (found["value"], found["test_error"], found["train_error"], found["seconds"]) == (4.0, 4.0, 0.5, 12.0)
    assert found["key"] == made_up.configuration("quick", "original") + "-s3"
    assert (found["printed"], found["baseline"], found["remark"]) == (6.61, "", "")
    assert len(several) == 6 * 2
    assert several["configuration"].nunique() == 6
    assert set(rows(several, "printed", "baseline", "remark")) == {("fail", "original/error", "init b_g = 0 to −5")}
    assert several["value"].isna().all()


def test_the_columns_exist_without_a_sweep(tmp_path: Path) -> None:
    cells = load_cells(tmp_path)
    assert cells.empty
    assert list(cells.columns) == list(COLUMNS)
    assert cells["seed"].dtype == "Int64"


def test_damaged_files_are_left_out_and_named(made_up: MadeUp) -> None:
    made_up.plan("quick")
    made_up.plan("small")
    sweep_path(made_up.path, "shortcuts-small").write_text("{")
    (made_up.run("dropout").path / "result.json").write_text("{")
    with pytest.warns(UserWarning, match="left out") as warned:
        cells = load_cells(made_up.path)
    assert set(cells["sweep"]) == {"shortcuts-quick"}
    assert set(cells["outcome"]) == {"missing"}
    assert [str(warning.message) for warning in warned] == cells.attrs["damaged"]
    plan, run = cells.attrs["damaged"]
    assert "shortcuts-small.json: damaged plan: " in plan
    assert "damaged result, left out" in run


def test_a_cell_that_is_not_run_has_one_row_that_says_why(declare: Declare) -> None:
    made_up = declare(declared.METHODS, replacements={"network.depth=164": None})
    plan = made_up.plan("small")
    made_up.run("r1001/c10", 5.0, scale="small")
    cells = load_cells(made_up.path)
    assert rows(cells, "row", "column", "outcome") == [
        ("nin", "c10", "not ours"),
        ("nin", "c100", "not ours"),
        ("lsuv", "c10", "not ours"),
        ("r1001", "c10", "finished"),
        ("r1001", "c100", "missing"),
        ("r164", "c100", "not at this scale"),
    ]
    nin = cells.iloc[0]
    assert (nin["configuration"], nin["key"], nin["seed"], nin["printed"]) == ("", "", pd.NA, 8.81)
    sweep_path(made_up.path, plan.name).write_text(
        plan.model_copy(update={"cells": {"r1001": {"c10": []}}}).model_dump_json()
    )
    assert list(load_cells(made_up.path)["outcome"])[3:] == ["not at this scale", "not planned", "not planned"]


def test_each_cell_shows_its_own_metric(declare: Declare) -> None:
    made_up = declare(declared.CROPS)
    made_up.plan()
    made_up.run("r152_224/top1", 24.0, metrics={"top5_error": 7.0, "crop320_error": 22.0})
    cells = load_cells(made_up.path)
    assert rows(cells, "metric", "value", "baseline")[:3] == [
        ("test_error", 24.0, ""),
        ("top5_error", 7.0, ""),
        ("crop320_error", 22.0, ""),  # the first row shows another metric
    ]
    assert cells["outcome"].iloc[3] == "finished"
    assert math.isnan(cells["value"].iloc[3]), "this run lacks the metric"


def test_a_diverged_run_has_no_number(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.run("dropout", outcome="diverged", stop=900)
    (dropout,) = load_cells(made_up.path).query("row == 'dropout'").to_dict("records")
    assert (dropout["outcome"], dropout["run_iterations"]) == ("diverged", 900)
    assert math.isnan(dropout["value"])
    assert math.isnan(dropout["test_error"])


def test_seeds_and_runs_outside_the_plan_do_not_count(made_up: MadeUp) -> None:
    made_up.plan(seeds=(0,))
    made_up.run("original", 5.0, seed=0)
    made_up.run("original", 99.0, seed=7)
    made_up.run("original", 98.0, seed=0, scale="small")
    assert list(load_cells(made_up.path)["value"].dropna()) == [5.0]


def test_a_paper_run_serves_the_early_cell_at_its_iteration(made_up: MadeUp) -> None:
    made_up.plan("early")
    made_up.run("original", 6.6, scale="paper", error_at=lambda iteration: 20 + iteration / 100)
    original = load_cells(made_up.path).iloc[0]
    assert original["configuration"] == made_up.configuration("early", "original")
    assert original["key"] == made_up.configuration("paper", "original") + "-s0"
    assert (original["value"], original["iterations"], original["run_iterations"]) == (40.0, 2_000, 64_000)
    assert original["from_longer_run"]


def test_an_own_run_comes_before_one_that_serves(made_up: MadeUp) -> None:
    made_up.plan("early")
    made_up.run("original", 6.6, scale="paper", error_at=lambda iteration: 40.0)
    made_up.run("original", 39.0, scale="early")
    original = load_cells(made_up.path).iloc[0]
    assert (original["value"], original["from_longer_run"]) == (39.0, False)


def test_the_end_of_a_serving_run_does_not_matter(made_up: MadeUp) -> None:
    made_up.plan("early")
    diverged = {"scale": "paper", "outcome": "diverged", "error_at": lambda iteration: 40.0}
    made_up.run("original", stop=3_000, **diverged)  # type: ignore[arg-type]
    made_up.run("conv1x1", stop=1_000, **diverged)  # type: ignore[arg-type]
    found = load_cells(made_up.path).set_index("row")
    assert (found.loc["original", "outcome"], found.loc["original", "value"]) == ("finished", 40.0)
    assert found.loc["conv1x1", "outcome"] == "diverged"


def test_a_serving_run_without_a_test_error_there_leaves_the_cell_missing(made_up: MadeUp) -> None:
    made_up.plan("early")
    made_up.run("original", 6.6, scale="paper")
    assert load_cells(made_up.path)["outcome"].iloc[0] == "missing"


def test_the_reference_is_the_median_of_the_published_runs(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "PUBLISHED", made_up.path.with_name("published"))
    published = MadeUp(frame.PUBLISHED)
    made_up.plan(seeds=(0, 1))
    for seed, error in enumerate((2.0, 3.0, 90.0)):  # seed 2 is not in the plan, and counts too
        published.run("original", error, seed)
    published.run("dropout", 30.0, scale="small")
    cells = load_cells(made_up.path)
    assert rows(cells, "reference", "reference_low", "reference_high", "reference_n")[:2] == [(3.0, 2.0, 90.0, 3)] * 2
    assert cells["reference"].iloc[2:].isna().all()
    (sweep,) = read_report_data(made_up.path).sweeps
    assert list(sweep.published["value"].dropna()) == [2.0, 3.0, 90.0]
    assert (sweep.cells["outcome"] == "missing").all()
