"""A run's key: changed by everything scientific and by nothing else."""

import json
from collections.abc import Callable

import pytest

from resnet_ablations.config import RunConfig, validate
from resnet_ablations.overrides import compose
from resnet_ablations.results.keys import class_label, configuration_name, is_location, without_locations

Config = Callable[..., RunConfig]

LOCATIONS = [
    "trainer.accelerator=auto",
    "trainer.threads=2",
    "trainer.workers=2",
    "trainer.recompute=true",
    "trainer=auto",
    "trainer.devices=1",
    "trainer.compile=default",
    "trainer.channels_last=false",
    "paths.results=/elsewhere",
    "paths.data=/elsewhere",
]
SCIENTIFIC = [
    "network.depth=14",
    "network.dimension_change=average_pool",
    "network.dimension_change=projection",
    "network.shared_preactivation=projections",
    "network.stem.width=8",
    "network.stem.kernel=5",
    "network.stem.stride=2",
    "network.stem.max_pool=true",
    "network.units=[1,1,1]",
    "network.widths=[16,24,32]",
    "network.kernels=[3,5]",
    "network.expansion=2",
    "network.label=other",
    "shortcut.varied_units=same_shape",
    "network.init=fan_in",
    "shortcut=conv1x1",
    "shortcut=constant_scaling",
    "activation.last=[]",
    "activation.stem=[bn]",
    "activation=full_preactivation",
    "activation.label=other",
    "data=cifar10",
    "data.augmentation.pad=1",
    "data.augmentation.flip=true",
    "data.normalisation=per_channel",
    "schedule.iterations=7",
    "schedule.batch_size=64",
    "schedule.learning_rate=0.05",
    "schedule.milestones=[3]",
    "schedule.warmup_iterations=1",
    "schedule.warmup_learning_rate=0.02",
    "schedule.warmup_until_error=80",
    "schedule.decay_factor=5",
    "schedule.nesterov=true",
    "schedule.momentum=0.8",
    "schedule.weight_decay=0.0002",
    "schedule.weight_decay_on=conv_weights",
    "schedule.log_every=3",
    "schedule.evaluate_every=3",
    "precision=bf16-mixed",
    "bn_batch=16",
    "bn_statistics=averaged",
]


def test_the_key_of_one_configuration() -> None:
    """A change that alters this name gives every result a new key, so that all runs are trained again:
    a default of conf/, a setting that is added or renamed, the form that is hashed. Change it here only on purpose.
    """
    assert compose([]).key == "resnet56-identity-digits-fd984d7a-s0"


@pytest.mark.parametrize("override", LOCATIONS)
def test_the_place_of_training_is_not_in_the_key(config: Config, override: str) -> None:
    assert config(override).key == config().key
    assert is_location(override)


def test_the_location_of_data_is_not_in_the_key(config: Config, tmp_path: object) -> None:
    keys = {config("data=cifar10", f"data.root={tmp_path}/{place}").key for place in ("a", "b")}
    assert len(keys) == 1
    assert is_location("data.root=/elsewhere")
    assert is_location("data.cache=/elsewhere")


@pytest.mark.parametrize("override", SCIENTIFIC)
def test_settings_that_can_change_a_number_change_the_configuration(config: Config, override: str) -> None:
    assert config(override).configuration != config().configuration
    assert not is_location(override)


def test_a_bottlenecks_stride_is_in_the_key(config: Config) -> None:
    keys = {
        config("network=resnet164", "network.depth=11", f"network.bottleneck_stride={stride}").key
        for stride in ("conv1x1", "conv3x3")
    }
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("shortcut", "override"),
    [
        ("exclusive_gating", "shortcut.gate_bias=-5"),
        ("exclusive_gating", "shortcut.gate_weights=zero"),
        ("exclusive_gating", "shortcut.gate_bias_rate=2"),
        ("exclusive_gating", "shortcut.decay_gate_bias=true"),
        ("exclusive_gating", "shortcut.gate_reads=normalised_x"),
        ("exclusive_gating", "shortcut.batch_norm=true"),
        ("exclusive_gating", "shortcut=shortcut_only_gating"),
        ("conv1x1", "shortcut.batch_norm=false"),
        ("dropout", "shortcut.rate=0.4"),
        ("dropout", "shortcut.inverted=true"),
        ("constant_scaling", "shortcut.shortcut_scale=0.25"),
        ("constant_scaling", "shortcut.residual_scale=0.25"),
    ],
)
def test_every_setting_of_a_shortcut_is_in_the_key(config: Config, shortcut: str, override: str) -> None:
    assert config(f"shortcut={shortcut}", override).configuration != config(f"shortcut={shortcut}").configuration


