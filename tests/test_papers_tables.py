"""experiments/*.yaml beside a second entry of the papers' tables: what is printed, and what network each cell is."""

from typing import Any

import pytest
from planned import planned

from resnet_ablations.experiments import load_experiment, paper_curve
from resnet_ablations.paths import ROOT

# One worker makes each plan once.
pytestmark = pytest.mark.xdist_group("plans")

PRE, BASIC, BOTTLENECK, SINGLE = "full_preactivation", [3, 3], [1, 3, 1], [3]

# experiment: {row: {column: printed, or "≈…" where digitised}}
NUMBERS: dict[str, dict[str, dict[str, Any]]] = {
    "activations": {  # v2, Table 2
        "original": {"resnet110": 6.61, "resnet164": 5.93},
        "bn_after_addition": {"resnet110": 8.17, "resnet164": 6.50},
        "relu_before_addition": {"resnet110": 7.84, "resnet164": 6.14},
        "relu_only_preactivation": {"resnet110": 6.71, "resnet164": 5.91},
        "full_preactivation": {"resnet110": 6.37, "resnet164": 5.46},
    },
    "preactivation": {  # v2, Table 3
        "cifar10_resnet110_1layer": {"original": 9.90, "preactivation": 8.91},
        "cifar10_resnet110": {"original": 6.61, "preactivation": 6.37},
        "cifar10_resnet164": {"original": 5.93, "preactivation": 5.46},
        "cifar10_resnet1001": {"original": 7.61, "preactivation": 4.92},
        "cifar100_resnet164": {"original": 25.16, "preactivation": 24.33},
        "cifar100_resnet1001": {"original": 27.82, "preactivation": 22.71},
    },
    "state_of_the_art": {  # v2, Table 4
        "nin": {"cifar10": 8.81, "cifar100": 35.68},
        "dsn": {"cifar10": 8.22, "cifar100": 34.57},
        "fitnet": {"cifar10": 8.39, "cifar100": 35.04},
        "highway": {"cifar10": 7.72, "cifar100": 32.39},
        "all_cnn": {"cifar10": 7.25, "cifar100": 33.71},
        "elu": {"cifar10": 6.55, "cifar100": 24.28},
        "fitresnet_lsuv": {"cifar10": 5.84},
        "fitnet_lsuv": {"cifar100": 27.66},
        "resnet110": {"cifar10": 6.61},
        "resnet1202": {"cifar10": 7.93},
        "resnet164": {"cifar100": 25.16},
        "resnet1001": {"cifar100": 27.82},
        "preactivation_resnet164": {"cifar10": 5.46, "cifar100": 24.33},
        "preactivation_resnet1001": {"cifar10": 4.92, "cifar100": 22.71},
        "preactivation_resnet1001_64": {"cifar10": 4.62},
    },
    "imagenet_preactivation": {  # v2, Table 5, and its text on ResNet-101
        "resnet152_224": {"top1": 23.0, "top5": 6.7},
        "resnet152_320": {"top1": 21.3, "top5": 5.5},
        "preactivation_resnet152_320": {"top1": 21.1, "top5": 5.5},
        "resnet200_320": {"top1": 21.8, "top5": 6.0},
        "preactivation_resnet200_320": {"top1": 20.7, "top5": 5.3},
        "preactivation_resnet200_320_aspect": {"top1": 20.1, "top5": 4.8},
        "inception_v3": {"top1": 21.2, "top5": 5.6},
        "resnet101_224": {"top1": 23.6, "top5": 7.1},
        "bn_after_addition_resnet101_224": {"top1": 24.6, "top5": 7.5},
    },
    "imagenet_options": {  # v1, Tables 2 and 3
        "plain18": {"top1": 27.94, "top5": None},
        "plain34": {"top1": 28.54, "top5": 10.02},
        "resnet18": {"top1": 27.88, "top5": None},
        "resnet34_a": {"top1": 25.03, "top5": 7.76},
        "resnet34_b": {"top1": 24.52, "top5": 7.46},
        "resnet34_c": {"top1": 24.19, "top5": 7.40},
        "resnet50": {"top1": 22.85, "top5": 6.71},
        "resnet101": {"top1": 21.75, "top5": 6.05},
        "resnet152": {"top1": 21.43, "top5": 5.71},
        "vgg16": {"top1": 28.07, "top5": 9.33},
        "googlenet": {"top5": 9.15},
        "prelu_net": {"top1": 24.27, "top5": 7.38},
    },
    "imagenet_multi_scale": {  # v1, Table 4
        "resnet34_b": {"top1": 21.84, "top5": 5.71},
        "resnet34_c": {"top1": 21.53, "top5": 5.60},
        "resnet50": {"top1": 20.74, "top5": 5.25},
        "resnet101": {"top1": 19.87, "top5": 4.60},
        "resnet152": {"top1": 19.38, "top5": 4.49},
    },
    "warmup": {  # v2, Table 2, and v1, Table 6
        "original": {"fixed": 6.61, "until_error": 6.43, "none": None},
        "preactivation": {"fixed": 6.37, "until_error": None, "none": None},
    },
    "depth": {  # v1, Table 6 and Fig. 6
        "depth20": {"plain_test": "≈9.69", "plain_train": "≈1.32", "resnet_test": 8.75, "resnet_train": "≈0.68"},
        "depth32": {"plain_test": "≈10.08", "plain_train": "≈1.41", "resnet_test": 7.51, "resnet_train": "≈0.27"},
        "depth44": {"plain_test": "≈11.42", "plain_train": "≈2.76", "resnet_test": 7.17, "resnet_train": "≈0.17"},
        "depth56": {"plain_test": "≈13.23", "plain_train": "≈5.77", "resnet_test": 6.97, "resnet_train": "≈0.1"},
        "depth110": {"plain_test": None, "plain_train": None, "resnet_test": 6.43, "resnet_train": "≈0.06"},
        "depth1202": {"resnet_test": 7.93, "resnet_train": "≈0.07"},
        "maxout": {"resnet_test": 9.38},
        "nin": {"resnet_test": 8.81},
        "dsn": {"resnet_test": 8.22},
        "fitnet19": {"resnet_test": 8.39},
        "highway19": {"resnet_test": 7.54},
        "highway32": {"resnet_test": 8.80},
    },
    "layer_responses": {  # v1, Fig. 7
        "plain20": {"mean": "≈1.82", "median": "≈1.85", "max": "≈2.32"},
        "plain56": {"mean": "≈1.52", "median": "≈1.54", "max": "≈3.03"},
        "resnet20": {"mean": "≈1.62", "median": "≈1.54", "max": "≈2.5"},
        "resnet56": {"mean": "≈1.13", "median": "≈1.08", "max": "≈2.98"},
        "resnet110": {"mean": "≈0.99", "median": "≈0.91", "max": "≈3.41"},
    },
}

