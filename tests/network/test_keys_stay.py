"""Keys of runs are the same in every version: a key finds a finished run's folder, and published results by name."""

from pathlib import Path

import pytest
from made import ACTIVATIONS, NETWORKS, SHORTCUTS

from resnet_ablations.overrides import compose

KEYS = {
    "shortcut=constant_scaling": "resnet56-constant_scaling-digits-26b5416d-s0",
    "shortcut=conv1x1": "resnet56-conv1x1-digits-53ca1d5b-s0",
    "shortcut=dropout": "resnet56-dropout-digits-2dbe9f4b-s0",
    "shortcut=exclusive_gating": "resnet56-exclusive_gating-digits-7d2a24bb-s0",
    "shortcut=highway_gating": "resnet56-highway_gating-digits-8bfc8231-s0",
    "shortcut=identity": "resnet56-identity-digits-fd984d7a-s0",
    "shortcut=none": "resnet56-plain-digits-8a3a78e8-s0",
    "shortcut=plain": "resnet56-plain-digits-8a3a78e8-s0",
    "shortcut=scaled_residual": "resnet56-scaled_residual-digits-b81f1f45-s0",
    "shortcut=shortcut_only_gating": "resnet56-shortcut_only_gating-digits-aadc4171-s0",
    "shortcut=stochastic_depth": "resnet56-stochastic_depth-digits-5372627a-s0",
    "activation=bn_after_addition": "resnet56-identity-bn_after_addition-digits-4461750f-s0",
    "activation=full_preactivation": "resnet56-identity-full_preactivation-digits-c3f6c008-s0",
    "activation=original": "resnet56-identity-digits-fd984d7a-s0",
    "activation=relu_before_addition": "resnet56-identity-relu_before_addition-digits-8a6a0624-s0",
    "activation=relu_only_preactivation": "resnet56-identity-relu_only_preactivation-digits-6a18e6fe-s0",
    "activation=zero_last_gamma": "resnet56-identity-zero_last_gamma-digits-a2abd268-s0",
    "network=imagenet_resnet101": "resnet101-identity-digits-d5515fa1-s0",
    "network=imagenet_resnet152": "resnet152-identity-digits-79fe676b-s0",
    "network=imagenet_resnet18": "resnet18-identity-digits-b575d7c5-s0",
    "network=imagenet_resnet200": "resnet200-identity-digits-7c2aa2fc-s0",
    "network=imagenet_resnet34": "resnet34-identity-digits-be7893f8-s0",
    "network=imagenet_resnet50": "resnet50-identity-digits-46d7354f-s0",
    "network=resnet1001": "resnet1001-bottleneck-identity-digits-e6407206-s0",
    "network=resnet110": "resnet110-identity-digits-3945221b-s0",
    "network=resnet110_1layer": "resnet110-1layer-identity-digits-3505ecfa-s0",
    "network=resnet1202": "resnet1202-identity-digits-5145ba39-s0",
    "network=resnet164": "resnet164-bottleneck-identity-digits-398bf686-s0",
    "network=resnet20": "resnet20-identity-digits-879e80d8-s0",
    "network=resnet32": "resnet32-identity-digits-7e558371-s0",
    "network=resnet44": "resnet44-identity-digits-d78c4262-s0",
    "network=resnet56": "resnet56-identity-digits-fd984d7a-s0",
    "data=cifar10": "resnet56-identity-cifar10-62d54a6e-s0",
    "data=cifar100": "resnet56-identity-cifar100-e585fc7a-s0",
    "data=fashion_mnist": "resnet56-identity-fashion_mnist-216c8fa3-s0",
    "data=generated": "resnet56-identity-generated-72d607ae-s0",
}


@pytest.mark.parametrize("override", KEYS)
def test_keys_stay_the_same(override: str, tmp_path: Path) -> None:
    assert compose([override, f"paths.data={tmp_path}"]).key == KEYS[override]


def test_every_network_shortcut_and_placement_has_a_key_here() -> None:
    groups = {"network": NETWORKS, "shortcut": SHORTCUTS, "activation": ACTIVATIONS}
    expected = {f"{group}={option}" for group, options in groups.items() for option in options}
    assert expected == {override for override in KEYS if not override.startswith("data=")}
