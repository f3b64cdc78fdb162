"""The names that others rely on: `import resnet_ablations as ra`, and the groups and keys of a configuration."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import resnet_ablations as ra

Python = Callable[..., subprocess.CompletedProcess[str]]


def test_imports_wait_for_their_use(python: Python, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    code = """
import sys
import resnet_ablations as ra
assert set(ra.__all__) <= set(dir(ra))
assert not {"torch", "hydra", "pandas"} & set(sys.modules), "on import"
ra.load_results("results"), ra.load_curves("results"), ra.load_responses("results"), ra.UserError
ra.load_cells("results"), ra.load_paper("shortcuts")
assert not {"torch", "torchvision", "pytorch_lightning", "hydra"} & set(sys.modules), "on reading"
ra.compose(["shortcut=dropout"])
assert not {"torch._dynamo", "pytorch_lightning"} & set(sys.modules), "on composing"
"""
    ended = python("-c", code, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert list(tmp_path.rglob("*")) == [tmp_path / "results"]


def test_the_names() -> None:
    assert set(ra.__all__) == {
        "UserError",
        "build_network",
        "compose",
        "datamodule",
        "lightning_module",
        "load_cells",
        "load_curves",
        "load_lesions",
        "load_network",
        "load_paper",
        "load_path_gradients",
        "load_responses",
        "load_results",
        "load_signals",
    }
    assert all(callable(getattr(ra, name)) for name in ra.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ra.nothing


def test_a_configuration_twice() -> None:
    overrides = ["network=resnet110", "shortcut=exclusive_gating", "shortcut.gate_bias=-6"]
    first, second = ra.compose(overrides), ra.compose(overrides)
    assert first.key == second.key
    assert first.as_dict() == second.as_dict()
    assert first.as_dict()["shortcut"]["gate_bias"] == -6
    assert overrides == ["network=resnet110", "shortcut=exclusive_gating", "shortcut.gate_bias=-6"]


@pytest.mark.parametrize(
    ("data", "images", "classes"),
    [
        ("digits", (5, 1, 8, 8), 10),
        ("cifar10", (5, 3, 32, 32), 10),
        ("cifar100", (5, 3, 32, 32), 100),
        ("fashion_mnist", (5, 1, 28, 28), 10),
    ],
)
def test_a_network_maps_images_to_logits(
    data: str, images: tuple[int, ...], classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = ra.build_network(ra.compose([f"data={data}", "network=resnet20"]))
    assert isinstance(network, torch.nn.Module)
    logits = network(torch.rand(images))
    assert logits.shape == (5, classes)
    assert logits.dtype == torch.float32
    assert list(tmp_path.iterdir()) == [], "nothing is downloaded for it"


def test_mistakes_are_user_errors() -> None:
    with pytest.raises(ra.UserError, match="network=resnet111"):
        ra.compose(["network=resnet111"])


@pytest.mark.parametrize(
    ("group", "options"),
    [
        ("network", ["resnet20", "resnet32", "resnet44", "resnet56", "resnet110"]),
        (
            "shortcut",
            ["identity", "constant_scaling", "exclusive_gating", "shortcut_only_gating", "conv1x1", "dropout"],
        ),
        ("activation", ["original"]),
        ("data", ["digits", "cifar10", "cifar100", "fashion_mnist"]),
        ("trainer", ["auto", "cpu"]),
    ],
)
def test_groups(group: str, options: list[str]) -> None:
    for option in options:
        ra.compose([f"{group}={option}"])


def test_keys(tmp_path: Path) -> None:
    run = ra.compose(
        [
            "seed=3",
            "schedule.iterations=10",
            "schedule.batch_size=16",
            "network.depth=14",
            "network.dimension_change=zero_pad",
            "bn_batch=8",
            "precision=bf16-mixed",
            f"paths.results={tmp_path}",
            "data=cifar10",
            f"data.root={tmp_path}",
        ]
    )
    assert run.seed == 3
    assert run.paths.results == str(tmp_path)
