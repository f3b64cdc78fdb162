"""The training recipes behind the rows of the papers' tables, at the paper's scale."""

from typing import Any

import pytest
from planned import planned

from resnet_ablations.results.sweeps import SweepPlan

# One worker makes each plan once.
pytestmark = pytest.mark.xdist_group("plans")


def settings(record: SweepPlan, row: str, column: str) -> dict[str, Any]:
    """Return the settings of a cell's sole configuration."""
    (name,) = record.cells[row][column]
    return record.configurations[name].config


WARM_UP = ("warmup_iterations", "warmup_until_error")


def warm_up(record: SweepPlan, row: str, column: str) -> tuple[Any, ...]:
    return tuple(settings(record, row, column)["schedule"][name] for name in WARM_UP)


@pytest.mark.parametrize("scale", ["paper", "early"])
@pytest.mark.parametrize("column", ["plain_test", "resnet_test"])
def test_v1_warms_up_from_110_layers_on(scale: str, column: str) -> None:
    """v1, section 4.2: "in this case" (n = 18) 0.01 "until the training error is below 80%"; v2's 400 stay v2's."""
    depth = planned("depth", scale)
    assert {warm_up(depth, f"depth{layers}", column) for layers in (20, 32, 44, 56)} == {(0, None)}
    assert warm_up(depth, "depth110", column) == (32_000, 80)
    assert warm_up(depth, "depth1202", "resnet_test") == (32_000, 80)
    assert warm_up(planned("activations", scale), "original", "resnet110") == (400, None)


def test_layer_responses_are_those_of_the_same_runs() -> None:
    runs = set(planned("layer_responses", "paper").configurations)
    assert runs < set(planned("depth", "paper").configurations)


@pytest.mark.parametrize("scale", ["quick", "small"])
def test_smaller_scales_keep_the_warm_up_of_their_schedule(scale: str) -> None:
    depth = planned("depth", scale)
    for layers in (20, 110):
        assert warm_up(depth, f"depth{layers}", "resnet_test") == ({"quick": 100, "small": 400}[scale], None)


@pytest.mark.parametrize("scale", ["quick", "small", "early", "paper"])
def test_the_warm_up_experiment_differs_in_the_warm_up_alone(scale: str) -> None:
    record = planned("warmup", scale)
    first, longest = {"quick": (100, 900), "small": (400, 1950)}.get(scale, (400, 32_000))
    for row in ("original", "preactivation"):
        found = {column: settings(record, row, column) for column in ("fixed", "until_error", "none")}
        assert [warm_up(record, row, column) for column in found] == [(first, None), (longest, 80), (0, None)]
        assert len({str(_without_warm_up(config)) for config in found.values()}) == 1
        assert found["none"]["network"]["depth"] == 110
    assert record.cells["original"]["fixed"] != record.cells["preactivation"]["fixed"]


def test_the_warm_up_experiment_shares_its_runs() -> None:
    """v2's runs are those of Table 2, v1's that of Table 6."""
    warmup = planned("warmup", "paper").cells
    activations, depth = planned("activations", "paper").cells, planned("depth", "paper").cells
    assert warmup["original"]["fixed"] == activations["original"]["resnet110"]
    assert warmup["preactivation"]["fixed"] == activations["full_preactivation"]["resnet110"]
    assert warmup["original"]["until_error"] == depth["depth110"]["resnet_test"]


@pytest.mark.parametrize("scale", ["quick", "paper"])
def test_table_4s_row_with_batches_of_64_is_r1s_recipe(scale: str) -> None:
    """R1's README: 200 epochs, ÷10 after epochs 81 and 122, two GPUs with 32 images each; 782 batches an epoch."""
    record = planned("state_of_the_art", scale)
    r1, other = (
        settings(record, row, "cifar10") for row in ("preactivation_resnet1001_64", "preactivation_resnet1001")
    )
    schedule = r1["schedule"]
    shares = [milestone / schedule["iterations"] for milestone in schedule["milestones"]]
    assert shares == pytest.approx([80 / 200, 121 / 200], abs=1e-3)
    assert (schedule["warmup_iterations"], schedule["nesterov"], schedule["momentum_form"]) == (0, True, "torch")
    assert schedule["batch_size"] == {"quick": 16, "paper": 64}[scale]
    images, others = (s["iterations"] * s["batch_size"] for s in (schedule, other["schedule"]))
    assert images / others == pytest.approx(200 / (64_000 * 128 / 50_000), rel=0.01)
    assert (r1["data"]["normalisation"], other["data"]["normalisation"]) == ("per_channel", "per_pixel_mean")
    assert {**r1, "schedule": 0, "data": 0, "bn_batch": 0} == {**other, "schedule": 0, "data": 0, "bn_batch": 0}
    if scale == "paper":
        assert (schedule["iterations"], schedule["milestones"], r1["bn_batch"]) == (156_400, [62_560, 94_622], 32)


@pytest.mark.parametrize("scale", ["quick", "paper"])
def test_table_5s_row_with_aspect_ratios_is_fbs_recipe(scale: str) -> None:
    record = planned("imagenet_preactivation", scale)
    fb, other = (settings(record, f"preactivation_resnet200_320{name}", "top1") for name in ("_aspect", ""))
    assert fb["network"] == other["network"] | {"bottleneck_stride": "conv3x3"}
    assert fb["data"] == other["data"] | {"augmentation": "scale_aspect_ratio", "colour": "jitter_and_pca"}
    assert fb["schedule"] == other["schedule"] | {"nesterov": True, "momentum_form": "torch"}
    assert fb["bn_statistics"] == "averaged"
    assert other["bn_statistics"] == {"quick": "moving", "paper": "averaged"}[scale]


def test_table_4_of_v1_tests_the_networks_of_table_3() -> None:
    tested, trained = (planned(f"imagenet_{name}", "paper").cells for name in ("multi_scale", "options"))
    assert list(tested) == ["resnet34_b", "resnet34_c", "resnet50", "resnet101", "resnet152"]
    assert all(tested[row]["top1"] == trained[row]["top1"] for row in tested)


def _without_warm_up(config: dict[str, Any]) -> dict[str, Any]:
    schedule = {name: value for name, value in config["schedule"].items() if name not in WARM_UP}
    return config | {"schedule": schedule}
