"""The papers' figures: what is drawn is what the runs and the paper have."""

from dataclasses import replace

import declared
import numpy as np
import pytest
from drawn import charts, marks, texts
from made_up import Declare, MadeUp
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from resnet_ablations.errors import UserError
from resnet_ablations.report.figures import papers
from resnet_ablations.report.figures.axes import MARKERS
from resnet_ablations.report.figures.chart import Chart
from resnet_ablations.report.figures.papers import default_panels
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.results.sweeps import SweepPlan


def draw(made_up: MadeUp, plan: SweepPlan, name: str = "fig3") -> Chart:
    return charts(made_up, plan)[name]


def all_axes(chart: Chart) -> list[Axes]:
    return [axes for panel in chart.figure.subfigs for axes in panel.axes]


def curves(axes: Axes) -> list[tuple[str, list[float], list[float]]]:
    """Return the style and the points of each line."""
    lines = [
        (line, np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in axes.lines
    ]
    return [(str(line.get_linestyle()), x, y) for line, x, y in lines]


def test_four_panels_with_nothing_to_show_say_so(made_up: MadeUp) -> None:
    chart = draw(made_up, made_up.plan())
    assert [len(panel.axes) for panel in chart.figure.subfigs] == [2] * 4
    shown = texts(chart)
    assert sum("no run yet" in text for text in shown) == 4 * 3
    assert "(a) Constant scaling (0.5, 0.5)" in shown
    assert "the paper’s" not in chart.note
    assert chart.rows == ()


def test_loss_is_dashed_on_a_log_axis_and_error_solid(made_up: MadeUp) -> None:
    plan = made_up.plan()
    run = made_up.run("original", 4.0, error_at=lambda iteration: 50 - iteration / 100, loss=lambda i: 2 - i / 1000)
    chart = draw(made_up, plan)
    loss_axes, error_axes = all_axes(chart)[:2]
    assert (loss_axes.get_yscale(), error_axes.get_yscale()) == ("log", "linear")
    ((loss_style, x, loss),) = curves(loss_axes)
    ((error_style, at, error),) = curves(error_axes)
    assert (loss_style, error_style) == ("--", "-")
    assert x[:2] == [50.0, 150.0]
    assert loss[:2] == [2 - 50 / 1000, 2 - 150 / 1000]
    assert (at, error) == ([500, 1000, 1500, 1800], [45.0, 40.0, 35.0, 4.0])
    assert (error[-1], read_report_data(made_up.path).sweeps[0].cell("original")["value"].item()) == (4.0, 4.0)
    assert {"original, n = 1/1", "constant scaling (0.5, 0.5): no run yet"} <= set(texts(chart))
    assert "no run yet" not in texts(chart)
    assert marks(error_axes)[-1] == (
        *(1800.0, 4.0, f"#run:{run.key}"),
        f"original: test error 4 % at iteration 1,800 ({run.key})",
    )


def test_a_huge_loss_leaves_room_for_the_others(made_up: MadeUp) -> None:
    """A line that goes on above the axis is not the measure of the other lines, and the note names it."""
    made_up.run("original", 4.0, loss=lambda i: 2 - i / 1000)
    made_up.run("conv1x1", 90.0, loss=lambda i: 1e20 if i > 1000 else 2.0)
    chart = draw(made_up, made_up.plan())
    for axes in all_axes(chart)[::2]:
        assert 1 < axes.get_ylim()[1] < 100
        assert all(y < 100 for _, y, *_ in marks(axes))
    assert "our training loss above 100: beyond the axis" in chart.note
    made_up.run("conv1x1", 90.0, loss=lambda i: 95.0)
    assert {axes.get_ylim()[1] for axes in all_axes(draw(made_up, made_up.plan()))[::2]} == {100}
    assert "beyond" not in draw(made_up, made_up.plan()).note


def test_the_name_of_an_axis_decides_nothing_else(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = made_up.plan("paper")
    made_up.run("original", 6.0, scale="paper")
    named = [(axes.get_yscale(), axes.get_ylim(), marks(axes)) for axes in all_axes(draw(made_up, plan))]
    renamed = {
        kind: {name: replace(one, axis=replace(one.axis, label="another name")) for name, one in quantities.items()}
        for kind, quantities in papers.KINDS.items()
    }
    monkeypatch.setattr(papers, "KINDS", renamed)
    chart = draw(made_up, plan)
    assert [(axes.get_yscale(), axes.get_ylim(), marks(axes)) for axes in all_axes(chart)] == named
    assert {axes.get_ylabel() for axes in all_axes(chart)} == {"another name"}


def test_a_bar_is_from_the_lowest_to_the_highest_seed(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1, 2))
    for seed in (0, 1, 2):
        made_up.run("original", 10.0 * (seed + 1), seed)
    chart = draw(made_up, plan)
    error_axes = all_axes(chart)[1]
    assert [y for _, _, y in curves(error_axes)] == [[20.0]]
    (mark,) = marks(error_axes)
    assert mark[2:] == (
        "#cell:shortcuts-quick:original:error",
        "original: test error 20 % at iteration 1,800 (3 runs)",
    )
    assert error_axes.lines[0].get_url() == f"{mark[2]} original: test error (3 runs)"
    (bars,) = (drawn for drawn in error_axes.collections if isinstance(drawn, LineCollection))
    assert [points.tolist() for points in bars.get_segments()] == [[[1_800, 10], [1_800, 30]]]
    assert "bar: lowest to highest" in chart.note


def test_the_quantities_of_a_row_are_marked_at_different_places(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS + declared.FIGURE_6)
    made_up.run("d20/plain", 9.5, error_at=lambda i: 50.0, train_error_at=lambda i: 40.0, every=10)
    (axes,) = draw(made_up, made_up.plan(), "fig6").figure.subfigs[0].axes
    of_training, of_test = ([x for x, y, *_ in marks(axes) if y == error] for error in (40, 50))
    assert of_training[0] == 10  # the first point, the mean of two rows
    assert of_test[0] == 100  # the second evaluation


def test_the_papers_curves_and_axes_at_its_own_scale(made_up: MadeUp) -> None:
    chart = draw(made_up, made_up.plan("paper", seeds=(0, 1)))
    loss_axes, error_axes = all_axes(chart)[:2]
    assert loss_axes.get_ylim() == (0.002, 2.0)
    assert error_axes.get_ylim() == (0.0, 20.0)
    assert loss_axes.get_xlim()[1] > 68_000
    assert len(loss_axes.lines) == len(error_axes.lines) == 2
    assert "thin and pale: the paper’s" in chart.note


def test_the_papers_curves_end_where_the_early_scale_does(made_up: MadeUp) -> None:
    loss_axes = all_axes(draw(made_up, made_up.plan("early")))[0]
    assert loss_axes.get_xlim() == (0, 2_000)
    assert max(curves(loss_axes)[0][1]) <= 2_000
    low, high = loss_axes.get_ylim()
    assert 0.5 < low < high < 3


def test_a_serving_run_is_drawn_as_far_as_the_early_scale_goes(made_up: MadeUp) -> None:
    plan = made_up.plan("early")
    made_up.run("original", 6.6, scale="paper", error_at=lambda iteration: 40.0)
    loss_axes, error_axes = all_axes(draw(made_up, plan))[:2]
    ours = [x for _, x, y in curves(loss_axes) if set(y) == {1.0}]
    assert [max(x) for x in ours] == [1_950]
    assert [x for _, x, y in curves(error_axes) if set(y) == {40.0}] == [[500, 1_000, 1_500, 2_000]]


def test_training_curves_are_thinned(made_up: MadeUp) -> None:
    plan = made_up.plan("paper")
    made_up.run("original", 6.0, scale="paper", loss=lambda iteration: 2 - iteration / 32_001)
    ((_, x, y),) = [
        line for line in curves(all_axes(draw(made_up, plan))[0]) if line[2][0] == pytest.approx(1.99, abs=0.02)
    ]
    assert 60 <= len(x) <= 120
    assert y == pytest.approx([2 - at / 32_001 for at in x], abs=1e-5)


def panels_of(made_up: MadeUp) -> dict[str, int]:
    return {name: len(chart.figure.subfigs) for name, chart in charts(made_up, made_up.plan()).items()}


def test_four_panels_are_one_figure(made_up: MadeUp) -> None:
    assert panels_of(made_up) == {"fig3": 4}


def test_panels_with_one_number_are_one_figure(declare: Declare) -> None:
    text = declared.PLACEMENTS + "  - {id: fig1, title: ResNet-1001, cells: [pre/r110]}\n"
    assert panels_of(declare(text)) == {"fig6": 2, "fig1": 1}


def test_the_panels_of_one_figure_are_of_one_kind(declare: Declare) -> None:
    text = declared.PLACEMENTS + "  - {id: fig6middle, title: Errors, kind: errors, cells: [pre/r110]}\n"
    with pytest.raises(UserError, match="figure fig6left has another kind than the other panels of fig6"):
        declare(text)


def test_an_experiment_without_figures_has_a_default_figure(declare: Declare) -> None:
    made_up = declare(declared.METHODS)
    made_up.run("r1001/c10", 5.0, error_at=lambda iteration: 50.0)
    chart = draw(made_up, made_up.plan(), "curves")
    first, second = all_axes(chart)
    (training, _, _), (test, x, y) = curves(first)
    assert (training, test) == ("--", "-")
    assert (x, y) == ([500, 1_000, 1_500, 1_800], [50.0, 50.0, 50.0, 5.0])
    assert curves(second) == []
    names = {
        "(a) CIFAR-10",
        "(b) CIFAR-100",
        "ResNet-1001, n = 1/1",
        "ResNet-1001: no run yet",
        "ResNet-164: no run yet",
    }
    assert names <= set(texts(chart))
    assert not any("NIN" in text for text in texts(chart)), "another author's method has no curve"


def test_the_note_names_held_out_images(declare: Declare) -> None:
    """Figures of test errors say which images they are measured on; others, or without held-out images, do not."""
    made_up = declare(declared.BIASES)
    for row, seconds, gates in (("b0", 20.0, 4), ("b6", 40.0, 8)):
        made_up.run(
            row, 9.0, seconds=seconds, multiply_adds=gates, error_at=lambda iteration: 50.0, responses=(1.0, 2.0)
        )
    drawn = charts(made_up, made_up.plan())
    held_out = "The test error is measured on 5,000 held-out training images, not on the test set."
    assert held_out in drawn["curves"].note
    assert held_out in drawn["cost"].note
    data = read_report_data(made_up.path)
    responses = papers.response_figure(data.sweeps[0], data)
    assert responses is not None
    assert "held-out" not in responses.note
    made_up = declare(declared.BIASES.replace("data.held_out=5000", "batch_norm.momentum=0.2"))  # any other override
    made_up.run("b0", 9.0, error_at=lambda iteration: 50.0)
    assert "held-out" not in draw(made_up, made_up.plan(), "curves").note


def test_a_panel_has_as_many_lines_as_there_are_colours(made_up: MadeUp, declare: Declare) -> None:
    experiment = made_up.experiment.model_copy(update={"figures": []})
    panels = default_panels(experiment)
    assert [(panel.title, len(panel.cells)) for panel in panels] == [("Part 1 of 2", 6), ("Part 2 of 2", 5)]
    seven = experiment.model_copy(update={"rows": experiment.rows[:7]})
    assert [len(panel.cells) for panel in default_panels(seven)] == [4, 3]
    (alone,) = default_panels(experiment.model_copy(update={"rows": experiment.rows[:3]}))
    assert alone.title == "All rows"
    assert default_panels(declare(declared.RESPONSES).experiment) == []


def test_lines_of_two_columns(declare: Declare) -> None:
    made_up = declare(declared.UNITS)
    made_up.run("c100_1001/old", 27.0)
    shown = set(texts(draw(made_up, made_up.plan(), "fig1")))
    assert {"ResNet-1001", "baseline unit, n = 1/1", "pre-activation unit: no run yet"} <= shown
    without = declare(declared.UNITS, replacements={"network.depth=1001": None})
    assert "pre-activation unit: not at this scale" in texts(draw(without, without.plan("small"), "fig1"))


V1_CURVES = {
    "v1_fig6left__plain20_train": {10_000: 20.0, 64_000: 1.5},
    "v1_fig6left__plain20_test": {1_500: 20.01, 64_000: 9.5},
    "v1_fig6right__resnet20_test": {5_000: 20.0, 64_000: 8.5},
}


def test_errors_are_drawn_on_one_axis(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS + declared.FIGURE_6)
    made_up.run(
        "d20/plain", 9.5, error_at=lambda i: 60 - i / 40, train_error_at=lambda i: 55 - i / 40, loss=lambda i: 1e9
    )
    left, right = all_axes(draw(made_up, made_up.plan(), "fig6"))
    assert (left.get_yscale(), left.get_ylabel()) == ("linear", "error (%)")
    (train_style, _, train), (test_style, _, test) = curves(left)
    assert (train_style, train[0]) == ("--", 55 - 50 / 40)
    assert (test_style, test) == ("-", [47.5, 35.0, 22.5, 9.5])
    assert left.lines[0].get_linewidth() < left.lines[1].get_linewidth()
    assert left.get_ylim() == right.get_ylim() == (0.0, 60.0)


def test_the_papers_errors_are_on_its_own_axis_and_pale(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS + declared.FIGURE_6, V1_CURVES)
    made_up.run("d20/plain", 9.5, scale="paper", error_at=lambda i: 90.0)
    chart = draw(made_up, made_up.plan("paper"), "fig6")
    left = all_axes(chart)[0]
    papers = {tuple(y): style for style, x, y in curves(left) if len(x) == 2}
    assert papers == {(20.0, 1.5): "--", (20.01, 9.5): "-"}
    pale = [line.get_alpha() for line in left.lines if len(np.asarray(line.get_xdata())) == 2]
    assert all(alpha is not None and alpha < 1 for alpha in pale)
    assert left.get_ylim() == (0, 20)
    assert "the paper’s" in chart.note
    early = all_axes(draw(made_up, made_up.plan("early"), "fig6"))[0]
    assert [y for _, x, y in curves(early) if len(x) == 1] == [[20.01]]
    assert "the paper’s" not in draw(made_up, made_up.plan("small"), "fig6").note


def check_places(chart: Chart) -> None:
    """Check that each panel's title, legend and axes lie below each other and inside the panel."""
    chart.figure.draw_without_rendering()
    for panel in chart.figure.subfigs:
        (legend,), (title, *_) = panel.legends, panel.texts
        box = legend.get_window_extent()
        assert panel.axes[0].get_window_extent().y1 < box.y0 < box.y1 < title.get_window_extent().y0 + 1
        assert panel.bbox.x0 <= box.x0 < box.x1 <= panel.bbox.x1
        assert panel.bbox.y0 < panel.axes[0].xaxis.label.get_window_extent().y0


def test_a_long_name_in_a_legend_stays_in_its_panel(declare: Declare) -> None:
    long = (
        "WWW the gate: two 3×3 convolutions with BN, whose bias is β of the second one, and a ReLU before the sum" * 2
    )
    made_up = declare(declared.DEPTHS.replace('labels: ["20"]', f'labels: ["{long}"]') + declared.FIGURE_6)
    chart = draw(made_up, made_up.plan(), "fig6")
    check_places(chart)
    (name, *_), _ = ([text.get_text() for text in panel.legends[0].get_texts()] for panel in chart.figure.subfigs)
    assert long in name.replace("\n", " ")


def test_names_and_titles_do_not_overlap(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS + declared.FIGURE_6)
    for depth in (20, 32, 44, 56, 110):
        made_up.run(f"d{depth}/plain", 9.5)
    chart = draw(made_up, made_up.plan(), "fig6")
    check_places(chart)
    left, _ = chart.figure.subfigs
    assert len({line.get_color() for line in left.axes[0].lines}) == 5
    names = [text.get_text() for text in left.legends[0].get_texts()]
    assert names == [f"depth = {depth}, n = 1/1" for depth in (20, 32, 44, 56, 110)]
    assert [handle.get_marker() for handle in left.legends[0].legend_handles] == list(MARKERS[:5])  # type: ignore[union-attr]


RESPONSES = {"fig7__plain20": {1: 1.0, 2: 3.0, 3: 2.0}}


def test_responses_by_layer_and_by_size(declare: Declare) -> None:
    made_up = declare(declared.RESPONSES, RESPONSES)
    for seed, values in enumerate(([1.0, 0.5, 2.0], [1.5, 0.25, 3.0], [5.0, 1.0, 4.0])):
        made_up.run("plain20/mean", seed=seed, metrics={"response_mean": 1.0}, responses=values)
    chart = draw(made_up, made_up.plan(seeds=(0, 1, 2)), "fig7")
    original, ranked = all_axes(chart)
    assert [(x, y) for _, x, y in curves(original)] == [([1, 2, 3], [1.5, 0.5, 3.0])]
    # Each seed's own layers are ranked, before the median is taken.
    assert [y for _, _, y in curves(ranked)] == [[3.0, 1.5, 0.5]]
    assert (original.get_xlabel(), ranked.get_xlabel()) == ("layer index", "layer index (sorted by magnitude)")
    assert original.get_ylim()[0] == 0
    assert {"plain-20, n = 3/3", "ResNet-20: no run yet"} <= set(texts(chart))
    assert marks(original)[0][3] == "plain-20: standard deviation of each layer’s response 1.5 at layer 1 (3 runs)"


def test_the_papers_responses_at_its_own_scale_alone(declare: Declare) -> None:
    made_up = declare(declared.RESPONSES, RESPONSES)
    original, ranked = all_axes(draw(made_up, made_up.plan("paper"), "fig7"))
    assert [y for _, _, y in curves(original)] == [[1.0, 3.0, 2.0]]
    assert [y for _, _, y in curves(ranked)] == [[3.0, 2.0, 1.0]]
    assert curves(all_axes(draw(made_up, made_up.plan("early"), "fig7"))[0]) == []


def test_a_longer_runs_responses_serve_nobody(declare: Declare) -> None:
    made_up = declare(declared.RESPONSES)
    made_up.run("plain20/mean", scale="paper", error_at=lambda _: 40.0, responses=[1.0, 2.0])
    assert curves(all_axes(draw(made_up, made_up.plan("early"), "fig7"))[0]) == []


def test_the_numbers_behind_the_curves(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1))
    keys = [
        made_up.run("original", error, seed, error_at=lambda i: 50.0, loss=lambda i: 2 - i / 1000).key
        for seed, error in enumerate((4.0, 6.0))
    ]
    assert len(set(keys)) == 2
    chart = draw(made_up, plan)
    assert chart.headings == ("curve", "shows", "at 360", "at 720", "at 1,080", "at 1,440", "at 1,800")
    first, second = chart.rows[:2]
    assert (first.label, first.to) == (
        "Constant scaling (0.5, 0.5): original",
        "#cell:shortcuts-quick:original:error",
    )
    assert first.texts == ("training loss", "1.65", "1.35", "0.95", "0.65", "0.25")
    assert second.texts == ("test error", "", "50 %", "50 %", "50 %", "5 % (4–6)")