def test_the_seed_is_in_the_key_and_not_in_the_configuration(config: Config) -> None:
    zero, one = config(), config("seed=1")
    assert zero.configuration == one.configuration
    assert (zero.key, one.key) == (f"{zero.configuration}-s0", f"{zero.configuration}-s1")


def test_the_key_does_not_depend_on_how_it_is_written(config: Config) -> None:
    """Neither on the order of settings nor on the form of a number."""
    run = config("shortcut=exclusive_gating", "shortcut.gate_bias=-3")
    turned, turned_scientific = (
        json.loads(json.dumps(tree), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
        for tree in (run.as_dict(), run.scientific)
    )
    assert list(turned) == list(reversed(run.as_dict()))
    assert validate(turned).key == run.key
    assert configuration_name(turned_scientific) == configuration_name(run.scientific)
    assert config("shortcut.gate_bias=-3.0", "shortcut=exclusive_gating").key == run.key
    assert validate(validate(run.as_dict()).as_dict()).key == run.key


def test_the_key_is_readable_and_fit_for_a_folder(config: Config) -> None:
    run = config("shortcut=shortcut_only_gating", "data=fashion_mnist", "seed=12")
    assert run.key.startswith("resnet8-shortcut_only_gating-fashion_mnist-")
    assert run.key.endswith("-s12")
    assert run.key.replace("-", "").replace("_", "").isalnum()
    assert run.key.isascii()


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "resnet8-identity-digits-"),
        (["shortcut=plain"], "resnet8-plain-digits-"),
        (["activation=full_preactivation"], "resnet8-identity-full_preactivation-digits-"),
        (
            ["network=resnet110_1layer", "network.depth=8", "shortcut=dropout", "activation=relu_only_preactivation"],
            "resnet8-1layer-dropout-relu_only_preactivation-digits-",
        ),
        (["network=resnet164", "network.depth=11"], "resnet11-bottleneck-identity-digits-"),
        (["network=imagenet_resnet18", "network.depth=18"], "resnet18-identity-digits-"),
    ],
)
def test_a_network_and_a_placement_are_named_where_they_have_a_label(
    config: Config, overrides: list[str], name: str
) -> None:
    assert config(*overrides).key.startswith(name)


def test_a_setting_that_is_null_changes_no_key(config: Config) -> None:
    """So that one which is added later can leave the results there are alone."""
    tree = config().scientific
    assert configuration_name(tree | {"later": None, "network": tree["network"] | {"added": None}}) == (
        configuration_name(tree)
    )
    assert configuration_name(tree | {"later": 0}) != configuration_name(tree)


def test_a_setting_that_was_added_later_changes_no_key_at_its_default(config: Config) -> None:
    """Frozen configurations of before do not have the setting, and are still read."""
    run = config()
    before = run.as_dict()
    for later in ("nesterov", "decay_factor", "warmup_until_error"):
        del before["schedule"][later]
    del before["bn_statistics"]
    assert validate(before) == run
    assert validate(before).key == run.key


def test_a_class_that_moves_to_another_module_keeps_its_key(config: Config) -> None:
    tree = config().scientific
    moved = tree | {"shortcut": tree["shortcut"] | {"_target_": "resnet_ablations.network.elsewhere.Identity"}}
    assert configuration_name(moved) == configuration_name(tree)


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("resnet_ablations.network.shortcuts.ShortcutOnlyGating", "shortcut_only_gating"),
        ("resnet_ablations.network.shortcuts.Conv1x1", "conv1x1"),
        ("resnet_ablations.data.sources.Cifar10", "cifar10"),
        ("resnet_ablations.data.sources.FashionMnist", "fashion_mnist"),
    ],
)
def test_labels_of_classes(target: str, label: str) -> None:
    assert class_label(target) == label


def test_without_locations_does_not_change_its_argument(config: Config, tmp_path: object) -> None:
    tree = config("data=cifar10").as_dict()
    before = json.dumps(tree)
    scientific = without_locations(tree)
    assert json.dumps(tree) == before
    assert str(tmp_path) not in json.dumps(scientific)
    assert {"trainer", "paths"}.isdisjoint(scientific)
    assert scientific == config("data=cifar10").scientific
