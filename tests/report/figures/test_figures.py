import declared
import matplotlib.style
import numpy as np
import pytest
from made_up import Declare, MadeUp
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from resnet_ablations.errors import UserError
from resnet_ablations.report.cells.cell import cells_of
from resnet_ablations.report.cells.folder import Results
from resnet_ablations.report.cells.plans import runs_of
from resnet_ablations.report.figures import layout
from resnet_ablations.report.figures.files import STYLE
from resnet_ablations.report.figures.lines import figures_of, lines_of
from resnet_ablations.results.frames import load_curves, load_responses, load_results
from resnet_ablations.results.sweeps import SweepPlan


def results_of(made_up: MadeUp, plan: SweepPlan) -> Results:
    curves = load_curves(made_up.path)
    return Results(runs_of(plan, load_results(made_up.path), curves), curves, load_responses(made_up.path))


def draw(made_up: MadeUp, plan: SweepPlan, whole: str = "fig3") -> Drawing:
    results = results_of(made_up, plan)
    cells = cells_of(plan, made_up.experiment, results.runs)
    with matplotlib.style.context(STYLE, after_reset=True):
        by_name = {figure.name: figure for figure in figures_of(plan, made_up.experiment, cells, results)}
        figure = layout.draw(by_name[whole], plan)
        figure.draw_without_rendering()
    return figure