# experiment: {row/column: (depth, kernels, shortcut, placement, data, dimension change)}, of some cells of each kind
CELLS: dict[str, dict[str, tuple[int, list[int], str, str | None, str, str]]] = {
    "activations": {
        "bn_after_addition/resnet110": (110, BASIC, "Identity", "bn_after_addition", "Cifar10", "zero_pad"),
        "relu_only_preactivation/resnet164": (
            *(164, BOTTLENECK, "Identity", "relu_only_preactivation", "Cifar10", "projection"),
        ),
        "original/resnet164": (164, BOTTLENECK, "Identity", None, "Cifar10", "projection"),
    },
    "preactivation": {
        "cifar10_resnet110_1layer/preactivation": (110, SINGLE, "Identity", PRE, "Cifar10", "zero_pad"),
        "cifar10_resnet110/original": (110, BASIC, "Identity", None, "Cifar10", "zero_pad"),
        "cifar100_resnet164/original": (164, BOTTLENECK, "Identity", None, "Cifar100", "projection"),
        "cifar100_resnet1001/preactivation": (1001, BOTTLENECK, "Identity", PRE, "Cifar100", "projection"),
    },
    "state_of_the_art": {
        "resnet1202/cifar10": (1202, BASIC, "Identity", None, "Cifar10", "zero_pad"),
        "resnet1001/cifar100": (1001, BOTTLENECK, "Identity", None, "Cifar100", "projection"),
        "preactivation_resnet1001_64/cifar10": (1001, BOTTLENECK, "Identity", PRE, "Cifar10", "projection"),
    },
    "depth": {
        "depth44/plain_train": (44, BASIC, "Plain", None, "Cifar10", "zero_pad"),
        "depth1202/resnet_test": (1202, BASIC, "Identity", None, "Cifar10", "zero_pad"),
    },
    "layer_responses": {
        "plain56/max": (56, BASIC, "Plain", None, "Cifar10", "zero_pad"),
        "resnet110/mean": (110, BASIC, "Identity", None, "Cifar10", "zero_pad"),
    },
    "imagenet_options": {
        "plain34/top1": (34, BASIC, "Plain", None, "ImageNet", "zero_pad"),
        "resnet34_a/top1": (34, BASIC, "Identity", None, "ImageNet", "zero_pad"),
        "resnet34_b/top5": (34, BASIC, "Identity", None, "ImageNet", "projection"),
        "resnet34_c/top1": (34, BASIC, "Conv1x1", None, "ImageNet", "zero_pad"),
        "resnet152/top1": (152, BOTTLENECK, "Identity", None, "ImageNet", "projection"),
    },
    "imagenet_multi_scale": {
        "resnet34_b/top1": (34, BASIC, "Identity", None, "ImageNet", "projection"),
        "resnet34_c/top5": (34, BASIC, "Conv1x1", None, "ImageNet", "zero_pad"),
        "resnet50/top1": (50, BOTTLENECK, "Identity", None, "ImageNet", "projection"),
    },
    "warmup": {
        "original/none": (110, BASIC, "Identity", None, "Cifar10", "zero_pad"),
        "preactivation/until_error": (110, BASIC, "Identity", PRE, "Cifar10", "zero_pad"),
    },
    "imagenet_preactivation": {
        "resnet152_224/top1": (152, BOTTLENECK, "Identity", None, "ImageNet", "projection"),
        "preactivation_resnet200_320_aspect/top5": (200, BOTTLENECK, "Identity", PRE, "ImageNet", "projection"),
        "bn_after_addition_resnet101_224/top1": (
            *(101, BOTTLENECK, "Identity", "bn_after_addition", "ImageNet", "projection"),
        ),
    },
}


