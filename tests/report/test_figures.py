import numpy as np
from made_up import MadeUp
from matplotlib.figure import Figure as Drawing

from resnet_ablations.report import figures
from resnet_ablations.report.cells import cells_of
from resnet_ablations.report.lines import Results, lines_of
from resnet_ablations.report.plans import runs_of
from resnet_ablations.results.frames import load_curves, load_responses, load_results
from resnet_ablations.results.sweeps import SweepPlan


def results_of(made_up: MadeUp, plan: SweepPlan) -> Results:
    curves = load_curves(made_up.path)
    return Results(runs_of(plan, load_results(made_up.path), curves), curves, load_responses(made_up.path))


def draw(made_up: MadeUp, plan: SweepPlan, whole: str = "fig3") -> Drawing:
    results = results_of(made_up, plan)
    cells = cells_of(plan, made_up.experiment, results.runs)
    return figures.draw(figures.wholes(made_up.experiment)[whole], plan, made_up.experiment, cells, results)


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


