import math
from typing import Any

import declared
import pandas as pd
import pytest
from made_tables import sweep
from made_up import Declare, MadeUp

from resnet_ablations.report.curves import paper_loss, train_points
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.report.tables import faithfulness as module
from resnet_ablations.report.tables.faithfulness import course, course_in_all, faithfulness, faithfulness_table
from resnet_ablations.report.tables.table import Table
from resnet_ablations.results.sweeps import SweepPlan


def compared(made_up: MadeUp, plan: SweepPlan) -> pd.DataFrame:
    return faithfulness(sweep(made_up, plan), read_report_data(made_up.path))


def table(made_up: MadeUp, plan: SweepPlan) -> Table:
    return faithfulness_table(sweep(made_up, plan), compared(made_up, plan))


def comparisons(made_up: MadeUp, plan: SweepPlan) -> dict[tuple[str, int], Any]:
    return {(line["row"], line["iteration"]): pd.Series(line) for line in compared(made_up, plan).to_dict("records")}


def falling(iteration: float) -> float:
    return 2 * math.exp(-iteration / 1000)


@pytest.fixture
def known_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's loss falls exponentially, so that the geometric mean of a window is the value in its middle."""
    known = pd.Series({i: falling(i) for i in range(50, 68_000, 50)})
    monkeypatch.setattr(module, "paper_loss", lambda curve: known)


@pytest.mark.usefixtures("known_paper")
def test_known_ratios_at_early_scale(made_up: MadeUp) -> None:
    plan = made_up.plan("early", seeds=(0, 1, 2))
    for seed, factor in enumerate((1.0, 1.25, 4.0)):
        made_up.run("original", 40.0, seed, scale="early", every=20, loss=lambda i, f=factor: f * falling(i))  # type: ignore[misc]
    found = comparisons(made_up, plan)
    for iteration in (500, 1_000, 1_500, 2_000):
        entry = found["original", iteration]
        assert entry.n == 3
        assert entry.ratio == pytest.approx(1.25, rel=0.03), iteration
    assert found["original", 500].paper == pytest.approx(falling(500))
    # At the end both are averaged over the last 100 iterations only, not the paper's over 200.
    assert found["original", 2_000].paper == pytest.approx(falling(1_950))
    assert math.isnan(found["conv1x1", 500].ours)
    assert math.isnan(found["conv1x1", 500].ratio)


@pytest.mark.usefixtures("known_paper")
def test_known_ratios_at_paper_scale(made_up: MadeUp) -> None:
    plan = made_up.plan("paper")
    made_up.run("original", 6.6, scale="paper", loss=lambda i: 0.5 * max(falling(i), 1e-12))
    assert comparisons(made_up, plan)["original", 10_000].ratio == pytest.approx(0.5, rel=0.02)
    assert {iteration for _, iteration in comparisons(made_up, plan)} == {10_000, 30_000, 34_000, 46_000, 62_000}


@pytest.mark.usefixtures("known_paper")
def test_a_paper_run_serves_early_faithfulness(made_up: MadeUp) -> None:
    plan = made_up.plan("early")
    made_up.run("original", 6.6, scale="paper", loss=falling, error_at=lambda iteration: 40.0)
    assert comparisons(made_up, plan)["original", 1_000].ratio == pytest.approx(1, rel=0.03)


def test_the_papers_own_curves(made_up: MadeUp) -> None:
    found = comparisons(made_up, made_up.plan("early"))
    assert {row for row, _ in found} == {row.id for row, _, cell in made_up.experiment.cells() if cell.curve}
    assert found["original", 1_500].paper == pytest.approx(1.05, abs=0.01)
    assert found["original", 2_000].paper == pytest.approx(0.86, abs=0.01)
    assert found["conv1x1", 2_000].paper == pytest.approx(1.77, abs=0.01)
    assert not found["original", 2_000].paper_is_cut_off
    # Where the printed axis ends at 2, the digitised curve is a bound or not there at all.
    assert found["original", 500].paper_is_cut_off
    assert math.isnan(found["conv1x1", 500].paper)
    loss = paper_loss("fig3a_const_scaling__110_original")
    assert loss is not None
    assert math.isinf(loss[416])


def test_nothing_to_compare_at_other_scales(made_up: MadeUp) -> None:
    assert comparisons(made_up, made_up.plan("quick")) == {}


