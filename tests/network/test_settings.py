"""The allowed values of conf/network and conf/activation; a mistake is one line with key, value and what is allowed."""

from dataclasses import fields

import pytest
import yaml
from made import ACTIVATIONS, NETWORKS, composed

from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.paths import CONF
from resnet_ablations.settings import LabelledPlacement, NetworkSettings

BOTTLENECK, IMAGENET = "network=resnet164", "network=imagenet_resnet50"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["network.depth=57"], "network.depth=57: must be 6n+2 (8, 14, 20, …)"),
        (["network.depth=2"], "network.depth=2: must be 6n+2 (8, 14, 20, …)"),
        (["network.depth=-4"], "network.depth=-4: must be 6n+2 (8, 14, 20, …)"),
        ([BOTTLENECK, "network.depth=100"], "network.depth=100: must be 9n+2 (11, 20, 29, …)"),
        (["network=resnet110_1layer", "network.depth=111"], "network.depth=111: must be 3n+2 (5, 8, 11, …)"),
        ([IMAGENET, "network.units=null", "network.depth=51"], "network.depth=51: must be 12n+2 (14, 26, 38, …)"),
        ([IMAGENET, "network.depth=101"], "network.depth=101: must be 50 for network.units=[3, 4, 6, 3]"),
        ([IMAGENET, "network.units=[3,4,23,3]"], "network.depth=50: must be 101 for network.units=[3, 4, 23, 3]"),
        (
            [IMAGENET, "network.units=[3,4,6]"],
            "network.units=[3, 4, 6]: must have as many entries as network.widths=[64, 128, 256, 512]",
        ),
        (
            [IMAGENET, "network.units=[]"],
            "network.units=[]: must have as many entries as network.widths=[64, 128, 256, 512]",
        ),
        ([IMAGENET, "network.units=[3,4,6,0]"], "network.units.3=0: must be greater than or equal to 1"),
        (
            ["network.bottleneck_stride=conv3x3"],
            "network.bottleneck_stride=conv3x3: must be null for network.kernels=[3, 3]",
        ),
        (
            [BOTTLENECK, "network.bottleneck_stride=null"],
            "network.bottleneck_stride=null: must be conv1x1 or conv3x3 for network.kernels=[1, 3, 1]",
        ),
        (
            [BOTTLENECK, "network.bottleneck_stride=conv3x3", "network.kernels=[1,5,1]"],
            "network.bottleneck_stride=conv3x3: must be conv1x1 for network.kernels=[1, 5, 1]",
        ),
        (
            [BOTTLENECK, "network.bottleneck_stride=both"],
            "network.bottleneck_stride=both: must be 'conv1x1' or 'conv3x3'",
        ),
        (["network.kernels=[3,4]"], "network.kernels.1=4: must be odd"),
        (["network.kernels=[3,-1]"], "network.kernels.1=-1: must be greater than or equal to 1"),
        (["network.stem.kernel=6"], "network.stem.kernel=6: must be odd"),
        (["network.stem.width=0"], "network.stem.width=0: must be greater than or equal to 1"),
        (["network.stem.pool=true"], "network.stem.pool=true: no such key here; did you mean network.stem.max_pool?"),
        (["network.expansion=0"], "network.expansion=0: must be greater than or equal to 1"),
        (
            ["network.dimension_change=option_b"],
            "network.dimension_change=option_b: must be 'zero_pad', 'zero_pad_both_sides', 'average_pool' or "
            "'projection'",
        ),
        (
            ["network.shared_preactivation=none"],
            "network.shared_preactivation=none: must be 'projections' or 'dimension_changes'",
        ),
        (["shortcut.varied_units=some"], "shortcut.varied_units=some: must be 'all' or 'same_shape'"),
        (["network.label=../up"], "network.label=../up: must be small letters, digits and _, or null"),
        (["activation.label=my own"], "activation.label=my own: must be small letters, digits and _, or null"),
        (["activation.first=[bn,gelu]"], "activation.first.1=gelu: must be 'bn', 'relu' or 'zero_bn'"),
        (["activation.end=relu"], "activation.end=relu: must be a valid list"),
        (
            ["activation.before=[bn]"],
            "activation.before=['bn']: no such key here; allowed: activation.label, activation.first, "
            "activation.between, activation.last, activation.after_addition, activation.stem, activation.end",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(overrides: list[str], line: str) -> None:
    with pytest.raises(UserError) as mistake:
        compose(overrides)
    assert mistake.value.messages == (line,)


def test_all_mistakes_of_a_network_and_a_placement_at_once() -> None:
    overrides = ["network.kernels=[2,3]", "network.init=he", "activation.last=[none]", "network.widht=3"]
    with pytest.raises(UserError) as mistake:
        compose(overrides)
    assert {message.partition("=")[0] for message in mistake.value.messages} == {
        "network.kernels.0",
        "network.init",
        "activation.last.0",
        "network.widht",
    }


@pytest.mark.parametrize("name", ["_cifar", "_imagenet_bottleneck"])
def test_shared_network_settings_are_no_option(name: str) -> None:
    with pytest.raises(UserError, match=f"network={name}: no such option; allowed: imagenet_resnet101, "):
        compose([f"network={name}"])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_what_its_name_says(name: str) -> None:
    network = composed(f"network={name}").network
    _, _, depth = name.removeprefix("imagenet_").partition("resnet")
    depth, _, label = depth.partition("_")
    bottleneck = "bottleneck" if network.kernels == [1, 3, 1] and not network.stem.max_pool else None
    assert (network.depth, network.label) == (int(depth), label or bottleneck)
    assert 2 + len(network.kernels) * sum(network.stages) == network.depth
    assert network.stem.max_pool == name.startswith("imagenet_")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_placement_but_the_original_has_its_name_in_a_runs_name(name: str) -> None:
    label = None if name == "original" else name
    assert composed(f"activation={name}").activation.label == label


@pytest.mark.parametrize(
    ("overrides", "stages"),
    [
        (["network=resnet110"], [18, 18, 18]),
        (["network=resnet110_1layer"], [36, 36, 36]),
        ([BOTTLENECK], [18, 18, 18]),
        (["network=resnet1001"], [111, 111, 111]),
        (["network=resnet1202"], [200, 200, 200]),
        (["network.units=[1,2,3]", "network.depth=14"], [1, 2, 3]),
        (["network=imagenet_resnet152"], [3, 8, 36, 3]),
        (["network=imagenet_resnet200"], [3, 24, 36, 3]),
    ],
)
def test_units_of_each_stage(overrides: list[str], stages: list[int]) -> None:
    assert compose(overrides).network.stages == stages


@pytest.mark.parametrize(("stride", "strided"), [("conv1x1", 0), ("conv3x3", 1)])
def test_which_convolution_of_a_bottleneck_has_the_stride(stride: str, strided: int) -> None:
    assert compose([BOTTLENECK, f"network.bottleneck_stride={stride}"]).network.strided == strided
    assert compose([]).network.strided == 0


def test_a_placements_files_carry_every_value_themselves() -> None:
    """A default in Python would be easy to overlook."""
    for name in ACTIVATIONS:
        assert set(yaml.safe_load((CONF / "activation" / f"{name}.yaml").read_text())) == {
            field.name for field in fields(LabelledPlacement)
        }
    written = yaml.safe_load((CONF / "network" / "_cifar.yaml").read_text())
    assert set(written) == set(NetworkSettings.model_fields)
