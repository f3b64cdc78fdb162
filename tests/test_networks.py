"""`make networks`: every network of both papers, as it is called, beside the numbers that the papers print."""

import re
import sys

import pytest

from resnet_ablations import networks
from resnet_ablations.build import meta_network
from resnet_ablations.networks import CIFAR, ENTRIES, IMAGENET, PrintedNetwork, main
from resnet_ablations.overrides import compose
from resnet_ablations.paths import CONF

PARAMETERS = {
    "ResNet-20": "0.27 M",
    "ResNet-32": "0.46 M",
    "ResNet-44": "0.66 M",
    "ResNet-56": "0.85 M",
    "ResNet-110": "1.7 M",
    "ResNet-1202": "19.4 M",
    "ResNet-164, pre-act": "1.7 M",
    "ResNet-1001, pre-act": "10.2 M",
}
"""v1, Table 6; v2, Table 4."""
MULTIPLY_ADDS = {
    "plain-18": "1.8 G",
    "plain-34": "3.6 G",
    "ResNet-18": "1.8 G",
    "ResNet-34 A": "3.6 G",
    "ResNet-50": "3.8 G",
    "ResNet-101": "7.6 G",
    "ResNet-152": "11.3 G",
}
"""v1, Table 1."""


def test_the_numbers_that_the_papers_print() -> None:
    assert {entry.name: entry.printed_parameters for entry in ENTRIES if entry.printed_parameters != "–"} == PARAMETERS
    printed = {entry.name: entry.printed_multiply_adds for entry in ENTRIES if entry.printed_multiply_adds != "–"}
    assert printed == MULTIPLY_ADDS


def test_every_network_is_listed_once() -> None:
    assert len({entry.name for entry in ENTRIES}) == len({entry.overrides for entry in ENTRIES}) == len(ENTRIES)
    listed = {entry.overrides[0] for entry in ENTRIES}
    files = [path.stem for path in (CONF / "network").glob("*.yaml") if not path.name.startswith("_")]
    assert listed == {f"network={name}" for name in files}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_is_the_network_of_its_name(entry: PrintedNetwork) -> None:
    config = compose(entry.overrides)
    key, name = config.key, entry.name
    assert config.network.depth == int(re.findall(r"-(\d+)", name)[0])
    assert entry.images == (IMAGENET if config.network.stem.max_pool else CIFAR)
    assert ("-plain-" in key) == name.startswith("plain")
    assert ("-full_preactivation-" in key) == ("pre-act" in name)
    assert ("-bn_after_addition-" in key) == ("BN after addition" in name)
    assert ("-1layer-" in key) == ("1layer" in name)
    assert ("-exclusive_gating-" in key) == ("exclusive gating" in name)
    assert ("-conv1x1-" in key) == ("1×1 conv" in name or name.endswith(" C"))
    if not config.network.expansion > 1:
        assert (config.network.dimension_change == "projection") == name.endswith(" B")


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The narrowest and the widest names are printed whole."""
    chosen = ("ResNet-20", "ResNet-110, exclusive gating", "ResNet-34 A", "ResNet-101, BN after addition")
    monkeypatch.setattr(networks, "ENTRIES", [entry for entry in ENTRIES if entry.name in chosen])
    monkeypatch.setattr(networks, "VGG", networks.VGG[:1])
    monkeypatch.setattr(sys, "argv", ["networks"])
    main()
    printed = capsys.readouterr().out
    lines = [re.split(r" {2,}", line.strip()) for line in printed.splitlines()]
    assert lines[2][:-1] == ["ResNet-20", "20", "9", "269,722", "0.27 M", "41 M", "–"]
    # A stem, nine units of two convolutions of which each keeps its input, BN's and ReLU's: 64 images in float32.
    kept = 64 * 4 * (3 * 32**2 + 16 * 32**2 * 2 + (16 + 32 / 4 + 64 / 16) * 32**2 * 12) / 2**20
    assert float(lines[2][-1].removesuffix(" MB")) == pytest.approx(kept, rel=0.05)
    assert lines[3][:-1] == ["ResNet-110, exclusive gating", "110", "54", "1,821,530", "–", "267 M", "–"]
    assert lines[4][:-1] == ["ResNet-34 A", "34", "16", "21,623,848", "–", "3.64 G", "3.6 G"]
    assert lines[5][:-1] == ["ResNet-101, BN after addition", "101", "33", "44,541,480", "–", "7.57 G", "–"]
    assert lines[6][:-1] == ["VGG-16", "16", "138,357,544", "–", "15.47 G", "15.3 G"]
    assert "69,632" in printed
    assert "1,179,648" in printed


def test_no_memory_is_taken_for_weights() -> None:
    (largest,) = (entry for entry in ENTRIES if entry.name == "ResNet-200")
    config = compose(largest.overrides)
    network = meta_network(config, channels=3, classes=largest.images.classes)
    assert config.network.depth == 200
    assert all(parameter.is_meta for parameter in network.parameters())
