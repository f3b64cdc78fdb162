"""Dots of the page: where they lie, what they say and where they lead."""

import declared
from made_up import Declare, MadeUp
from old_reports import sweep_report

from resnet_ablations.report.cells.folder import load
from resnet_ablations.report.contents import SweepReport
from resnet_ablations.report.page.dots import cost_figure, strip_plot
from resnet_ablations.results.sweeps import SweepPlan


def report(made_up: MadeUp, plan: SweepPlan) -> SweepReport:
    return sweep_report(plan, load(made_up.path), made_up.path)


def test_a_dot_a_seed_in_order_of_errors(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1, 2))
    keys = [made_up.run("original", error, seed).key for seed, error in enumerate((100.0, 0.0, 10.0))]
    diverged = made_up.run("dropout", outcome="diverged", stop=100).key
    made = report(made_up, plan)
    assert made.strip is not None
    tracks = {track.label: track for track in strip_plot("strip", made.strip).tracks}
    original = tracks["original"]
    assert [dot.says for dot in original.dots] == [
        ("original", keys[1], "0.00 %"),
        ("original", keys[2], "10.00 %"),
        ("original", keys[0], "100.00 %"),
    ]
    assert [dot.to for dot in original.dots] == [f"#run:{keys[seed]}" for seed in (1, 2, 0)]
    assert (original.dots[0].x, original.dots[2].x) == ("0.00%", "100.00%")
    assert len({dot.y for dot in original.dots}) == 3
    assert (original.printed, original.paper_fails) == ("6.61 %", False)
    dropout = tracks["dropout shortcut"]
    assert [(dot.says, dot.to) for dot in dropout.crosses] == [
        (("dropout shortcut", diverged, "diverged"), f"#run:{diverged}")
    ]
    assert (dropout.printed, dropout.paper_fails) == ("fail, above 20 %", True)


def test_stopped_early_nothing_of_the_papers_end_stands_beside(made_up: MadeUp) -> None:
    made_up.run("original", 40.0, scale="early")
    made = report(made_up, made_up.plan("early"))
    assert made.strip is not None
    assert all(row.paper is None and not row.paper_fails for row in made.strip.rows)
    assert all(track.printed == track.paper == "" for track in strip_plot("strip", made.strip).tracks)


def test_a_configuration_of_several_seeds_leads_to_all_of_them(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS)
    plan = made_up.plan(seeds=(0, 1))
    for seed, error in enumerate((8.0, 10.0)):
        made_up.run("d20/plain", error, seed, seconds=40.0 + seed, multiply_adds=41_000_000)
    alone = made_up.run("d20/resnet", 7.0, seconds=100.0, multiply_adds=42_000_000).key
    made = report(made_up, plan)
    assert made.costs is not None
    figure = cost_figure("cost", plan.name, made.costs)
    seconds, multiply_adds = figure.plots
    first, second = (mark.dot for mark in seconds.dots)
    assert first.says == (
        "1 depth = 20, plain test",
        "2 runs",
        "9.00 % (8.00–10.00 %)",
        "40.5 seconds of training",
    )
    assert first.to == f"#cell:{plan.name}:d20:plain"
    assert second.to == f"#run:{alone}"
    assert [mark.dot.says[-1] for mark in multiply_adds.dots] == [
        "41 million multiply-adds an image",
        "42 million multiply-adds an image",
    ]
    assert seconds.dots[0].low > seconds.dots[0].dot.y > seconds.dots[0].high
    assert float(seconds.dots[0].dot.x) < float(seconds.dots[1].dot.x)
    assert figure.names == (("depth = 20, plain test", 0), ("depth = 20, ResNet test", 2))
