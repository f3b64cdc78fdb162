"""The strip of final errors, and final errors against cost."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import declared
import numpy as np
import pytest
from drawn import charts, marks, texts
from made_up import Declare, MadeUp

from resnet_ablations.report.figures.chart import Chart
from resnet_ablations.results.sweeps import SweepPlan

SECONDS, MULTIPLY_ADDS = "seconds of training", "million multiply-adds per image"


def strip(made_up: MadeUp, plan: SweepPlan) -> Chart:
    return charts(made_up, plan)["strip"]


def test_every_run_is_a_mark_that_leads_to_it(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1, 2))
    keys = [made_up.run("original", error, seed).key for seed, error in enumerate((4.0, 4.0, 0.0))]
    made_up.run("exclusive_gating_0_to_-5", 60.0)
    made_up.run("exclusive_gating_0_to_-5", 5.0, index=3)
    diverged = made_up.run("dropout", outcome="diverged", stop=100).key
    chart = strip(made_up, plan)
    (panel,) = chart.figure.subfigs
    (axes,) = panel.axes
    rows = [row.id for row in made_up.experiment.rows]
    runs = [mark for mark in marks(axes) if mark[2]]
    original = [mark for mark in runs if round(mark[1]) == 0]
    assert [(x, to) for x, _, to, _ in original] == [
        (0.0, f"#run:{keys[2]}"),
        (4.0, f"#run:{keys[0]}"),
        (4.0, f"#run:{keys[1]}"),
    ]
    assert original[0][3] == f"original, seed 2: 0.00 % ({keys[2]})"
    assert len({(x, y) for x, y, _, _ in original}) == 3, "equal errors do not hide each other"
    assert sorted(x for x, y, _, _ in runs if round(y) == rows.index("exclusive_gating_0_to_-5")) == [5.0, 60.0]
    assert runs[-1] == (
        100.0,
        rows.index("dropout"),
        f"#run:{diverged}",
        f"dropout shortcut, seed 0: diverged ({diverged})",
    )
    papers = {round(y): (x, title) for x, y, to, title in marks(axes) if not to}
    assert papers[0] == (6.61, "original, the paper’s: 6.61 %")
    assert papers[rows.index("dropout")] == (20.0, "dropout shortcut, the paper’s: fail, above 20 %")
    assert len(papers) == len(rows)
    assert axes.get_xlim() == (0, 100)
    assert axes.yaxis_inverted()
    chart.figure.draw_without_rendering()
    assert all(label.get_window_extent().x0 > panel.bbox.x0 for label in axes.get_yticklabels())
    assert all(word in chart.note for word in ("a run", "diverged", "the paper’s number", "“fail”"))
    assert chart.rows[0].texts == ("6.61 %", "0.00 %, 4.00 %, 4.00 %")
    assert chart.rows[rows.index("dropout")].texts == ("fail", "diverged")


def test_the_early_scale_shows_no_number_of_the_papers_end(made_up: MadeUp) -> None:
    made_up.run("original", 40.0, scale="early")
    chart = strip(made_up, made_up.plan("early"))
    assert [to for _, _, to, _ in marks(chart.figure.subfigs[0].axes[0]) if not to] == []
    assert "the paper’s" not in chart.note
    assert {row.texts[0] for row in chart.rows} == {""}


def test_a_narrow_range_has_ticks_enough(made_up: MadeUp) -> None:
    for row in made_up.experiment.rows:
        made_up.run(row.id, 6.0, scale="paper")
    axes = strip(made_up, made_up.plan("paper")).figure.subfigs[0].axes[0]
    assert len(axes.get_xticks()) >= 3
    assert axes.get_xlim() == (5, 20)


def test_no_strip_without_a_run(made_up: MadeUp) -> None:
    assert "strip" not in charts(made_up, made_up.plan())


@pytest.mark.parametrize(("text", "cell"), [(declared.BIASES, "b0"), (declared.PLACEMENTS, "original/r110")])
def test_a_strip_is_of_one_column_of_printed_errors(declare: Declare, text: str, cell: str) -> None:
    made_up = declare(text)
    made_up.run(cell, 9.0)
    assert "strip" not in charts(made_up, made_up.plan())


def costs(made_up: MadeUp, plan: SweepPlan) -> Chart:
    return charts(made_up, plan)["cost"]


def points(chart: Chart, panel: int = 0) -> list[tuple[float, float, str, str]]:
    (axes,) = chart.figure.subfigs[panel].axes
    return marks(axes)


def test_the_cost_of_each_configuration(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS)
    plan = made_up.plan(seeds=(0, 1, 2))
    for seed, (error, seconds) in enumerate(((8.0, 50.0), (9.0, 40.0), (12.0, 60.0))):
        made_up.run("d20/plain", error, seed, seconds=seconds, multiply_adds=41_000_000)
    alone = made_up.run("d20/resnet", 7.0, seconds=100.0, multiply_adds=41_000_000).key
    made_up.run("d110/resnet", 6.0, seconds=300.0, multiply_adds=253_000_000)
    made_up.run("d44/resnet", outcome="diverged", stop=100, multiply_adds=1)
    chart = costs(made_up, plan)
    seconds, macs = points(chart), points(chart, 1)
    assert [(x, y) for x, y, _, _ in seconds] == [
        (pytest.approx(50), 9.0),
        (pytest.approx(100), 7.0),
        (pytest.approx(300), 6.0),
    ]
    assert [x for x, _, _, _ in macs] == [pytest.approx(41), pytest.approx(41), pytest.approx(253)]
    assert [to for _, _, to, _ in seconds[:2]] == [f"#cell:{plan.name}:d20:plain", f"#run:{alone}"]
    assert seconds[0][3] == "1 depth = 20, plain test: 9.00 % (8.00–12.00 %), 50 seconds of training (3 runs)"
    axes = chart.figure.subfigs[0].axes[0]
    assert np.asarray(axes.lines[0].get_ydata()).tolist() == [8.0, 12.0]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.texts] == ["1", "2", "3"]
    names = {"depth = 20, plain test", "depth = 20, ResNet test", "depth = 110, ResNet test"}
    assert names <= set(texts(chart))
    assert chart.headings[1:3] == (SECONDS, MULTIPLY_ADDS)
    assert chart.rows[0].texts == ("50", "41", "9.00 % (8.00–12.00)")
    chart.figure.draw_without_rendering()
    for panel in chart.figure.subfigs:
        assert all(text.get_window_extent().x1 < panel.bbox.x1 for text in panel.texts)


def test_equal_costs_do_not_hide_each_other(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS)
    for column in ("plain", "resnet"):
        made_up.run(f"d20/{column}", 8.0, seconds=50.0)
    first, second = points(costs(made_up, made_up.plan()))
    assert first[0] != second[0]


def test_a_run_that_several_cells_share_costs_once(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS.replace("network.depth=32", "network.depth=20"))
    made_up.run("d20/plain", multiply_adds=1)
    made_up.run("d44/plain", multiply_adds=2)
    rows = costs(made_up, made_up.plan()).rows
    assert [row.label for row in rows] == ["1 depth = 20, plain test", "2 depth = 44, plain test"]


@pytest.mark.parametrize(
    ("of_plain", "of_resnet", "amounts"),
    [
        ({"seconds": 10.0}, {"seconds": 20.0}, (SECONDS,)),
        ({"seconds": 10.0}, {"seconds": 10.0}, (SECONDS,)),
        ({"multiply_adds": 1_000_000}, {"multiply_adds": 2_000_000}, (SECONDS, MULTIPLY_ADDS)),
        ({"seconds": 10.0, "multiply_adds": None}, {"seconds": 20.0, "multiply_adds": None}, (SECONDS,)),
        (
            {"seconds": 10.0, "multiply_adds": 1_000_000, "machine": {"device": "A100"}},
            {"seconds": 20.0, "multiply_adds": 2_000_000, "machine": {"device": "H100"}},
            (MULTIPLY_ADDS,),
        ),
        (  # both were resumed on another machine
            {"seconds": 10.0, "multiply_adds": 1_000_000, "machine": {"device": "A100; H100"}},
            {"seconds": 20.0, "multiply_adds": 2_000_000, "machine": {"device": "A100; H100"}},
            (MULTIPLY_ADDS,),
        ),
    ],
)
def test_only_comparable_runs_are_drawn(
    declare: Declare, of_plain: dict[str, Any], of_resnet: dict[str, Any], amounts: tuple[str, ...]
) -> None:
    made_up = declare(declared.DEPTHS)
    made_up.run("d20/plain", **of_plain)
    made_up.run("d20/resnet", **of_resnet)
    chart = costs(made_up, made_up.plan())
    assert chart.headings[1:-1] == amounts
    assert [axes.get_xlabel() for panel in chart.figure.subfigs for axes in panel.axes] == list(amounts)


def test_a_run_without_counted_multiply_adds_is_left_out_of_the_figure_of_costs(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS)
    made_up.run("d20/plain", 8.0, seconds=10.0, multiply_adds=None)
    made_up.run("d20/resnet", 7.0, seconds=20.0, multiply_adds=1_000_000)
    made_up.run("d110/resnet", 6.0, seconds=30.0, multiply_adds=2_000_000)
    chart = costs(made_up, made_up.plan())
    assert (len(points(chart)), len(points(chart, 1))) == (3, 2)
    assert chart.rows[0].texts[1] == "–"


@pytest.mark.parametrize("scale", ["quick", "early"])
def test_no_costs_of_one_network_or_of_a_longer_run(declare: Declare, scale: str) -> None:
    made_up = declare(declared.DEPTHS)
    made_up.run("d20/plain", 9.0, scale=scale)
    made_up.run("d32/plain", 9.0, multiply_adds=2, scale="paper", error_at=lambda iteration: 50.0)
    assert "cost" not in charts(made_up, made_up.plan(scale))


def test_long_names_do_not_overlap(tmp_path: Path) -> None:
    made_up = MadeUp(tmp_path / "results", "interpretations")
    made_up.run(made_up.experiment.rows[0].id, 5.0)
    chart = strip(made_up, made_up.plan())
    chart.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in chart.figure.subfigs[0].axes[0].get_yticklabels()]
    assert all(above.y0 > below.y1 - 1 for above, below in pairwise(boxes))
