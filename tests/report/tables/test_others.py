"""The column of other people's numbers, beside the paper's numbers and ours."""

import io
import re
import statistics
from pathlib import Path

import declared
import pandas as pd
import pytest
from made_tables import lines, sweep, table
from made_up import Declare, MadeUp
from rich.console import Console

from resnet_ablations import experiments
from resnet_ablations.experiments import EXPERIMENTS, METRICS, OTHERS, load_experiment, load_others
from resnet_ablations.report.claims.claim_file import load_claims
from resnet_ablations.report.claims.verdicts import judge
from resnet_ablations.report.contents import sweep_report
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.report.page.page import page
from resnet_ablations.report.tables.formats import latex, markdown, terminal
from resnet_ablations.report.tables.summary import summary

README = Path(__file__).parents[3] / "README.md"
VALUES = """network,cells,metric,value,spread,n,statistic,protocol,source,year
ResNet-110,declared/original/r110 elsewhere/original/error,test_error,6.25,,1,final,200 epochs,<b>A</b>,2017
ResNet-110,declared/original/r110,test_error,7.5,0.2,5,mean±std,64 epochs,B,2024
BN ResNet-110,declared/bn/r110,test_error,9.0,,,best on test,64 epochs,C,2020
BN ResNet-110,declared/bn/r110,train_error,1.0,,,best on test,64 epochs,C,2020
"""


@pytest.fixture
def placements(declare: Declare) -> MadeUp:
    """An experiment of two columns; other people measured cells of the first."""
    made_up = declare(declared.PLACEMENTS)
    (experiments.EXPERIMENTS / OTHERS).write_text(VALUES, encoding="utf-8")
    return made_up


def test_range_and_count_stand_beside_the_papers_number(placements: MadeUp) -> None:
    plan = placements.plan()
    found = lines(placements, plan)
    assert [found[row]["ResNet-110 others"] for row in ("original", "bn", "pre")] == ["6.25–7.50 (2)", "9.00 (1)", "–"]
    made = table(placements, plan)
    headings = [column.heading for column in made.columns]
    place = headings.index("ResNet-110 others")
    assert headings[place - 1 : place + 2] == ["ResNet-110 paper", "ResNet-110 others", "ResNet-110 ours"]
    assert "ResNet-164 others" not in headings, "nobody measured a cell of that column"
    assert any(note.startswith("others: ") and "declared-quick-others.csv" in note for note in made.notes)
    assert "6.25–7.50 (2)" in markdown(made)
    out = io.StringIO()
    terminal(made, Console(file=out, width=200, highlight=False))
    for text in (out.getvalue(), latex(made)):
        assert "ResNet-110 others." in " ".join(text.split()), "named as left out for lack of width"
        assert "7.50" not in text


def test_frame_and_csv_have_the_median_and_every_value(placements: MadeUp) -> None:
    own = sweep(placements, placements.plan())
    cells = own.cells.set_index(["row", "column"])
    assert cells.loc[("original", "r110"), ["others", "others_n"]].tolist() == [6.875, 2]
    assert (pd.isna(cells.loc[("pre", "r110"), "others"]), cells.loc[("pre", "r110"), "others_n"]) == (True, 0)
    assert summary(own).set_index(["row", "column"]).loc[("bn", "r110"), ["others", "others_n"]].tolist() == [9.0, 1]
    values = sweep_report(own, read_report_data(placements.path)).frames["declared-quick-others"]
    assert values["value"].tolist() == [6.25, 7.5, 9.0, 1.0]
    assert values["is_counted"].tolist() == [True, True, True, False], "the table shows no training error"
    assert {"n", "protocol", "source", "statistic", "year"} <= set(values)


def test_the_page_prints_each_value_with_its_source(placements: MadeUp) -> None:
    placements.plan()
    data = read_report_data(placements.path)
    text = page([sweep_report(one, data) for one in data.sweeps], data, [], [])
    for line in (
        "ResNet-110 6.25 (n = 1, final; 200 epochs). Source: &lt;b&gt;A&lt;/b&gt;, 2017.",
        "ResNet-110 7.50 ± 0.20 (n = 5, mean±std; 64 epochs). Source: B, 2024.",
        "BN ResNet-110 9.00 (n not stated, best on test; 64 epochs). Source: C, 2020.",
        "Source: C, 2020. Not in the table, which shows another metric: training error (%).",
    ):
        assert line in text


def test_the_column_is_missing_without_any_value(made_up: MadeUp) -> None:
    plan = made_up.plan()
    made = table(made_up, plan)
    assert "others" not in [column.heading for column in made.columns]
    assert not any("others" in note for note in made.notes)
    assert made.sources == ()
    assert "others" not in summary(sweep(made_up, plan))


def test_no_verdict_uses_them(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up.plan("paper", seeds=(0, 1, 2, 3, 4))
    made_up.all_runs({"original": 5.0, "dropout": 40.0}, (0, 1, 2, 3, 4), "paper")
    claims = [claim for claim in load_claims() if claim.experiment == "shortcuts"]
    verdicts = []
    for file in ("nothing.csv", OTHERS):
        monkeypatch.setattr(experiments, "OTHERS", file)
        data = read_report_data(made_up.path)
        assert (data.sweeps[0].cells["others_n"] > 0).any() == (file == OTHERS)
        verdicts.append(judge(data.sweeps, data, claims))
    assert verdicts[0] == verdicts[1]


def test_every_value_belongs_to_a_cell_and_names_its_source() -> None:
    values = pd.read_csv(EXPERIMENTS / OTHERS)
    assert set(values["metric"]) <= set(METRICS)
    assert values["value"].between(1, 40).all()
    assert values[["network", "statistic", "protocol", "source", "year"]].notna().all(axis=None)
    for name in {cell.partition("/")[0] for cells in values["cells"].dropna() for cell in cells.split()}:
        known = {(row.id, column.id) for row, column, _ in load_experiment(name).cells()}
        others = load_others(name)
        assert set(zip(others["row"], others["column"], strict=True)) <= known


def test_the_readmes_sentences_are_computed_from_the_file() -> None:
    values = pd.read_csv(EXPERIMENTS / OTHERS).query("metric == 'test_error'")
    text = " ".join(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", README.read_text(encoding="utf-8")).split())
    original = values[values["network"] == "ResNet-110"]
    errors = original["value"].tolist()
    sources = original["source"].str.partition(" issue")[0].nunique()
    assert (
        f"{len(errors)} values for ResNet-110, from {sources} other code bases, go from {min(errors):.2f} to "
        f"{max(errors):.2f} % (standard deviation {statistics.stdev(errors):.2f})"
    ) in text
    for depth in (110, 164):
        errors = values.loc[values["network"] == f"pre-activation ResNet-{depth}", "value"].tolist()
        assert f"{min(errors):.2f}–{max(errors):.2f} % ({len(errors)} values)" in text
