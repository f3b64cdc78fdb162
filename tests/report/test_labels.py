import declared
import pytest
from made_up import Declare, MadeUp

from resnet_ablations.report.labels import baseline_label, cell_label, line_labels, row_label


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
    experiment = declare(declared.PLACEMENTS).experiment
    row, column, _ = list(experiment.cells())[2]
    assert cell_label(row, column, experiment) == "BN after addition, ResNet-110"
    assert baseline_label(experiment) == "original"
    assert baseline_label(declare(declared.UNITS).experiment) == "baseline unit"
    # In one panel only what differs is said.
    none = ["", ""]
    assert line_labels(["original/r110", "bn/r110"], experiment, none) == ["original", "BN after addition"]
    assert line_labels(["original/r110", "original/r164"], experiment, none) == ["ResNet-110", "ResNet-164"]
    assert line_labels(["original/r110"], experiment, [""]) == ["original"]
    assert line_labels(["original/r164", "bn/r110"], experiment, none) == [
        *("original, ResNet-164", "BN after addition, ResNet-110"),
    ]
    # The settings of one configuration are always said.
    assert line_labels(["original/r110", "original/r164"], experiment, ["a=1", ""]) == [
        *("original (a=1), ResNet-110", "ResNet-164"),
    ]