def test_cells_of_several_columns(declare: Declare) -> None:
    """Each with a digitised loss is compared; a figure with errors alone has none."""
    flat = dict.fromkeys(range(100, 2_100, 100), 0.5)
    curves = {"fig6left__bn__trainloss": flat, "fig6right__pre__trainloss": flat, "fig6right__original_test": flat}
    made_up = declare(declared.PLACEMENTS, curves)
    plan = made_up.plan("early", seeds=(0, 1))
    for seed in (0, 1):
        made_up.run("pre/r164", 40.0, seed, scale="early", loss=lambda iteration: 0.75)
    made = table(made_up, plan)
    assert [row[0] for row in made.rows] == [
        *("BN after addition, ResNet-110", "", ""),
        *("full pre-activation, ResNet-164", "", "", "", ""),
    ]
    assert [row[2] for row in made.rows] == ["–", "0.500", "–", "0.750", "0.500", "1.50", "1.50–1.50", "lags"]
    assert [row[-1] for row in made.rows] == ["", "", "–", "", "", "", "", "lags"]
    frame = compared(made_up, plan)
    assert list(zip(frame["row"], frame["column"], strict=True))[::4] == [("bn", "r110"), ("pre", "r164")]


def test_table_and_tidy_form(made_up: MadeUp) -> None:
    plan = made_up.plan("early")
    made_up.run("original", 40.0, scale="early", loss=lambda iteration: 2.01)
    made = table(made_up, plan)
    assert [column.heading for column in made.columns] == [
        *("row", "training loss", "500", "1,000", "1,500", "2,000", "in all"),
    ]
    assert made.rows[0][:3] == ("original", "ours", "2.01")
    assert made.rows[1][:3] == ("", "paper", "≥ 2.01")
    assert made.rows[2][:3] == ("", "ratio", "≤ 1.00")
    assert made.rows[3][0] == "constant scaling (0.5, 0.5)", "one seed has no course"
    assert "One seed tells no course." in made.notes
    assert "±100 iterations" in made.caption
    assert "±5 %" in made.caption
    frame = compared(made_up, plan)
    assert len(frame) == 5 * 4
    assert [frame[name].iloc[0] for name in ("row", "iteration", "window", "n")] == ["original", 500, 100, 1]


def test_a_logged_loss_stands_in_the_middle_of_its_interval() -> None:
    curve = pd.DataFrame({"iteration": [100, 200, 250], "train_loss": [3.0, 2.0, 1.0]})
    assert train_points(curve, "train_loss").to_dict() == {50.0: 3.0, 150.0: 2.0, 225.0: 1.0}


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ((1.0,), "follows"),
        ((0.95,), "follows"),
        ((0.949,), "leads"),
        ((1.05,), "follows"),
        ((1.051,), "lags"),
        ((0.5, 0.7, 0.94), "leads"),
        ((0.5, 0.7, 0.96), "follows"),
        ((1.04, 1.5, 2.0), "follows"),
        ((0.5, 2.0), "follows"),
        ((1.06, 1.5), "lags"),
        ((), None),
    ],
)
def test_a_course_needs_every_seed_beyond_the_digitising_error(ratios: tuple[float, ...], expected: str | None) -> None:
    assert course(min(ratios, default=math.nan), max(ratios, default=math.nan)) == expected


def test_a_bound_can_tell_that_ours_leads_and_nothing_else() -> None:
    assert course(0.8, 0.8, paper_is_cut_off=True) == "leads"
    assert course(1.0, 1.0, paper_is_cut_off=True) is None
    assert course(2.0, 2.0, paper_is_cut_off=True) is None


@pytest.mark.parametrize(
    ("courses", "expected"),
    [
        (["follows", "follows"], "follows"),
        (["follows", "leads"], "leads"),
        (["lags", "follows"], "lags"),
        (["lags", "leads", "follows"], "mixed"),
        ([], None),
    ],
)
def test_the_course_in_all(courses: list[str | None], expected: str | None) -> None:
    assert course_in_all([None, *courses]) == expected


@pytest.mark.usefixtures("known_paper")
def test_the_spread_of_the_seeds(made_up: MadeUp) -> None:
    plan = made_up.plan("early", seeds=(0, 1, 2))
    for seed, factor in enumerate((1.2, 1.5, 4.0)):
        made_up.run("original", 40.0, seed, scale="early", every=20, loss=lambda i, f=factor: f * falling(i))  # type: ignore[misc]
    made_up.run("conv1x1", 40.0, scale="early", every=20, loss=falling)
    made = table(made_up, plan)
    assert [row[1] for row in made.rows[:5]] == ["ours", "paper", "ratio", "seeds", "course"]
    assert made.rows[3][2] == "1.20–4.00"
    assert made.rows[4][2:] == ("lags",) * 5
    frame = compared(made_up, plan)
    assert frame["lowest_ratio"].iloc[0] == pytest.approx(1.2, rel=0.03)
    assert frame["highest_ratio"].iloc[0] == pytest.approx(4, rel=0.03)
    assert frame["course"].iloc[0] == "lags"
