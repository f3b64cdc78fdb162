"""The theory in a sweep's runs: what is shown is what the runs recorded, and old results show nothing of it."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from made_up import MadeUp

from resnet_ablations.report.contents import SweepReport, sweep_report
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.report.tables.summary import number
from resnet_ablations.report.tables.table import Table
from resnet_ablations.report.theory.deficits import deficits
from resnet_ablations.results.signals import HEADER, UnitSignals, lines

UNITS = 4


def recorded(
    scale: float | None, *, direct: float = 1.0, gate: float | None = None, iterations: Iterable[int] = (0, 900, 1800)
) -> str:
    """Return a file of signals whose gradient doubles with each unit to the first, ‖F(x)‖/‖x‖ being 1/unit."""
    text = HEADER
    for iteration in iterations:
        units = [
            UnitSignals(
                unit,
                signal=10,
                gradient=0.5 * 2 ** (UNITS + 1 - unit),
                direct=0.5 * direct * (scale or 0) ** (UNITS + 1 - unit),
                residual=10 / unit,
                negative=0.25,
                scale=scale,
                gate_mean=None if gate is None else gate + iteration / 1e5,
                gate_open=None if gate is None else 0.5,
                gate_bias=None if gate is None else -6 + unit * iteration / 1e5,
            )
            for unit in range(1, UNITS + 1)
        ]
        text += lines(iteration, [*units, UnitSignals(UNITS + 1, 10, 0.5, 0.5)])
    return text


def report(made_up: MadeUp) -> SweepReport:
    data = read_report_data(made_up.path)
    return sweep_report(data.sweeps[0], data)


def table(made_up: MadeUp, name: str) -> Table:
    found = {one.table.name: one.table for one in report(made_up).measurements}
    return found[f"shortcuts-quick-{name}"]


@pytest.fixture
def trained(made_up: MadeUp) -> MadeUp:
    made_up.plan()
    made_up.run("original", 3.0, train_error=1.0, signals=recorded(1))
    made_up.run("constant_scaling_0.5_1", 40.0, train_error=36.0, signals=recorded(0.5))
    made_up.run("shortcut_only_gating_-6", 9.0, train_error=1.5, signals=recorded(0.9, gate=0.1))
    made_up.run("conv1x1", 3.5, train_error=1.0, signals=recorded(None))
    return made_up


def test_gradient_direct_term_and_prediction_at_the_first_unit(trained: MadeUp) -> None:
    shown = table(trained, "propagation")
    assert [column.heading for column in shown.columns][1:4] == ["∏λ before", "direct term before", "gradient before"]
    by_row = {row[0]: row[1:4] for row in shown.rows}
    assert by_row == {
        "original": ("1", "1", "16"),
        "constant scaling (0.5, 1)": ("0.0625", "0.0625", "16"),
        "shortcut-only gating (init b_g = −6)": ("0.656", "0.656", "16"),
        "1×1 conv shortcut": ("–", "0", "16"),
    }
    assert "∏λ is below 0.1 in 1 of 3 configurations that have it: their direct term is 0.0625 times" in shown.notes[0]
    assert "in the others the direct term is 1 times ∏λ" in shown.notes[0]
    assert "changes of dimension, the slope of a gate. It is a product of means; where gates differ" in shown.notes[0]


def test_the_reasons_are_those_of_the_measured_rows(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.run("original", signals=recorded(1))
    assert "ReLU after the addition, changes of dimension. The gradient’s" in table(made_up, "propagation").notes[0]
    made_up.run("dropout", signals=recorded(0.5))
    assert "changes of dimension. It is a product of means; where masks" in table(made_up, "propagation").notes[0]


def test_a_row_of_several_configurations_shows_its_ends(made_up: MadeUp) -> None:
    made_up.plan()
    for index, scale in enumerate((0.5, 0.9, 1.0)):
        made_up.run("exclusive_gating_0_to_-5", signals=recorded(scale), index=index)
    shown = table(made_up, "propagation")
    assert shown.rows[0][1:4] == ("0.0625 to 1", "0.0625 to 1", "16")
    assert shown.caption.endswith("A row with several configurations shows its lowest and its highest value alone.")
    assert "in 1 of 3 configurations" in shown.notes[0]


def test_a_direct_term_that_is_not_the_prediction_is_said(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.run("original", signals=recorded(1, direct=0.2))
    assert "the direct term is 0.2 times ∏λ" in table(made_up, "propagation").notes[0]


def test_the_size_of_f_is_the_median_units(trained: MadeUp) -> None:
    """Unit 3, whose ratio is 1/3, changes the shape of x: the medians are those of the other three."""
    shown = table(trained, "residuals")
    assert shown.rows[0] == ("original", *("0.5 (0.25 to 1)", "25 %") * 2)
    assert "scaled" not in shown.caption
    assert "Signals are recorded" not in shown.caption
    trained.run("constant_scaling_0.5_0.5", signals=recorded(0.5), metrics={"response_mean": 1.2})
    trained.run("exclusive_gating_-6", signals=recorded(0.9, gate=0.1))
    shown = table(trained, "residuals")
    assert "g(x)·F(x) with exclusive gating" in shown.caption
    assert [row[-1] for row in shown.rows][2:4] == ["1.2", "–"]
    assert "plain-20 1.82, plain-56 1.52, ResNet-20 1.62" in shown.notes[0]
    trained.run("constant_scaling_0_1")
    assert "Signals are recorded in 6 of 7 rows." in table(trained, "residuals").caption


def test_gates_and_how_far_a_bias_moves(trained: MadeUp) -> None:
    shown = table(trained, "gates")
    ((name, *texts),) = shown.rows
    assert name == "shortcut-only gating (init b_g = −6)"
    assert texts == ["−6", "0.1", "50 %", "−5.96 (−5.98 to −5.93)", "0.118", "50 %"]
    assert "is 0.1 before training and 0.118 after it; b_g of a unit moves by at most 0.072" in shown.notes[0]


def test_a_deficit_is_that_in_training_plus_that_in_the_gap(trained: MadeUp) -> None:
    shown = table(trained, "deficits")
    by_row = {row[0]: row[2:] for row in shown.rows}
    assert by_row["original"] == ("1.00", "2.00", "–", "–", "–")
    assert by_row["constant scaling (0.5, 1)"] == ("36.00", "4.00", "+35.00", "+2.00", "+37.00")
    assert by_row["shortcut-only gating (init b_g = −6)"] == ("1.50", "7.50", "+0.50", "+5.50", "+6.00")
    assert "errors of the last 100 iterations" in shown.caption
    assert shown.notes[0].startswith("2 of 3 rows end at least 1 point above “original” in test error (one seed)")
    assert "training error in 1 of them, and in test − training in 1." in shown.notes[0]


def test_deficits_are_counted_by_configuration(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.run("original", 4.0, train_error=1.0)
    for index, error in enumerate((3.0, 9.0, 14.0)):
        made_up.run("exclusive_gating_0_to_-5", error, train_error=error, index=index)
    assert table(made_up, "deficits").notes[0].startswith("2 of 3 configurations end at least 1 point above")


def test_the_spread_of_the_seeds(made_up: MadeUp) -> None:
    made_up.plan(seeds=(0, 1))
    for seed in (0, 1):
        made_up.run("original", 4.0, seed, train_error=1.0)
        made_up.run("conv1x1", 30.0 + 2 * seed, seed, train_error=21.0)
    row = table(made_up, "deficits").rows[1]
    assert row[2:4] == ("21.00", "10.00 (9.00 to 11.00)")
    assert row[4:] == ("+20.00", "+7.00 (+6.00 to +8.00)", "+27.00 (+26.00 to +28.00)")


def test_a_deficit_with_masks_is_not_separated(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.run("original", 4.0)
    made_up.run("dropout", 30.0, train_error=41.0)
    shown = table(made_up, "deficits")
    assert shown.rows[1][2:] == ("41.00", "−11.00", "not separated", "not separated", "+26.00")
    assert shown.notes[0].endswith("In 1, masks add to the training error, so the parts are not separated.")


def test_results_without_signals_have_the_deficits_alone(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.all_runs({})
    found = report(made_up)
    assert [one.table.name for one in found.measurements] == ["shortcuts-quick-deficits"]
    assert [chart.name for chart in found.charts] == [chart.name for chart in found.figures]


def test_early_runs_have_no_deficit(made_up: MadeUp) -> None:
    made_up.plan("early")
    made_up.all_runs({}, scale="early")
    assert report(made_up).measurements == ()


def test_an_untrained_or_diverged_run_has_a_start_alone(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.run("original", outcome="diverged", stop=500, signals=recorded(1, iterations=(0, 450)))
    made_up.run("conv1x1", stop=1, every=1, signals=recorded(0.5, iterations=(0, 1)))
    shown = table(made_up, "propagation")
    assert [column.heading for column in shown.columns][1:] == ["∏λ before", "direct term before", "gradient before"]
    assert "After training" not in shown.notes[0]


def test_the_figures_show_the_ratios_by_unit_and_the_floor(trained: MadeUp) -> None:
    charts = {chart.name: chart for chart in report(trained).charts}
    assert {"propagation", "residuals", "residuals-training", "gates", "gates-training"} <= set(charts)
    before, after = (panel.axes[0] for panel in charts["propagation"].figure.subfigs)
    assert (before.get_yscale(), before.get_xlabel()) == ("log", "unit")
    solid, dotted, dashed = before.lines[:3]
    assert list(solid.get_ydata()) == [16, 8, 4, 2, 1]
    assert [line.get_linestyle() for line in (solid, dotted, dashed)] == ["-", ":", "--"]
    assert list(before.lines[5].get_ydata()) == [0.0625, 0.125, 0.25, 0.5, 1]
    assert len(before.lines) == len(after.lines) == 3 * 4
    assert charts["propagation"].note.endswith("Values below 0.001 are not drawn.")  # the direct term of conv1x1 is 0
    *_, moved = (panel.axes[0] for panel in charts["gates"].figure.subfigs)
    assert moved.get_ylabel() == "mean of b_g, minus its start"
    assert list(moved.lines[0].get_ydata()) == pytest.approx([unit * 1800 / 1e5 for unit in (1, 2, 3, 4)])


def test_ends_units_and_seeds_are_not_confused(made_up: MadeUp) -> None:
    """Both ends of training differ, and so do the units; of three seeds, only one has its direct term on the axis."""
    made_up.plan(seeds=(0, 1, 2))
    for seed, direct in enumerate((1e-6, 1e-5, 0.5)):
        text = HEADER
        for iteration, factor in ((0, 1.0), (1800, 2.0)):
            units = [
                UnitSignals(
                    unit,
                    signal=10,
                    gradient=factor,
                    direct=factor * direct,
                    residual=factor * 10 / unit,
                    negative=factor * unit / 20,
                    scale=1,
                    gate_mean=factor * unit / 10,
                    gate_open=factor * unit / 20,
                    gate_bias=factor * unit - 6,
                )
                for unit in range(1, UNITS + 1)
            ]
            text += lines(iteration, [*units, UnitSignals(UNITS + 1, 10, 1, 1)])
        made_up.run("shortcut_only_gating_-6", 9.0, seed, signals=text)
    drawn = {
        chart.name: [[list(line.get_ydata()) for line in panel.axes[0].lines] for panel in chart.figure.subfigs]
        for chart in report(made_up).charts
    }
    before, after = drawn["propagation"]
    assert before[:2] == [[1, 1, 1, 1, 1], pytest.approx([1e-5, 1e-5, 1e-5, 1e-5, 1])]
    assert after[:2] == [[2, 2, 2, 2, 1], pytest.approx([2e-5, 2e-5, 2e-5, 2e-5, 1])]
    ((end, start),) = drawn["residuals"]  # without unit 3, which changes the shape of x
    assert (end, start) == (
        pytest.approx([2, 1, math.nan, 0.5], nan_ok=True),
        pytest.approx([1, 0.5, math.nan, 0.25], nan_ok=True),
    )
    assert drawn["residuals-training"] == [[[0.5, 1], [0.25, 0.5]]]
    (end, start), (moved,) = drawn["gates"]
    assert (end, start) == (pytest.approx([0.2, 0.4, 0.6, 0.8]), pytest.approx([0.1, 0.2, 0.3, 0.4]))
    assert moved == [1, 2, 3, 4]
    assert drawn["gates-training"] == [[pytest.approx([0.25, 0.5]), pytest.approx([0.4, 0.8])], [[0, 2.5], [0, 4]]]
    shown = dict(
        zip([c.heading for c in table(made_up, "residuals").columns], table(made_up, "residuals").rows[0], strict=True)
    )
    assert (shown["y < 0 before"], shown["y < 0 after"]) == ("12 %", "25 %")


def test_a_line_breaks_at_a_unit_without_a_value(trained: MadeUp) -> None:
    """Unit 3 changes the shape of x: no line leads to unit 4, which has a mark instead."""
    charts = {chart.name: chart for chart in report(trained).charts}
    axes = charts["residuals"].figure.subfigs[0].axes[0]
    for line in axes.lines:
        assert list(line.get_xdata()) == [1, 2, 3, 4]
        assert [bool(value) for value in np.isnan(line.get_ydata())] == [False, False, True, False]
    marked = [x for drawn in axes.collections for x, _ in np.asarray(drawn.get_offsets()).tolist()]
    assert marked.count(4) == len(axes.lines)
    assert 3 not in marked
    assert "gap: no value" in charts["residuals"].note
    assert all("nan" not in text for row in charts["residuals"].rows for text in row.texts)
    assert "gap" not in charts["propagation"].note
    assert "gap" not in charts["residuals-training"].note


def test_the_first_and_the_last_configuration_of_a_row_have_a_line(made_up: MadeUp) -> None:
    """A median over gates with several starts would be that of no gate."""
    made_up.plan()
    for index in (0, 1, 2, 4):
        made_up.run("exclusive_gating_0_to_-5", signals=recorded(0.9, gate=index / 10), index=index)
    made_up.run("exclusive_gating_-6", signals=recorded(0.9, gate=0.5))
    gates = {chart.name: chart for chart in report(made_up).charts}["gates"]
    panel, _ = gates.figure.subfigs
    assert [text.get_text() for text in panel.legends[0].get_texts()] == [
        "exclusive gating (gate_bias=0), n = 1/1",
        "exclusive gating (gate_bias=-4), n = 1/1",
        "exclusive gating (init b_g = −6), n = 1/1",
    ]
    starts = [line.get_ydata()[0] for line in panel.axes[0].lines if line.get_linestyle() == "--"]
    assert starts == pytest.approx([0, 0.4, 0.5])
    assert gates.note.endswith("Of a row with several configurations, the first and the last are shown.")
    keys = [row.to for row in gates.rows]
    assert len(set(keys)) == 3
    assert all(to.startswith("#run:") for to in keys)


def test_what_an_axis_hides_is_said_and_no_panel_has_more_than_four_rows(made_up: MadeUp) -> None:
    made_up.plan()
    for row in ("original", "constant_scaling_0.5_1", "conv1x1", "exclusive_gating_-6", "exclusive_gating_-7"):
        made_up.run(row, signals=recorded(0.9))
    charts = {chart.name: chart for chart in report(made_up).charts}
    assert "not drawn" not in charts["propagation"].note
    made_up.run("constant_scaling_0_1", signals=recorded(0.1))
    charts = {chart.name: chart for chart in report(made_up).charts}
    assert charts["propagation"].note.endswith("Values below 0.001 are not drawn.")
    assert [len(panel.legends[0].get_texts()) for panel in charts["propagation"].figure.subfigs] == [3, 3, 3, 3]
    assert "not drawn" not in charts["residuals"].note


def test_the_responses_of_layers_are_beside_the_size_of_f(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.run("original", signals=recorded(1), responses=[1.0, 2.0])
    (residuals,) = (one for one in report(made_up).measurements if one.table.name.endswith("residuals"))
    *_, responses = residuals.figures
    assert responses.name == "responses"
    assert list(responses.figure.subfigs[0].axes[0].lines[0].get_ydata()) == [1.0, 2.0]


def test_cells_that_share_their_runs_are_shown_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    made_up = MadeUp(tmp_path_factory.mktemp("shared") / "results", "layer_responses")
    made_up.plan()
    made_up.run("resnet20/mean", signals=recorded(1))
    found = {one.table.name: one.table for one in report(made_up).measurements}
    assert len(found["layer_responses-quick-propagation"].rows) == 1


def test_the_files_of_a_sweep(trained: MadeUp) -> None:
    files = report(trained).files
    names = {f"shortcuts-quick-{end}" for end in ("propagation.tex", "gates.svg", "deficits.csv", "signals.csv")}
    assert names <= set(files)
    text = str(files["shortcuts-quick.md"])
    assert "### Gradient by depth" in text
    assert "(shortcuts-quick-propagation.svg)" in text
    assert text.count("![") == len(report(trained).charts)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0, "0"), (0.94217, "0.942"), (1234.5, "1,230"), (-5.98, "−5.98"), (7.45e-9, "7·10⁻⁹"), (2e7, "2·10⁷")],
        *[(math.nan, "–"), (-math.inf, "−∞")],
    ],
)
def test_numbers_far_from_one_are_powers_of_ten(value: float, text: str) -> None:
    assert number(value) == text


def test_no_deficit_from_a_baseline_that_is_declared_differently(trained: MadeUp) -> None:
    data = read_report_data(trained.path)
    sweep = data.sweeps[0]
    assert len(deficits(sweep, data)) == 4
    changed = sweep.cells["row"].eq("original").map({True: "network.depth=56, now 20", False: ""})
    assert deficits(replace(sweep, cells=sweep.cells.assign(redeclared=changed)), data).empty
    changed = sweep.cells["row"].eq("conv1x1").map({True: "network.depth=56, now 20", False: ""})
    assert len(deficits(replace(sweep, cells=sweep.cells.assign(redeclared=changed)), data)) == 3
