"""Lesions and paths in the report: what is shown is what was measured, and a sweep without them shows nothing."""

import math

import declared
import pytest
from made_up import Declare, MadeUp

from resnet_ablations.report.figures.chart import paper_style
from resnet_ablations.report.frame import ReportData, Sweep, read_report_data
from resnet_ablations.report.theory.lesion_tables import lesion_charts, lesion_table, lesions_table
from resnet_ablations.report.theory.measured import measurements
from resnet_ablations.report.write_report import OWN_FILES
from resnet_ablations.results.lesions import Lesion, PathGradient, lesions_text, path_gradients_text
from resnet_ablations.results.run_folder import RunFolder

UNITS = 12


def measured(folder: RunFolder, error: float, per_unit: float, one_path: float) -> None:
    """Write lesions that cost `per_unit` points a unit; two draws differ by 2 points; a swap costs half a point."""
    rows = [(Lesion("none", 0, None, (), None), error)]
    rows += [(Lesion("deleted", 1, None, (unit,), None), error + per_unit * unit) for unit in range(1, UNITS + 1)]
    for draw in (1, 2):
        rows += [(Lesion("deleted", k, draw, (1,) * k, None), error + per_unit * k + 2 * draw) for k in (2, 10)]
        rows += [(Lesion("shuffled", k, draw, (1,), 0.5), error + 0.5 * k) for k in (1, 10)]
    folder.lesions.write_text(lesions_text(rows))
    gradients = [PathGradient(k, math.comb(UNITS, k), one_path**k, float(k == 3)) for k in range(UNITS + 1)]
    folder.path_gradients.write_text(path_gradients_text(gradients))


def read(made_up: MadeUp) -> tuple[Sweep, ReportData]:
    data = read_report_data(made_up.path)
    return data.sweeps[0], data


@pytest.fixture
def trained(made_up: MadeUp) -> MadeUp:
    made_up.plan(seeds=(0, 1))
    for seed in (0, 1):
        measured(made_up.run("original", 3.0, seed), 3.0, 0.25, one_path=1.0)
    measured(made_up.run("constant_scaling_0.5_1", 20.0), 20.0, 5.0, one_path=3.0)
    made_up.run("constant_scaling_0.5_1", 20.0, 1)
    made_up.run("conv1x1", 4.0)
    return made_up


def test_the_table_of_lesions(trained: MadeUp) -> None:
    sweep, data = read(trained)
    runs = lesion_table(sweep, data)
    table = lesions_table(sweep, runs)
    # The median of units 1 … 12 is 6.5; ten units and the mean of 2 and 4 points; ten swaps. If one path of length k
    # has the gradient gᵏ, the mean length of a path is n·g/(1 + g).
    assert table.rows == (
        ("original", "2", "3.00", "4.62 (6.00)", "8.50", "8.00 (0.50)", "6.0 (3.0) of 12"),
        ("constant scaling (0.5, 1)", "1", "20.00", "52.50 (80.00)", "73.00", "25.00 (0.50)", "9.0 (3.0) of 12"),
    )
    assert table.notes == (
        "Without F of the median unit, the test error is higher by 1.62 points (“original”) to 32.5 points (“constant "
        "scaling (0.5, 1)”). The mean path of the gradient takes F in 6 to 9 of 12 units.",
    )
    assert runs["tau"].tolist() == [0.5, 0.5, 0.5]


def test_the_figures_of_lesions(trained: MadeUp) -> None:
    with paper_style():
        charts = {chart.name: chart for chart in lesion_charts(*read(trained))}
    assert list(charts) == ["lesions-unit", "lesions-deleted", "lesions-shuffled", "paths"]
    for chart in charts.values():
        assert "Only 3 of 4 finished runs are measured." in chart.note
        shown = {text.get_text() for legend in chart.figure.subfigs[0].legends for text in legend.get_texts()}
        assert shown == {"original, n = 2/2", "constant scaling (0.5, 1), n = 1/2"}, "the runs of the line"
    assert "heavy-tailed" in charts["paths"].note
    first = charts["lesions-deleted"].figure.subfigs[0].axes[0].lines[0]
    assert first.get_xdata().tolist() == [0, 1, 2, 10]
    assert first.get_ydata().tolist() == [3.0, 4.625, 6.5, 8.5]
    shares = charts["paths"].figure.subfigs[0].axes[0].lines
    assert sum(shares[0].get_ydata()) == pytest.approx(100)
    assert shares[1].get_ydata().tolist() == [0, 0, 0, 100, *[0] * 9]


