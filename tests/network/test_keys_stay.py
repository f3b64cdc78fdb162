"""Keys of runs are the same in every version: a key finds a finished run's folder, and published results by name."""

from pathlib import Path

import pytest
from made import ACTIVATIONS, NETWORKS, SHORTCUTS

from resnet_ablations.overrides import compose

KEYS = {
    "shortcut=constant_scaling": "resnet56-constant_scaling-digits-a61c3395-s0",
    "shortcut=conv1x1": "resnet56-conv1x1-digits-a540923e-s0",
    "shortcut=dropout": "resnet56-dropout-digits-7facadcf-s0",
    "shortcut=exclusive_gating": "resnet56-exclusive_gating-digits-355824a2-s0",
    "shortcut=highway_gating": "resnet56-highway_gating-digits-c35c806e-s0",
    "shortcut=identity": "resnet56-identity-digits-a9d298d5-s0",
    "shortcut=none": "resnet56-plain-digits-42769782-s0",
    "shortcut=scaled_residual": "resnet56-scaled_residual-digits-7a6f7256-s0",
    "shortcut=shortcut_only_gating": "resnet56-shortcut_only_gating-digits-cda760f3-s0",
    "shortcut=stochastic_depth": "resnet56-stochastic_depth-digits-1611d058-s0",
    "activation=bn_after_addition": "resnet56-identity-bn_after_addition-digits-d84da143-s0",
    "activation=full_preactivation": "resnet56-identity-full_preactivation-digits-f95a66d0-s0",
    "activation=original": "resnet56-identity-digits-a9d298d5-s0",
    "activation=relu_before_addition": "resnet56-identity-relu_before_addition-digits-592a17f6-s0",
    "activation=relu_only_preactivation": "resnet56-identity-relu_only_preactivation-digits-c2ef0670-s0",
    "activation=zero_last_gamma": "resnet56-identity-zero_last_gamma-digits-ae51df65-s0",
    "network=imagenet_resnet101": "resnet101-identity-digits-c28c9ff0-s0",
    "network=imagenet_resnet152": "resnet152-identity-digits-0610a7bc-s0",
    "network=imagenet_resnet18": "resnet18-identity-digits-d73376f4-s0",
    "network=imagenet_resnet200": "resnet200-identity-digits-b73779dd-s0",
    "network=imagenet_resnet34": "resnet34-identity-digits-d51bc474-s0",
    "network=imagenet_resnet50": "resnet50-identity-digits-0b4545c5-s0",
    "network=resnet1001": "resnet1001-bottleneck-identity-digits-d2d70aaf-s0",
    "network=resnet110": "resnet110-identity-digits-acff519f-s0",
    "network=resnet110_1layer": "resnet110-1layer-identity-digits-8282ad36-s0",
    "network=resnet1202": "resnet1202-identity-digits-12935e79-s0",
    "network=resnet164": "resnet164-bottleneck-identity-digits-762e9fa0-s0",
    "network=resnet20": "resnet20-identity-digits-8233d6fe-s0",
    "network=resnet32": "resnet32-identity-digits-da654335-s0",
    "network=resnet44": "resnet44-identity-digits-e089ba4b-s0",
    "network=resnet56": "resnet56-identity-digits-a9d298d5-s0",
    "data=cifar10": "resnet56-identity-cifar10-7f7e9ddb-s0",
    "data=cifar100": "resnet56-identity-cifar100-7e97499d-s0",
    "data=fashion_mnist": "resnet56-identity-fashion_mnist-f274c152-s0",
    "data=generated": "resnet56-identity-generated-075448d4-s0",
}


@pytest.mark.parametrize("override", KEYS)
def test_keys_stay_the_same(override: str, tmp_path: Path) -> None:
    assert compose([override, f"paths.data={tmp_path}"]).key == KEYS[override]


def test_every_network_shortcut_and_placement_has_a_key_here() -> None:
    groups = {"network": NETWORKS, "shortcut": SHORTCUTS, "activation": ACTIVATIONS}
    expected = {f"{group}={option}" for group, options in groups.items() for option in options}
    assert expected == {override for override in KEYS if not override.startswith("data=")}
