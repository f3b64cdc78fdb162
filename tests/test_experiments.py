"""experiments/*.yaml: against a second entry of the papers' numbers, and what a broken file is answered."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet_ablations import experiments
from resnet_ablations.errors import UserError
from resnet_ablations.experiments import EXPERIMENTS, experiment_names, load_experiment, paper_curve
from resnet_ablations.sweep.plan import Plan, plan

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
    rows = load_experiment("shortcuts").rows
    entered = [(r.case, r.panel, r.on_shortcut, r.on_residual, r.printed, r.remark) for r in rows]
    assert entered == TABLE_1


def test_fig_3s_panels_and_curves() -> None:
    experiment = load_experiment("shortcuts")
    shown = {
        figure.id: [
            (experiment.row(row_id).case, (experiment.row(row_id).curve or "").partition("__")[2])
            for row_id in figure.rows
        ]
        for figure in experiment.figures
    }
    assert shown == FIG_3


@pytest.mark.parametrize("name", experiment_names())
def test_every_curve_that_is_named_is_there(name: str) -> None:
    for row in load_experiment(name).rows:
        if row.curve is not None:
            losses, errors = paper_curve(row.curve, "trainloss"), paper_curve(row.curve, "testerr")
            assert losses.index.is_monotonic_increasing
            assert losses.index[-1] > 60_000
            assert losses.between(0.001, 3).all()
            assert errors.between(0, 30).all()
            # A digitised curve ends where the table says, so that a row cannot show another row's curve.
            assert errors.iloc[-3:].median() == pytest.approx(row.printed, abs=0.35)


@pytest.mark.parametrize("scale", ["quick", "small", "early", "paper"])
def test_every_scale_has_the_rows_as_16_configurations(planned: Callable[[str], Plan], scale: str) -> None:
    record = planned(scale).record
    assert record is not None
    names = [name for row in record.rows.values() for name in row]
    assert len(names) == len(set(names)) == len(record.configurations) == 16
    assert list(record.rows) == [row.id for row in load_experiment("shortcuts").rows]
    shortcuts = [
        [record.configurations[name].config["shortcut"] for name in configurations]
        for configurations in record.rows.values()
    ]
    for row, expected in zip(shortcuts, SHORTCUTS_OF_TABLE_1, strict=True):
        assert [shortcut["_target_"].rpartition(".")[2] for shortcut in row] == [kind for kind, _ in expected]
        for shortcut, (_, settings) in zip(row, expected, strict=True):
            assert {name: shortcut[name] for name in settings} == settings


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
        "warmup_iterations": 400,
        "warmup_learning_rate": 0.01,
        "momentum": 0.9,
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


VALID = yaml.safe_load((EXPERIMENTS / "shortcuts.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads an experiment file with that content and returns the messages it is refused with."""
    monkeypatch.setattr(experiments, "EXPERIMENTS", tmp_path)

    def refused(content: bytes | dict[str, Any]) -> tuple[str, ...]:
        path = tmp_path / "broken.yaml"
        path.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
        with pytest.raises(UserError) as error:
            load_experiment("broken")
        assert all(str(path) in message for message in error.value.messages)
        return error.value.messages

    return refused


def row(**changes: Any) -> dict[str, Any]:
    return VALID["rows"][0] | changes


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"title": None}, "title"),
        ({"rows": []}, "rows"),
        ({"rows": [row(), row()], "figures": []}, "same id"),
        ({"rows": [row(printed="failed")], "figures": []}, "printed"),
        ({"rows": [row(configurations=[])], "figures": []}, "configurations"),
        ({"rows": [row(overrides=[])], "figures": []}, "overrides"),
        ({"figures": [{"id": "fig9", "title": "", "rows": ["nobody"]}]}, "nobody"),
        ({"scales": {"huge": {"seeds": [0]}}}, "huge"),
        ({"scales": {"quick": {"seeds": []}}}, "seeds"),
        ({"scales": {"early": {"seeds": [0], "prefix_of": "paper", "iterations": 5}}}, "paper"),
        ({"scales": {"early": {"seeds": [0], "prefix_of": "early"}}}, "prefix_of"),
    ],
)
def test_a_broken_experiment_is_named(broken: Any, changes: dict[str, Any], named: str) -> None:
    assert any(named in message for message in broken(VALID | changes))


def test_several_mistakes_are_named_together(broken: Any) -> None:
    messages = broken(VALID | {"colour": "red", "rows": [row(printed="failed"), row(id=3)]})
    assert len(messages) >= 3


@pytest.mark.parametrize(
    "content",
    [b"", b"- a\n- list\n", b"title: [unfinished\n", b"just text", b"name: other\n", b"title: \xff\xfe\n"],
)
def test_a_file_that_is_no_mapping(broken: Any, content: bytes) -> None:
    assert len(broken(content)) >= 1


def test_an_unknown_experiment_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"experiment=shortcut: .*shortcuts"):
        load_experiment("shortcut")
    with pytest.raises(UserError, match=r"experiment=\.\./conf/train"):
        load_experiment("../conf/train")