@pytest.mark.parametrize("name", NUMBERS)
def test_an_experiment_has_the_papers_numbers_and_networks(name: str) -> None:
    entered: dict[str, dict[str, Any]] = {}
    for row, column, cell in load_experiment(name).cells():
        number = f"≈{cell.digitised:g}" if cell.digitised is not None else cell.printed
        entered.setdefault(row.id, {})[column.id] = number
    assert entered == NUMBERS[name]

    record = planned(name, "paper")
    found = {}
    for place in CELLS[name]:
        row_id, column_id = place.split("/")
        (configuration,) = record.cells[row_id][column_id]
        config = record.configurations[configuration].config
        network, shortcut, data = config["network"], config["shortcut"]["_target_"], config["data"]["_target_"]
        placement = config["activation"]["label"]
        named = shortcut.rpartition(".")[2], placement, data.rpartition(".")[2]
        found[place] = (network["depth"], network["kernels"], *named, network["dimension_change"])
    assert found == CELLS[name]


def test_table_5s_augmentations_crops_and_table_4s_small_batches() -> None:
    table_5, table_4 = planned("imagenet_preactivation", "paper"), planned("state_of_the_art", "paper")

    def setting(row: str) -> str:
        return str(table_5.configurations[table_5.cells[row]["top1"][0]].config["data"]["augmentation"])

    metrics = {row.id: cell.metric or column.metric for row, column, cell in _top1("imagenet_preactivation")}
    (small,) = table_4.cells["preactivation_resnet1001_64"]["cifar10"]
    assert [setting("preactivation_resnet200_320"), setting("preactivation_resnet200_320_aspect")] == [
        "scale",
        "scale_aspect_ratio",
    ]
    assert table_5.cells["resnet152_224"] == table_5.cells["resnet152_320"]
    assert (metrics["resnet152_224"], metrics["resnet152_320"]) == ("test_error", "crop320_error")
    assert table_4.configurations[small].config["schedule"]["batch_size"] == 64


def _top1(name: str) -> list[Any]:
    return [(row, column, cell) for row, column, cell in load_experiment(name).cells() if column.id == "top1"]


def test_digitised_training_errors_are_means_of_the_last_twelve_points() -> None:
    cells = {(row.id, column.id): cell for row, column, cell in load_experiment("depth").cells()}
    for (row, column), cell in cells.items():
        if column.endswith("_train") and cell.digitised is not None:
            curve = paper_curve(cells[row, column.replace("train", "test")].curve or "", "train_error")
            assert curve is not None
            assert abs(curve.iloc[-12:].mean() - cell.digitised) < 0.0051, row


def test_sources_are_named_where_they_are_known() -> None:
    """R1, R2 and FB do not agree with one another, so a file names the one that it follows."""
    for folder in ("experiments", "conf", "docs", "src"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".yaml", ".md", ".py") and path.name != "interpretations.md":
                text = " ".join(path.read_text(encoding="utf-8").split())
                assert "released code" not in text, path
                assert "authors’ code" not in text, path
                assert "authors' code" not in text, path
    headers = {name: (ROOT / f"experiments/{name}.yaml").read_text(encoding="utf-8") for name in NUMBERS}
    assert "section 4.1" not in headers["imagenet_preactivation"]
    assert "R2's README" in headers["imagenet_options"]
    assert "compared up to iteration 450,000" in headers["imagenet_options"]
    assert "paper’s best of 5, mean 6.61 ± 0.16" in headers["depth"]
    assert "Every table of both papers" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
