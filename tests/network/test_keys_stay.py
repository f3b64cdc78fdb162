"""Keys of runs are the same in every version: a key finds a finished run's folder, and published results by name."""

from pathlib import Path

import pytest
from made import ACTIVATIONS, NETWORKS, SHORTCUTS

from resnet_ablations.overrides import compose

KEYS = {
    "shortcut=constant_scaling": "resnet56-constant_scaling-digits-1da404f3-s0",
    "shortcut=conv1x1": "resnet56-conv1x1-digits-04c47b37-s0",
    "shortcut=dropout": "resnet56-dropout-digits-d6079b84-s0",
    "shortcut=exclusive_gating": "resnet56-exclusive_gating-digits-b730db9e-s0",
    "shortcut=identity": "resnet56-identity-digits-822682c9-s0",
    "shortcut=none": "resnet56-plain-digits-bde85e64-s0",
    "shortcut=shortcut_only_gating": "resnet56-shortcut_only_gating-digits-6189186d-s0",
    "activation=bn_after_addition": "resnet56-identity-bn_after_addition-digits-21d07f0c-s0",
    "activation=full_preactivation": "resnet56-identity-full_preactivation-digits-d8a6a1ec-s0",
    "activation=original": "resnet56-identity-digits-822682c9-s0",
    "activation=relu_before_addition": "resnet56-identity-relu_before_addition-digits-9c55ff4a-s0",
    "activation=relu_only_preactivation": "resnet56-identity-relu_only_preactivation-digits-8abb8404-s0",
    "network=imagenet_resnet101": "resnet101-identity-digits-e9b055ff-s0",
    "network=imagenet_resnet152": "resnet152-identity-digits-1a785d24-s0",
    "network=imagenet_resnet18": "resnet18-identity-digits-cf00d1f9-s0",
    "network=imagenet_resnet200": "resnet200-identity-digits-da2739b7-s0",
    "network=imagenet_resnet34": "resnet34-identity-digits-8bc463a6-s0",
    "network=imagenet_resnet50": "resnet50-identity-digits-c2d22c3a-s0",
    "network=resnet1001": "resnet1001-bottleneck-identity-digits-0d7c6f14-s0",
    "network=resnet110": "resnet110-identity-digits-aee29787-s0",
    "network=resnet110_1layer": "resnet110-1layer-identity-digits-32afdea8-s0",
    "network=resnet1202": "resnet1202-identity-digits-bb57e7a5-s0",
    "network=resnet164": "resnet164-bottleneck-identity-digits-06d7e637-s0",
    "network=resnet20": "resnet20-identity-digits-132ef9d6-s0",
    "network=resnet32": "resnet32-identity-digits-d8893d16-s0",
    "network=resnet44": "resnet44-identity-digits-162a8da6-s0",
    "network=resnet56": "resnet56-identity-digits-822682c9-s0",
    "data=cifar10": "resnet56-identity-cifar10-55f11f2b-s0",
    "data=cifar100": "resnet56-identity-cifar100-eb7e592c-s0",
    "data=fashion_mnist": "resnet56-identity-fashion_mnist-d2914456-s0",
    "data=generated": "resnet56-identity-generated-fa53a5d4-s0",
}


@pytest.mark.parametrize("override", KEYS)
def test_keys_stay_the_same(override: str, tmp_path: Path) -> None:
    assert compose([override, f"paths.data={tmp_path}"]).key == KEYS[override]


def test_every_network_shortcut_and_placement_has_a_key_here() -> None:
    groups = {"network": NETWORKS, "shortcut": SHORTCUTS, "activation": ACTIVATIONS}
    expected = {f"{group}={option}" for group, options in groups.items() for option in options}
    assert expected == {override for override in KEYS if not override.startswith("data=")}
