"""Cells that `experiments/` or `conf/` declare differently since their runs: marked everywhere, and judged nowhere."""

import pytest
from made_tables import lines, sweep, table
from made_up import MadeUp

from resnet_ablations.report import frame
from resnet_ablations.report.claims.claim_file import Claim
from resnet_ablations.report.claims.verdicts import Verdict, judge
from resnet_ablations.report.contents import sweep_report
from resnet_ablations.report.frame import load_cells, read_report_data
from resnet_ablations.report.page.answer import answer
from resnet_ablations.report.tables.faithfulness import faithfulness, faithfulness_table
from resnet_ablations.report.tables.formats import latex
from resnet_ablations.report.tables.summary import best_cells, orderings, summary
from resnet_ablations.results.keys import NUMBERS
from resnet_ablations.results.sweeps import SweepPlan, save_sweep

SEEDS = (0, 1, 2, 3, 4)
CHANGE = "shortcut.rate=0.5, now 0.4"


def redeclare(monkeypatch: pytest.MonkeyPatch, *rows: str) -> None:
    changes = {(row, "error"): CHANGE for row in rows}
    monkeypatch.setattr(frame, "changes_since", lambda plan, experiment: changes)


def full(made_up: MadeUp, scale: str = "quick") -> SweepPlan:
    made_up.all_runs({"original": 4.0, "dropout": 1.0, "conv1x1": 3.0}, SEEDS, scale)
    return made_up.plan(scale, SEEDS)


def verdict(made_up: MadeUp, *higher: str) -> Verdict:
    data = read_report_data(made_up.path)
    relation = {"kind": "lower_than", "lower": "original", "higher": list(higher)}
    said = {"id": "x", "sentence": "A sentence", "where": "v2", "experiment": "shortcuts", "relation": relation}
    (found,) = judge(data.sweeps, data, [Claim.model_validate(said)])
    return found


def test_the_table_marks_the_cell_and_says_what_changed(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = full(made_up)
    assert lines(made_up, plan)["dropout"]["ours"] == "3.00 (3.00 ± 1.58)"
    redeclare(monkeypatch, "dropout")
    found = lines(made_up, plan)
    assert found["dropout"]["ours"] == "3.00 (3.00 ± 1.58) ‡"
    assert "‡" not in found["conv1x1"]["ours"]
    made = table(made_up, plan)
    assert made.notes[0] == (
        f"‡ declared differently since these runs: “dropout shortcut” ({CHANGE}). No claim is judged from them."
    )
    assert r"$\ddagger$" in latex(made)
    cells = load_cells(made_up.path)
    assert set(cells.loc[cells["redeclared"] != "", "row"]) == {"dropout"}
    assert set(summary(sweep(made_up, plan)).query("redeclared != ''")["row"]) == {"dropout"}


def test_all_cells_are_not_listed_one_by_one(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = full(made_up)
    redeclare(monkeypatch, *(row.id for row in made_up.experiment.rows))
    assert table(made_up, plan).notes[0].startswith("‡ declared differently since these runs: all cells (")


def test_it_is_neither_the_best_nor_compared(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = full(made_up)
    one = sweep(made_up, plan)
    assert best_cells(one, summary(one), uses_fail=False) == {("dropout", "error")}
    assert ("dropout", "error") in orderings(one).index
    redeclare(monkeypatch, "dropout")
    one = sweep(made_up, plan)
    assert best_cells(one, summary(one), uses_fail=False) == {("conv1x1", "error")}
    assert ("dropout", "error") not in orderings(one).index
    text = answer(one, tuple(orderings(one)["agrees"]), ())
    assert "from 5.00 % (“1×1 conv shortcut”)" in text
    assert "1 cell is declared differently since the runs (‡)." in text
    redeclare(monkeypatch, "original")
    assert orderings(sweep(made_up, plan)).empty, "the others have nothing to be compared with"


def test_no_claim_is_judged_from_it(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    full(made_up)
    assert verdict(made_up, "conv1x1", "dropout").finding.outcome != "not run"
    redeclare(monkeypatch, "dropout")
    found = verdict(made_up, "conv1x1", "dropout").finding
    assert (found.outcome, found.statement) == (
        "not run",
        "At this scale: not judged because “dropout shortcut” is declared differently since its runs.",
    )
    assert verdict(made_up, "conv1x1").finding.outcome != "not run"


def test_the_faithfulness_table_marks_it(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = made_up.plan("early")
    made_up.run("original", 40.0, scale="early")
    redeclare(monkeypatch, "original")
    one = sweep(made_up, plan)
    made = faithfulness_table(one, faithfulness(one, read_report_data(made_up.path)))
    assert made.rows[0][0] == "original ‡"
    assert made.notes[-1] == "‡ declared differently since these runs: see the table of errors."
    assert all(
        "eclared differently since these runs: “original”." in chart.note
        for chart in sweep_report(one, read_report_data(made_up.path)).figures
    )


def test_a_plan_of_earlier_rules_is_named(made_up: MadeUp) -> None:
    plan = full(made_up)
    assert not any("rules" in note for note in table(made_up, plan).notes)
    assert verdict(made_up, "conv1x1").flags == ()
    save_sweep(made_up.path, plan.model_copy(update={"numbers": NUMBERS - 1}))
    said = f"lanned with version {NUMBERS - 1} of the built-in rules"
    assert any(f"P{said}" in note for note in table(made_up, plan).notes)
    assert verdict(made_up, "conv1x1").flags == (f"p{said}",)


def test_earlier_plans_have_version_1() -> None:
    fields = {"name": "a-quick", "experiment": "a", "scale": "quick", "overrides": [], "replacements": {}, "seeds": [0]}
    assert SweepPlan.model_validate(fields | {"cells": {}, "configurations": {}}).numbers == 1
