"""docs/extending.md does what it says: one class and one YAML file make a new shortcut, one YAML file a placement."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from resnet_ablations.results.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
CLASSES, SETTINGS = "src/resnet_ablations/network/shortcuts.py", "conf/shortcut/learned_scaling.yaml"
PLACEMENT = "conf/activation/batch_norm_first.yaml"

Python = Callable[..., subprocess.CompletedProcess[str]]


def block(file: str, language: str) -> str:
    """The guide's first block in that language after it names the file."""
    found = re.search(rf"^```{language}\n(.*?)^```$", GUIDE[GUIDE.index(file) :], re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def sources(folder: Path) -> dict[str, bytes]:
    """All files of a copy but what running it compiles and leaves."""
    files = [path for top in ("src", "conf", "experiments") for path in (folder / top).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.suffix != ".pyc"}


def changed(original: dict[str, bytes], folder: Path) -> set[str]:
    """The files that differ from the project's, or that it does not have."""
    copy = sources(folder)
    return {name for name in original.keys() | copy.keys() if original.get(name) != copy.get(name)}


@pytest.fixture
def original(tmp_path: Path) -> dict[str, bytes]:
    """The files of the project, of which there is then a copy in `tmp_path`."""
    for folder in ("src", "conf", "experiments"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return sources(tmp_path)


@pytest.fixture
def extended(original: dict[str, bytes], tmp_path: Path) -> Path:
    """The copy, with the two blocks added."""
    with (tmp_path / CLASSES).open("a", encoding="utf-8") as file:
        file.write("\n\n" + block(CLASSES, "python"))
    assert SETTINGS not in original
    (tmp_path / SETTINGS).write_text(block(SETTINGS, "yaml"), encoding="utf-8")
    return tmp_path


def test_a_new_shortcut_is_one_class_and_one_yaml_file(
    extended: Path, original: dict[str, bytes], python: Python
) -> None:
    here = {"cwd": extended, "PYTHONPATH": str(extended / "src")}
    train = ("-m", "resnet_ablations.train", "shortcut=learned_scaling", "network.depth=8", "schedule.iterations=2")
    ended = python(*train, "trainer=cpu", **here)
    assert ended.returncode == 0, ended.stderr
    (path,) = (extended / "results" / "runs").iterdir()
    assert path.name.startswith("resnet8-learned_scaling-digits-")
    result = RunFolder(extended / "results", path.name).result()
    assert result is not None
    assert (result.outcome, result.iterations) == ("finished", 2)
    kept = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    assert kept["shortcut"] == yaml.safe_load(block(SETTINGS, "yaml"))
    assert changed(original, extended) == {CLASSES, SETTINGS}


def test_a_new_placement_is_one_yaml_file_and_so_is_a_new_network(
    original: dict[str, bytes], tmp_path: Path, python: Python
) -> None:
    """Its label is in the run's name; the network is the guide's bottleneck, of other stages."""
    branch = "\n".join(re.findall(r"`(kernels: \[.*?\])` and `(expansion: \d)`", GUIDE)[0])
    network, stages = "conf/network/two_stages.yaml", "depth: 11\nunits: [1, 2]\nwidths: [8, 8]"
    added = {
        PLACEMENT: block(PLACEMENT, "yaml"),
        network: f"defaults: [_cifar_bottleneck]\nlabel: two_stages\n{stages}\n{branch}\n",
    }
    for name, text in added.items():
        assert name not in original
        (tmp_path / name).write_text(text, encoding="utf-8")
    train = ("-m", "resnet_ablations.train", "activation=batch_norm_first", "network=two_stages")
    ended = python(*train, "schedule.iterations=2", "trainer=cpu", cwd=tmp_path, PYTHONPATH=str(tmp_path / "src"))
    assert ended.returncode == 0, ended.stderr
    (path,) = (tmp_path / "results" / "runs").iterdir()
    assert path.name.startswith("resnet11-two_stages-identity-batch_norm_first-digits-")
    result = RunFolder(tmp_path / "results", path.name).result()
    assert result is not None
    assert (result.outcome, result.iterations) == ("finished", 2)
    kept = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    assert kept["activation"] == yaml.safe_load(added[PLACEMENT])
    assert changed(original, tmp_path) == set(added)


def test_the_settings_of_a_new_shortcut_are_checked_as_the_guide_says(extended: Path, python: Python) -> None:
    (key, value) = re.findall(r"`(shortcut\.\w+)=(-\S+)`", GUIDE)[0]
    code = f"""
import resnet_ablations as ra
try:
    ra.compose(["shortcut=learned_scaling", "{key}={value}"])
except ra.UserError as error:
    print(error)
"""
    ended = python("-c", code, cwd=extended, PYTHONPATH=str(extended / "src"))
    assert ended.stdout.startswith(f"{key}={value}: must be"), ended.stdout + ended.stderr
