import declared
import pytest
from made_up import Declare, MadeUp

from resnet_ablations.report.cells.cell import cells_of
from resnet_ablations.report.cells.labels import baseline_label, cell_label, line_labels, row_label
from resnet_ablations.report.cells.plans import runs_of
from resnet_ablations.results.frames import load_curves, load_results


def test_rows_are_called_by_what_tells_them_apart(made_up: MadeUp) -> None:
    rows = made_up.experiment.rows
    assert [row_label(row, made_up.experiment) for row in rows] == [
        "original",
        "constant scaling (0, 1)",
        "constant scaling (0.5, 1)",
        "constant scaling (0.5, 0.5)",
        "exclusive gating (init b_g = 0 to −5)",
        "exclusive gating (init b_g = −6)",
        "exclusive gating (init b_g = −7)",
        "shortcut-only gating (init b_g = 0)",
        "shortcut-only gating (init b_g = −6)",
        "1×1 conv shortcut",
        "dropout shortcut",
    ]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (declared.BIASES, ["b_g = 0", "b_g = −6"]),
        (declared.UNITS, ["CIFAR-10 (ResNet-110)", "CIFAR-10 (ResNet-110 (1layer))", "CIFAR-100"]),
        (declared.CROPS, ["ResNet-152 (224)", "ResNet-152 (320)"]),
    ],
)
def test_rows_of_other_experiments(declare: Declare, text: str, labels: list[str]) -> None:
    experiment = declare(text).experiment
    assert [row_label(row, experiment) for row in experiment.rows] == labels


def test_cells_and_lines(declare: Declare) -> None:
    made_up = declare(declared.PLACEMENTS)
    plan = made_up.plan()
    runs = runs_of(plan, load_results(made_up.path), load_curves(made_up.path))
    original110, original164, bn110, *_ = cells = cells_of(plan, made_up.experiment, runs)
    assert cell_label(bn110, made_up.experiment) == "BN after addition, ResNet-110"
    assert baseline_label(bn110, made_up.experiment) == "original"
    assert baseline_label(original110, made_up.experiment) is None
    # In one panel only what differs is said.
    assert line_labels([original110, bn110], made_up.experiment) == ["original", "BN after addition"]
    assert line_labels([original110, original164], made_up.experiment) == ["ResNet-110", "ResNet-164"]
    assert line_labels([original110], made_up.experiment) == ["original"]
    assert line_labels(cells[1:3], made_up.experiment) == ["original, ResNet-164", "BN after addition, ResNet-110"]
