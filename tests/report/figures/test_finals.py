"""The strip of final errors, and what they cost."""

from typing import Any

import declared
import matplotlib.style
import numpy as np
import pytest
from made_up import Declare, MadeUp
from matplotlib.figure import Figure as Drawing
from old_reports import sweep_report

from resnet_ablations.report.cells.folder import load
from resnet_ablations.report.contents import SweepReport
from resnet_ablations.report.figures.dots import draw_costs, draw_strip
from resnet_ablations.report.figures.files import STYLE
from resnet_ablations.report.figures.finals import Costs
from resnet_ablations.results.sweeps import SweepPlan

SECONDS, MULTIPLY_ADDS = "seconds of training", "million multiply-adds an image"


def report(made_up: MadeUp, plan: SweepPlan) -> SweepReport:
    return sweep_report(plan, load(made_up.path), made_up.path)


def marks(drawing: Drawing, marker: str, axes: int = 0) -> list[tuple[list[float], list[float]]]:
    lines = [line for line in drawing.axes[axes].lines if line.get_marker() == marker]
    return [(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in lines]


def strip(made_up: MadeUp, plan: SweepPlan) -> Drawing:
    made = report(made_up, plan)
    assert made.strip is not None
    with matplotlib.style.context(STYLE, after_reset=True):
        drawing = draw_strip(made.strip, "A title")
        drawing.draw_without_rendering()
    return drawing


def test_every_seed_is_a_dot_and_the_papers_number_a_tick(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1, 2))
    for seed, error in enumerate((4.0, 4.0, 0.0)):
        made_up.run("original", error, seed)
    made_up.run("exclusive_gating_0_to_-5", 60.0)
    made_up.run("exclusive_gating_0_to_-5", 5.0, index=3)
    made_up.run("dropout", outcome="diverged", stop=100)
    drawing = strip(made_up, plan)
    rows = [row.id for row in made_up.experiment.rows]
    dots = {round(np.mean(places)): (values, places) for values, places in marks(drawing, "o") if values}
    assert dots.keys() == {0, rows.index("exclusive_gating_0_to_-5")}
    values, places = dots[0]
    assert values == [4.0, 4.0, 0.0]
    assert len(set(places)) == 3
    assert max(places) - min(places) < 0.5
    assert dots[rows.index("exclusive_gating_0_to_-5")][0] == [60.0, 5.0]
    ticks = {places[0]: values[0] for values, places in marks(drawing, "|")}
    assert (ticks[0], ticks[rows.index("dropout")]) == (6.61, 20.0)
    assert len(ticks) == len(rows)
    (axes,) = drawing.axes
    assert axes.get_xlim() == (0, 100)
    assert axes.yaxis_inverted()
    assert marks(drawing, "x") == [([100.0], [rows.index("dropout")])]
    assert axes.get_yticklabels()[5].get_text() == "exclusive gating (init $b_g$ = −6)"
    box = drawing.bbox
    assert all(label.get_window_extent().x0 > box.x0 for label in axes.get_yticklabels())
    key = {text.get_text() for text in drawing.legends[0].get_texts()}
    assert key == {"one seed", "the paper’s", "diverged", "the paper’s fail: above 20 %"}


def test_a_narrow_range_has_ticks_enough(made_up: MadeUp) -> None:
    for row in made_up.experiment.rows:
        made_up.run(row.id, 6.0, scale="paper")
    (axes,) = strip(made_up, made_up.plan("paper")).axes
    assert len(axes.get_xticks()) >= 3
    assert axes.get_xlim() == (5, 20)


def test_no_strip_without_a_run(made_up: MadeUp) -> None:
    assert report(made_up, made_up.plan()).strip is None


def test_a_strip_is_of_one_column_of_printed_errors(declare: Declare) -> None:
    biases = declare(declared.BIASES)
    biases.run("b0", 9.0)
    assert report(biases, biases.plan()).strip is None
    placements = declare(declared.PLACEMENTS)
    placements.run("original/r110", 9.0)
    assert report(placements, placements.plan()).strip is None


