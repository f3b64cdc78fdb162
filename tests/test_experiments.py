"""experiments/shortcuts.yaml beside a second entry of Table 1, and the digitised curves of every experiment."""

from collections.abc import Callable
from functools import cache

import pytest

from resnet_ablations.experiments import (
    CurveQuantity,
    experiment_names,
    load_experiment,
    paper_curve,
    paper_responses,
)
from resnet_ablations.sweep.planning import Plan, plan

TABLE_1 = [
    # case, Fig., on shortcut, on F, error, remark; v2, Table 1, entered a second time
    ("original", "2a", "1", "1", 6.61, ""),
    ("constant scaling", "2b", "0", "1", "fail", "This is a plain net"),
    ("constant scaling", "2b", "0.5", "1", "fail", ""),
    ("constant scaling", "2b", "0.5", "0.5", 12.35, "frozen gating"),
    ("exclusive gating", "2c", "1−g(x)", "g(x)", "fail", "init b_g = 0 to −5"),
    ("exclusive gating", "2c", "1−g(x)", "g(x)", 8.70, "init b_g = −6"),
    ("exclusive gating", "2c", "1−g(x)", "g(x)", 9.81, "init b_g = −7"),
    ("shortcut-only gating", "2d", "1−g(x)", "1", 12.86, "init b_g = 0"),
    ("shortcut-only gating", "2d", "1−g(x)", "1", 6.91, "init b_g = −6"),
    ("1×1 conv shortcut", "2e", "1×1 conv", "1", 12.22, ""),
    ("dropout shortcut", "2f", "dropout 0.5", "1", "fail", ""),
]

SHORTCUTS_OF_TABLE_1: list[list[tuple[str, dict[str, float]]]] = [
    # what each of those rows is, as the class and the settings that its label speaks of
    [("Identity", {})],
    [("ConstantScaling", {"shortcut_scale": 0, "residual_scale": 1})],
    [("ConstantScaling", {"shortcut_scale": 0.5, "residual_scale": 1})],
    [("ConstantScaling", {"shortcut_scale": 0.5, "residual_scale": 0.5})],
    [("ExclusiveGating", {"gate_bias": bias}) for bias in (0, -1, -2, -3, -4, -5)],
    [("ExclusiveGating", {"gate_bias": -6})],
    [("ExclusiveGating", {"gate_bias": -7})],
    [("ShortcutOnlyGating", {"gate_bias": 0})],
    [("ShortcutOnlyGating", {"gate_bias": -6})],
    [("Conv1x1", {})],
    [("Dropout", {"rate": 0.5})],
]

FIG_3 = {
    # panel: its title's subject, the rows it shows, the stem of their digitised curves
    "fig3a": [("original", "110_original"), ("constant scaling", "110_const_scaling_0.5_0.5")],
    "fig3b": [("original", "110_original"), ("exclusive gating", "110_exclusive_gating_b-6")],
    "fig3c": [("original", "110_original"), ("shortcut-only gating", "110_shortcut_only_gating_b0")],
    "fig3d": [("original", "110_original"), ("1×1 conv shortcut", "110_conv1x1")],
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Plan]:
    """The plan of shortcuts.yaml at a scale, each made once."""
    data = tmp_path_factory.mktemp("data")
    return cache(lambda scale: plan(["experiment=shortcuts", f"scale={scale}", f"paths.data={data}"]))


def test_table_1_is_entered_as_printed() -> None:
    experiment = load_experiment("shortcuts")
    assert experiment.headings == ["case", "Fig.", "on shortcut", "on F"]
    entered = [(*row.labels, cell.printed, row.remark) for row, _, cell in experiment.cells()]
    assert entered == TABLE_1
    assert [column.metric for column in experiment.columns] == ["test_error"]
    assert experiment.baseline == "first_row"


def test_fig_3s_panels_and_curves() -> None:
    experiment = load_experiment("shortcuts")
    cells = {
        f"{row.id}/error": (row.labels[0], (cell.curve or "").partition("__")[2]) for row, _, cell in experiment.cells()
    }
    shown = {
        figure.id: [cells[experiment.full_cell_id(cell)] for cell in figure.cells] for figure in experiment.figures
    }
    assert shown == FIG_3
    assert {figure.kind for figure in experiment.figures} == {"loss_and_error"}


