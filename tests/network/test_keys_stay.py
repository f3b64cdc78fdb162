"""Keys of runs are the same in every version: a key finds a finished run's folder, and published results by name."""

from pathlib import Path

import pytest
from made import ACTIVATIONS, NETWORKS, SHORTCUTS

from resnet_ablations.overrides import compose

KEYS = {
    "shortcut=constant_scaling": "resnet56-constant_scaling-digits-a300331c-s0",
    "shortcut=conv1x1": "resnet56-conv1x1-digits-6cf5db54-s0",
    "shortcut=dropout": "resnet56-dropout-digits-130d2aa0-s0",
    "shortcut=exclusive_gating": "resnet56-exclusive_gating-digits-d8045e31-s0",
    "shortcut=identity": "resnet56-identity-digits-2d4d2501-s0",
    "shortcut=none": "resnet56-plain-digits-5d770d7d-s0",
    "shortcut=shortcut_only_gating": "resnet56-shortcut_only_gating-digits-cf24a61a-s0",
    "activation=bn_after_addition": "resnet56-identity-bn_after_addition-digits-6e980899-s0",
    "activation=full_preactivation": "resnet56-identity-full_preactivation-digits-bdaf87fc-s0",
    "activation=original": "resnet56-identity-digits-2d4d2501-s0",
    "activation=relu_before_addition": "resnet56-identity-relu_before_addition-digits-dc399a1f-s0",
    "activation=relu_only_preactivation": "resnet56-identity-relu_only_preactivation-digits-ae695d61-s0",
    "network=imagenet_resnet101": "resnet101-identity-digits-997ce0d6-s0",
    "network=imagenet_resnet152": "resnet152-identity-digits-e99412c2-s0",
    "network=imagenet_resnet18": "resnet18-identity-digits-fb91f9bd-s0",
    "network=imagenet_resnet200": "resnet200-identity-digits-50980d4f-s0",
    "network=imagenet_resnet34": "resnet34-identity-digits-c47ab02f-s0",
    "network=imagenet_resnet50": "resnet50-identity-digits-231717d5-s0",
    "network=resnet1001": "resnet1001-bottleneck-identity-digits-ca74b7ab-s0",
    "network=resnet110": "resnet110-identity-digits-3d613322-s0",
    "network=resnet110_1layer": "resnet110-1layer-identity-digits-3b1b9b0c-s0",
    "network=resnet1202": "resnet1202-identity-digits-f6c3304b-s0",
    "network=resnet164": "resnet164-bottleneck-identity-digits-cff7237b-s0",
    "network=resnet20": "resnet20-identity-digits-e97d7dbe-s0",
    "network=resnet32": "resnet32-identity-digits-82c14b8f-s0",
    "network=resnet44": "resnet44-identity-digits-29ca4153-s0",
    "network=resnet56": "resnet56-identity-digits-2d4d2501-s0",
    "data=cifar10": "resnet56-identity-cifar10-e05fce17-s0",
    "data=cifar100": "resnet56-identity-cifar100-222fab7a-s0",
    "data=fashion_mnist": "resnet56-identity-fashion_mnist-d7b2e191-s0",
    "data=generated": "resnet56-identity-generated-c83d1e10-s0",
}


@pytest.mark.parametrize("override", KEYS)
def test_keys_stay_the_same(override: str, tmp_path: Path) -> None:
    assert compose([override, f"paths.data={tmp_path}"]).key == KEYS[override]


def test_every_network_shortcut_and_placement_has_a_key_here() -> None:
    groups = {"network": NETWORKS, "shortcut": SHORTCUTS, "activation": ACTIVATIONS}
    expected = {f"{group}={option}" for group, options in groups.items() for option in options}
    assert expected == {override for override in KEYS if not override.startswith("data=")}