def costs(made_up: MadeUp, plan: SweepPlan) -> Costs:
    made = report(made_up, plan).costs
    assert made is not None
    return made


def draw(made: Costs) -> Drawing:
    with matplotlib.style.context(STYLE, after_reset=True):
        drawing = draw_costs(made, "A title")
        drawing.draw_without_rendering()
    return drawing


def test_the_cost_of_each_configuration(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS)
    plan = made_up.plan(seeds=(0, 1, 2))
    for seed, (error, seconds) in enumerate(((8.0, 50.0), (9.0, 40.0), (12.0, 60.0))):
        made_up.run("d20/plain", error, seed, seconds=seconds, multiply_adds=41_000_000)
    made_up.run("d20/resnet", 7.0, seconds=100.0, multiply_adds=41_000_000)
    made_up.run("d110/resnet", 6.0, seconds=300.0, multiply_adds=253_000_000)
    made_up.run("d44/resnet", outcome="diverged", stop=100, multiply_adds=1)
    made = costs(made_up, plan)
    assert made.names == ("depth = 20, plain test", "depth = 20, ResNet test", "depth = 110, ResNet test")
    plain, *_ = made.points
    assert (plain.number, plain.column, plain.error, plain.low, plain.high) == (1, 0, 9.0, 8.0, 12.0)
    assert [amount for panel in made.panels for amount, point in panel.points if point is plain] == [50.0, 41.0]
    assert [(point.number, point.column) for point in made.points] == [(1, 0), (2, 2), (3, 2)]
    drawing = draw(made)
    assert marks(drawing, "o") == [([50.0], [9.0])], "one column, one mark"
    assert marks(drawing, "D") == [([100.0], [7.0]), ([300.0], [6.0])]
    assert marks(drawing, "D", axes=1) == [([41.0], [7.0]), ([253.0], [6.0])]
    assert [axes.get_xscale() for axes in drawing.axes] == ["log", "log"]
    texts = {text.get_text(): text.get_window_extent() for text in drawing.texts}
    assert {"1", "2", "3", *made.names} == texts.keys()
    assert all(box.x1 < drawing.bbox.x1 for box in texts.values())


def test_a_run_that_several_cells_share_costs_once(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS.replace("network.depth=32", "network.depth=20"))
    made_up.run("d20/plain", multiply_adds=1)
    made_up.run("d44/plain", multiply_adds=2)
    assert costs(made_up, made_up.plan()).names == ("depth = 20, plain test", "depth = 44, plain test")


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
    ],
)
def test_only_what_can_be_compared_is_drawn(
    declare: Declare, of_plain: dict[str, Any], of_resnet: dict[str, Any], amounts: tuple[str, ...]
) -> None:
    made_up = declare(declared.DEPTHS)
    made_up.run("d20/plain", **of_plain)
    made_up.run("d20/resnet", **of_resnet)
    made = costs(made_up, made_up.plan())
    assert tuple(panel.axis.label for panel in made.panels) == amounts
    assert len(draw(made).axes) == len(amounts)


def test_a_run_of_before_multiply_adds_were_counted_is_left_out_where_they_are_shown(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS)
    made_up.run("d20/plain", 8.0, seconds=10.0, multiply_adds=None)
    made_up.run("d20/resnet", 7.0, seconds=20.0, multiply_adds=1_000_000)
    made_up.run("d110/resnet", 6.0, seconds=30.0, multiply_adds=2_000_000)
    drawing = draw(costs(made_up, made_up.plan()))
    assert len(marks(drawing, "o")) == 1
    assert marks(drawing, "o", axes=1) == []
    assert len(marks(drawing, "D", axes=1)) == 2


@pytest.mark.parametrize("scale", ["quick", "early"])
def test_no_costs_of_one_network_or_of_a_longer_run(declare: Declare, scale: str) -> None:
    made_up = declare(declared.DEPTHS)
    made_up.run("d20/plain", 9.0, scale=scale)
    made_up.run("d32/plain", 9.0, multiply_adds=2, scale="paper", error_at=lambda iteration: 50.0)
    assert report(made_up, made_up.plan(scale)).costs is None