def texts(figure: Drawing) -> str:
    titles = [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center")]
    legends = [axes.get_legend() for axes in figure.axes]
    labels = [text.get_text() for legend in legends if legend for text in legend.get_texts()]
    labels += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join([*titles, *labels, *(text.get_text() for axes in figure.axes for text in axes.texts)])


def test_four_panels_with_nothing_to_show_say_so(made_up: MadeUp) -> None:
    figure = draw(made_up, made_up.plan())
    assert len(figure.axes) == 8
    text = texts(figure)
    assert text.count("no run yet") == 4 * 3
    assert "(a) Constant scaling" in text
    assert "(b) Exclusive gating ($b_g$ = −6)" in text
    assert "the paper’s" not in text


def test_loss_is_dashed_on_a_log_axis_and_error_solid(made_up: MadeUp) -> None:
    plan = made_up.plan()
    made_up.run("original", 4.0, error_at=lambda iteration: 50 - iteration / 100, loss=lambda i: 2 - i / 1000)
    figure = draw(made_up, plan)
    loss_axes, error_axes = figure.axes[:2]
    assert loss_axes.get_yscale() == "log"
    assert error_axes.get_yscale() == "linear"
    (loss,), (error,) = loss_axes.lines, error_axes.lines
    assert (loss.get_linestyle(), error.get_linestyle()) == ("--", "-")
    assert np.asarray(loss.get_xdata()).tolist()[:2] == [50.0, 150.0]
    assert np.asarray(error.get_xdata()).tolist() == [500, 1000, 1500, 1800]
    assert np.asarray(error.get_ydata())[-1] == 4.0
    assert "original, n = 1/1" in texts(figure)
    assert "constant scaling: no run yet" in texts(figure)
    assert "\nno run yet" not in texts(figure)


def test_the_papers_curves_and_axes_at_its_own_scale(made_up: MadeUp) -> None:
    figure = draw(made_up, made_up.plan("paper", seeds=(0, 1)))
    loss_axes, error_axes = figure.axes[:2]
    assert loss_axes.get_ylim() == (0.002, 2.0)
    assert error_axes.get_ylim() == (0.0, 20.0)
    assert loss_axes.get_xlim()[1] > 68_000
    assert len(loss_axes.lines) == len(error_axes.lines) == 2
    assert {"the paper’s original", "the paper’s variant", "all seeds"} <= set(texts(figure).splitlines())


def test_the_papers_curves_end_where_the_early_scale_does(made_up: MadeUp) -> None:
    figure = draw(made_up, made_up.plan("early"))
    loss_axes = figure.axes[0]
    assert loss_axes.get_xlim() == (0, 2_000)
    assert np.asarray(loss_axes.lines[0].get_xdata()).max() <= 2_000
    low, high = loss_axes.get_ylim()
    assert 0.5 < low < high < 3


def test_a_serving_run_is_drawn_as_far_as_the_early_scale_goes(made_up: MadeUp) -> None:
    plan = made_up.plan("early")
    made_up.run("original", 6.6, scale="paper", error_at=lambda iteration: 40.0)
    results = results_of(made_up, plan)
    cells = cells_of(plan, made_up.experiment, results.runs)
    original = lines_of(made_up.experiment.figures[0], plan, made_up.experiment, cells, results)[0]
    assert original.ours["train_loss"].index.max() == 1_950
    assert original.ours["test_error"].index.tolist() == [500, 1_000, 1_500, 2_000]


def curves(axes: Axes) -> list[tuple[str, float, list[float]]]:
    """Style, width and values of each line of an axes."""
    return [(line.get_linestyle(), line.get_linewidth(), np.asarray(line.get_ydata()).tolist()) for line in axes.lines]


def test_panels_with_one_number_are_one_figure(made_up: MadeUp, declare: Declare) -> None:
    def panels_of(made_up: MadeUp) -> dict[str, list[str]]:
        plan = made_up.plan()
        results = results_of(made_up, plan)
        cells = cells_of(plan, made_up.experiment, results.runs)
        made = figures_of(plan, made_up.experiment, cells, results)
        return {figure.name: [panel.id for panel in figure.panels] for figure in made}

    assert panels_of(made_up) == {"fig3": ["fig3a", "fig3b", "fig3c", "fig3d"]}
    text = declared.PLACEMENTS + "  - {id: fig1, title: ResNet-1001, cells: [pre/r110]}\n"
    assert panels_of(declare(text)) == {"fig6": ["fig6left", "fig6right"], "fig1": ["fig1"]}


def test_the_panels_of_one_figure_are_of_one_kind(declare: Declare) -> None:
    text = declared.PLACEMENTS + "  - {id: fig6middle, title: Errors, kind: errors, cells: [pre/r110]}\n"
    with pytest.raises(UserError, match="figure fig6left has another kind than the other panels of fig6"):
        declare(text)


def test_lines_of_two_columns(declare: Declare) -> None:
    made_up = declare(declared.UNITS)
    made_up.run("c100_1001/old", 27.0)
    figure = draw(made_up, made_up.plan(), "fig1")
    assert "(a)" not in texts(figure)
    assert {"ResNet-1001", "baseline unit, n = 1/1", "pre-activation unit: no run yet"} <= set(
        texts(figure).splitlines()
    )
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
    left, right = draw(made_up, made_up.plan(), "fig6").axes
    assert (left.get_yscale(), left.get_ylabel(), right.get_ylabel()) == ("linear", "error (%)", "")
    (train_style, train_width, train), (test_style, test_width, test) = curves(left)
    assert (train_style, train[0]) == ("--", 55 - 50 / 40)
    assert (test_style, test) == ("-", [47.5, 35.0, 22.5, 9.5])
    assert train_width < test_width
    assert left.get_ylim() == right.get_ylim() == (0.0, 60.0)


def test_the_papers_errors_lie_behind_ours_on_its_own_axis(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS + declared.FIGURE_6, V1_CURVES)
    made_up.run("d20/plain", 9.5, scale="paper", error_at=lambda i: 90.0)
    figure = draw(made_up, made_up.plan("paper"), "fig6")
    left = figure.axes[0]
    papers = {tuple(values): style for style, _, values in curves(left) if len(values) == 2}
    assert papers == {(20.0, 1.5): "--", (20.01, 9.5): "-"}
    behind = [line.get_zorder() for line in left.lines if len(np.asarray(line.get_xdata())) == 2]
    assert max(behind) < min(line.get_zorder() for line in left.lines if len(np.asarray(line.get_xdata())) > 2)
    assert left.get_ylim() == (0, 20)
    assert "the paper’s, in paler colours" in texts(figure)
    early = draw(made_up, made_up.plan("early"), "fig6").axes[0]
    assert [values for _, _, values in curves(early) if len(values) == 1] == [[20.01]]
    assert "the paper’s" not in texts(draw(made_up, made_up.plan("small"), "fig6"))


def test_five_lines_have_five_colours_and_names_that_do_not_overlap(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS + declared.FIGURE_6)
    for depth in (20, 32, 44, 56, 110):
        made_up.run(f"d{depth}/plain", 9.5)
    figure = draw(made_up, made_up.plan(), "fig6")
    left, right = figure.axes
    assert len({line.get_color() for line in left.lines}) == 5
    legends = [axes.get_legend() for axes in (left, right)]
    assert all(legends)
    assert [text.get_text() for text in legends[0].get_texts()] == [  # type: ignore[union-attr]
        f"depth = {depth}, n = 1/1" for depth in (20, 32, 44, 56, 110)
    ]
    boxes = [legend.get_window_extent() for legend in legends if legend]
    assert boxes[0].x1 < boxes[1].x0
    titles = [axes._left_title.get_window_extent() for axes in (left, right)]  # type: ignore[attr-defined]
    assert all(title.y0 > box.y1 for title, box in zip(titles, boxes, strict=True))
    assert max(title.y1 for title in titles) < figure.bbox.y1
    key = figure.legends[0].get_window_extent()
    assert key.y1 < min(axes.xaxis.label.get_window_extent().y0 for axes in (left, right))


RESPONSES = {"fig7__plain20": {1: 1.0, 2: 3.0, 3: 2.0}}


def test_responses_by_layer_and_by_size(declare: Declare) -> None:
    made_up = declare(declared.RESPONSES, RESPONSES)
    for seed, values in enumerate(([1.0, 0.5, 2.0], [1.5, 0.25, 3.0], [5.0, 1.0, 4.0])):
        made_up.run("plain20/mean", seed=seed, metrics={"response_mean": 1.0}, responses=values)
    figure = draw(made_up, made_up.plan(seeds=(0, 1, 2)), "fig7")
    original, ranked = figure.axes
    assert [values for _, _, values in curves(original)] == [[1.5, 0.5, 3.0]]
    assert np.asarray(original.lines[0].get_xdata()).tolist() == [1, 2, 3]
    # Each seed's own layers are ranked, before the median is taken.
    assert [values for _, _, values in curves(ranked)] == [[3.0, 1.5, 0.5]]
    assert (original.get_xlabel(), ranked.get_xlabel()) == ("layer index", "layer index (sorted by magnitude)")
    assert original.get_ylim()[0] == 0
    assert {"plain-20, n = 3/3", "ResNet-20: no run yet", "all seeds"} <= set(texts(figure).splitlines())


def test_the_papers_responses_at_its_own_scale_alone(declare: Declare) -> None:
    made_up = declare(declared.RESPONSES, RESPONSES)
    original, ranked = draw(made_up, made_up.plan("paper"), "fig7").axes
    assert [values for _, _, values in curves(original)] == [[1.0, 3.0, 2.0]]
    assert [values for _, _, values in curves(ranked)] == [[3.0, 2.0, 1.0]]
    assert draw(made_up, made_up.plan("early"), "fig7").axes[0].lines[:] == []


def test_a_longer_runs_responses_serve_nobody(declare: Declare) -> None:
    made_up = declare(declared.RESPONSES)
    made_up.run("plain20/mean", scale="paper", error_at=lambda _: 40.0, responses=[1.0, 2.0])
    assert draw(made_up, made_up.plan("early"), "fig7").axes[0].lines[:] == []
