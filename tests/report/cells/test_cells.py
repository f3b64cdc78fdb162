import math

import pytest
from made_up import MadeUp

from resnet_ablations.report.cells.cell import Cell, Ordering, Tally, cells_of, ordering
from resnet_ablations.report.cells.plans import runs_of
from resnet_ablations.results.frames import load_curves, load_results
from resnet_ablations.results.sweeps import SweepPlan


def cells(made_up: MadeUp, plan: SweepPlan) -> dict[str, Cell]:
    runs = runs_of(plan, load_results(made_up.path), load_curves(made_up.path))
    return {cell.row.id: cell for cell in cells_of(plan, made_up.experiment, runs)}


def tally(*errors: float) -> Tally:
    return Tally("c", dict(enumerate(errors)), {}, (), (), (), {}, 0.0)


def test_statistics_by_hand() -> None:
    five = tally(6, 7, 8, 9, 15)
    assert (five.n, five.median, five.mean) == (5, 8, 9)
    assert five.std == pytest.approx(math.sqrt(50 / 4))
    assert tally(6, 9).median == 7.5
    assert tally(6).std is None
    assert (tally().median, tally().mean, tally().std) == (None, None, None)


def test_rows_are_in_the_papers_order_with_all_their_configurations(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1))
    made_up.all_runs({"original": 4.0}, seeds=(0, 1))
    found = cells(made_up, plan)
    assert list(found) == [row.id for row in made_up.experiment.rows]
    assert len(found["exclusive_gating_0_to_-5"].tallies) == 6
    assert found["exclusive_gating_0_to_-5"].medians == [50.5, 51.5, 52.5, 53.5, 54.5, 55.5]
    assert (found["original"].n, found["original"].planned) == (2, 2)
    assert found["original"].medians == [4.5]


def test_missing_and_diverged_seeds_are_told_apart_and_not_averaged(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1, 2))
    made_up.run("dropout", 30.0, seed=0)
    made_up.run("dropout", seed=1, outcome="diverged", stop=900)
    (dropout,) = cells(made_up, plan)["dropout"].tallies
    assert dropout.values == {0: 30.0}
    assert (dropout.diverged, dropout.missing) == ((1,), (2,))
    assert dropout.seconds == 80.0


def test_seeds_and_runs_outside_the_plan_do_not_count(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0,))
    made_up.run("original", 5.0, seed=0)
    made_up.run("original", 99.0, seed=7)
    made_up.run("original", 98.0, seed=0, scale="small")
    assert cells(made_up, plan)["original"].tallies[0].values == {0: 5.0}


def test_a_paper_run_serves_the_early_cell_at_its_iteration(made_up: MadeUp) -> None:
    plan = made_up.plan("early")
    made_up.run("original", 6.6, scale="paper", error_at=lambda iteration: 20 + iteration / 100)
    runs = runs_of(plan, load_results(made_up.path), load_curves(made_up.path))
    (run,) = runs.to_dict("records")
    assert run["configuration"] == made_up.configuration("early", "original")
    assert run["key"] == made_up.configuration("paper", "original") + "-s0"
    assert run["test_error"] == 40.0
    assert cells(made_up, plan)["original"].medians == [40.0]


def test_an_own_run_comes_before_one_that_serves(made_up: MadeUp) -> None:
    plan = made_up.plan("early")
    made_up.run("original", 6.6, scale="paper", error_at=lambda iteration: 40.0)
    made_up.run("original", 39.0, scale="early")
    assert cells(made_up, plan)["original"].medians == [39.0]


def test_what_becomes_of_a_serving_run_later_does_not_matter(made_up: MadeUp) -> None:
    plan = made_up.plan("early")
    diverged = {"scale": "paper", "outcome": "diverged", "error_at": lambda iteration: 40.0}
    made_up.run("original", stop=3_000, **diverged)  # type: ignore[arg-type]
    made_up.run("conv1x1", stop=1_000, **diverged)  # type: ignore[arg-type]
    found = cells(made_up, plan)
    assert found["original"].medians == [40.0]
    assert (found["conv1x1"].n, found["conv1x1"].diverged) == (0, 1)


def test_a_serving_run_without_a_test_error_there_leaves_the_cell_missing(made_up: MadeUp) -> None:
    plan = made_up.plan("early")
    made_up.run("original", 6.6, scale="paper")
    assert cells(made_up, plan)["original"].missing == 1


@pytest.mark.parametrize(
    ("ours", "paper", "agrees"),
    [
        (30.0, 13.39, True),
        (0.9, 5.74, False),  # the paper's difference is clear, ours is not
        (1.0, 5.74, True),
        (-0.1, 5.74, False),
        (0.1, 0.3, True),
        (0.0, 0.3, False),
        (-0.1, 0.3, False),
        (-0.2, -0.24, True),
        (0.2, -0.24, False),
        (5.0, 0.0, True),
    ],
)
def test_ordering(ours: float, paper: float, agrees: bool) -> None:
    assert Ordering(ours, paper, paper_is_bound=False).agrees is agrees


def test_ordering_takes_the_configuration_that_is_least_as_in_the_paper(made_up: MadeUp) -> None:
    plan = made_up.plan()
    made_up.all_runs({"original": 4.0, "exclusive_gating_0_to_-5": 3.0})
    found = cells(made_up, plan)
    order = ordering(found["exclusive_gating_0_to_-5"])
    assert order is not None
    assert (order.ours, order.paper, order.paper_is_bound) == (-1.0, 13.39, True)
    assert ordering(found["original"]) is None