@pytest.mark.parametrize("name", experiment_names())
def test_every_curve_that_is_named_is_there(name: str) -> None:
    for _, column, cell in load_experiment(name).cells():
        if cell.curve is None:
            continue
        errors, responses = paper_curve(cell.curve, "test_error"), paper_responses(cell.curve)
        assert (errors is None) != (responses is None), cell.curve
        if errors is not None:
            assert errors.index.is_monotonic_increasing
            assert errors.index[-1] > 60_000
            assert errors.between(0, 70).all()
            expected = cell.digitised if cell.printed is None else cell.printed
            if (cell.metric or column.metric) == "test_error" and expected is not None:
                # A digitised curve ends where the table says, so that a row cannot show another row's curve.
                assert errors.iloc[-3:].median() == pytest.approx(expected, abs=0.35)


def test_the_curves_of_table_1_have_losses() -> None:
    curves = [cell.curve for _, _, cell in load_experiment("shortcuts").cells() if cell.curve is not None]
    assert len(curves) == 5
    for curve in curves:
        losses, errors = paper_curve(curve, "train_loss"), paper_curve(curve, "test_error")
        assert losses is not None
        assert errors is not None
        assert losses.index.is_monotonic_increasing
        assert losses.index[-1] > 60_000
        assert losses.between(0.001, 3).all()
        assert errors.between(0, 30).all()


@pytest.mark.parametrize(
    ("curve", "quantity", "first", "last"),
    [
        # v2: the file is the curve's name and the quantity's; the training error is not shown
        ("fig3d_conv1x1__110_conv1x1", "train_loss", (728, 2.01361), (68059, 0.05393)),
        ("fig3d_conv1x1__110_conv1x1", "test_error", (20641, 20.0), (68059, 12.444)),
        ("fig3d_conv1x1__110_conv1x1", "train_error", None, None),
        # v1: no loss; on ImageNet validation stands for test
        ("v1_fig6left__plain20", "train_error", (3855, 20.001), (64133, 1.445)),
        ("v1_fig6left__plain20", "test_error", (4021, 20.001), (64133, 9.686)),
        ("v1_fig6left__plain20", "train_loss", None, None),
        ("v1_fig4right__resnet34", "train_error", (16570, 62.98), (551091, 24.782)),
        ("v1_fig4right__resnet34", "test_error", (13732, 62.98), (551091, 28.213)),
        ("v1_fig4right__resnet34", "train_loss", None, None),
        # others: no such figure, and the responses of Fig. 7, which are no curve over iterations
        ("fig9__110_conv1x1", "test_error", None, None),
        ("v1_fig7original__plain20", "test_error", None, None),
        ("v1_fig7original__plain20", "train_loss", None, None),
    ],
)
def test_a_paper_curve_is_a_quantity_by_iteration(
    curve: str, quantity: CurveQuantity, first: tuple[int, float] | None, last: tuple[int, float] | None
) -> None:
    series = paper_curve(curve, quantity)
    if series is None:
        assert first is None
    else:
        assert ((series.index[0], series.iloc[0]), (series.index[-1], series.iloc[-1])) == (first, last)
        assert series.index.is_monotonic_increasing
        assert series.dtype == "float64"


def test_paper_responses_are_by_layer() -> None:
    responses = paper_responses("v1_fig7original__plain20")
    assert responses is not None
    assert responses.index.tolist() == list(range(1, 20)), "as many layers as a 20-layer net has 3×3 convolutions"
    assert (responses.loc[1], responses.loc[2]) == (2.065, 2.015)
    for other in ("v1_fig7original__resnet1202", "v1_fig6left__plain20", "fig3d_conv1x1__110_conv1x1"):
        assert paper_responses(other) is None