def test_figures_of_errors_after_lesions_name_held_out_images(declare: Declare) -> None:
    made_up = declare(declared.BIASES)
    made_up.plan()
    measured(made_up.run("b0", 3.0), 3.0, 0.25, one_path=1.0)
    with paper_style():
        notes = {chart.name: chart.note for chart in lesion_charts(*read(made_up))}
    held_out = "The test error is measured on 5,000 held-out training images, not on the test set."
    named = {name for name, note in notes.items() if held_out in note}
    assert named == {"lesions-unit", "lesions-deleted", "lesions-shuffled"} == set(notes) - {"paths"}


def test_a_unit_that_cannot_be_deleted_is_a_gap(made_up: MadeUp) -> None:
    """So are those of a plain network that change the shape of x."""
    made_up.plan()
    folder = made_up.run("constant_scaling_0_1", 3.0)
    measured(folder, 3.0, 0.25, one_path=1.0)
    lines = folder.lesions.read_text().splitlines(keepends=True)
    folder.lesions.write_text("".join(line for line in lines if not line.startswith("deleted,1,,5,")))
    with paper_style():
        charts = {chart.name: chart for chart in lesion_charts(*read(made_up))}
    (line,) = charts["lesions-unit"].figure.subfigs[0].axes[0].lines
    expected = [3 + 0.25 * unit if unit != 5 else math.nan for unit in range(1, UNITS + 1)]
    assert line.get_ydata().tolist() == pytest.approx(expected, nan_ok=True)
    assert charts["lesions-unit"].note.endswith("gap: no value.")
    assert "gap" not in charts["lesions-deleted"].note  # only some numbers of deleted units are measured


def test_lesions_of_one_kind_have_its_figure_alone(made_up: MadeUp) -> None:
    made_up.plan()
    folder = made_up.run("original", 3.0)
    measured(folder, 3.0, 0.25, one_path=1.0)
    rows = [(Lesion("none", 0, None, (), None), 3.0), (Lesion("shuffled", 1, 1, (1,), 0.5), 4.0)]
    folder.lesions.write_text(lesions_text(rows))
    with paper_style():
        assert [chart.name for chart in lesion_charts(*read(made_up))] == [
            "lesions-deleted",
            "lesions-shuffled",
            "paths",
        ]
    assert lesions_table(read(made_up)[0], lesion_table(*read(made_up))).rows[0][2:4] == ("3.00", "– (–)")


def test_lesions_are_the_last_measurement_of_a_sweep(trained: MadeUp) -> None:
    *_, last = measurements(*read(trained))
    assert last.table.name == "shortcuts-quick-lesions"
    assert len(last.figures) == 4
    assert len(last.frames["lesions"]) == 3
    for name in [f"lesions.{suffix}" for suffix in ("csv", "tex")] + [f"{chart.name}.svg" for chart in last.figures]:
        assert OWN_FILES.fullmatch(f"shortcuts-quick-{name}"), name


def test_a_sweep_without_lesions_shows_none(made_up: MadeUp) -> None:
    made_up.plan()
    folder = made_up.run("original", 3.0)
    assert lesion_table(*read(made_up)).empty
    measured(folder, 3.0, 0.25, one_path=1.0)
    folder.path_gradients.unlink()
    assert lesion_table(*read(made_up)).empty
    assert "lesions" not in {end for one in measurements(*read(made_up)) for end in one.frames}