@pytest.mark.parametrize("scale", ["quick", "small", "early", "paper"])
def test_every_scale_has_the_rows_as_16_configurations(planned: Callable[[str], Plan], scale: str) -> None:
    record = planned(scale).record
    assert record is not None
    assert {tuple(cells) for cells in record.cells.values()} == {("error",)}
    names = [name for cells in record.cells.values() for name in cells["error"]]
    assert len(names) == len(set(names)) == len(record.configurations) == 16
    assert list(record.cells) == [row.id for row in load_experiment("shortcuts").rows]
    shortcuts = [
        [record.configurations[name].config["shortcut"] for name in cells["error"]] for cells in record.cells.values()
    ]
    for row, expected in zip(shortcuts, SHORTCUTS_OF_TABLE_1, strict=True):
        assert [shortcut["_target_"].rpartition(".")[2] for shortcut in row] == [kind for kind, _ in expected]
        for shortcut, (_, settings) in zip(row, expected, strict=True):
            assert {name: shortcut[name] for name in settings} == settings


def test_the_caption_of_table_1_says_which_units_have_no_gate(planned: Callable[[str], Plan]) -> None:
    record, caption = planned("quick").record, load_experiment("shortcuts").caption
    assert record is not None
    units = [one.config["shortcut"]["varied_units"] for one in record.configurations.values()]
    assert f"({units.count('same_shape')} of the {len(units)} configurations;" in caption


@pytest.mark.parametrize("scale", ["quick", "small", "early", "paper"])
def test_nothing_but_the_shortcut_differs_between_the_rows(planned: Callable[[str], Plan], scale: str) -> None:
    scientific = [job.config.scientific for job in planned(scale).jobs]
    others = [{n: v for n, v in tree.items() if n not in ("shortcut", "seed")} for tree in scientific]
    assert all(other == others[0] for other in others)


def test_the_papers_scale_is_the_papers(planned: Callable[[str], Plan]) -> None:
    """ResNet-110 on CIFAR-10: 64k iterations of 128, of which batch normalisation sees 64; five seeds; float32."""
    jobs = planned("paper").jobs
    assert len(jobs) == 16 * 5
    assert {job.config.seed for job in jobs} == {0, 1, 2, 3, 4}
    tree = jobs[0].config.scientific
    assert (tree["network"]["depth"], tree["network"]["dimension_change"]) == (110, "zero_pad")
    assert tree["data"]["_target_"] == "resnet_ablations.data.sources.Cifar10"
    assert tree["data"]["augmentation"] == {"pad": 4, "flip": True}
    assert tree["data"]["normalisation"] == "per_pixel_mean"
    assert (tree["precision"], tree["bn_batch"]) == ("32-true", 64)
    assert tree["schedule"] | {"log_every": None, "evaluate_every": None} == {
        "iterations": 64_000,
        "batch_size": 128,
        "learning_rate": 0.1,
        "milestones": [32_000, 48_000],
        "decay_factor": 10,
        "warmup_iterations": 400,
        "warmup_learning_rate": 0.01,
        "warmup_until_error": None,
        "momentum": 0.9,
        "momentum_form": "caffe",
        "nesterov": False,
        "weight_decay": 0.0001,
        "weight_decay_on": "all",
        "log_every": None,
        "evaluate_every": None,
    }


def test_early_is_the_beginning_of_the_papers(planned: Callable[[str], Plan]) -> None:
    paper = {job.config.key: job.config.scientific for job in planned("paper").jobs}
    jobs = planned("early").jobs
    assert len(jobs) == 16
    for job in jobs:
        assert job.served_by is not None
        longer, shorter = paper[job.served_by], job.config.scientific
        assert longer["schedule"]["iterations"] == 64_000
        assert shorter == longer | {"schedule": longer["schedule"] | {"iterations": 2000}}


@pytest.mark.parametrize(("scale", "precision"), [("quick", "32-true"), ("small", "bf16-mixed")])
def test_the_smaller_scales(planned: Callable[[str], Plan], scale: str, precision: str) -> None:
    """ResNet-56, one seed, the learning rate cut at a half and three quarters as in the paper."""
    jobs = planned(scale).jobs
    assert len(jobs) == 16
    run = jobs[0].config
    assert (run.network.depth, run.seed, run.precision) == (56, 0, precision)
    cuts = [milestone / run.schedule.iterations for milestone in run.schedule.milestones]
    assert cuts == pytest.approx([0.5, 0.75], abs=0.01)


def test_small_is_ten_epochs_of_cifar10(planned: Callable[[str], Plan]) -> None:
    schedule = planned("small").jobs[0].config.schedule
    assert schedule.iterations * schedule.batch_size == pytest.approx(10 * 50_000, rel=0.01)
