"""docs/extending.md does what it says: one class and one YAML file make a new shortcut, one YAML file a placement."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from resnet_ablations.experiments import Experiment
from resnet_ablations.results.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
CLASSES, SETTINGS = "src/resnet_ablations/network/shortcuts.py", "conf/shortcut/learned_scaling.yaml"
PLACEMENT, NETWORK = "conf/activation/batch_norm_first.yaml", "conf/network/two_stages.yaml"
WRONG = re.findall(r"`(shortcut\.\w+)=(-\S+)`", GUIDE)[0]
"""A setting of the new shortcut and a value that it may not have."""

pytestmark = pytest.mark.xdist_group("extending")  # one worker trains the run once

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


@dataclass(frozen=True)
class Extended:
    """A copy of the project with all that the guide adds, in which a run was trained."""

    folder: Path
    added: dict[str, str]
    """The text of each new file."""
    said: str
    """The output: the mistake in a setting of the new shortcut, then the run's summary."""
    original: dict[str, bytes]

    @property
    def run(self) -> RunFolder:
        """The folder of the run."""
        (path,) = (self.folder / "results" / "runs").iterdir()
        return RunFolder(self.folder / "results", path.name)


COMPOSE_THEN_TRAIN = """
import sys
import resnet_ablations as ra
from resnet_ablations.train import main
try:
    ra.compose(["shortcut=learned_scaling", sys.argv.pop(1)])
except ra.UserError as error:
    print(error)
main()
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory, python: Python) -> Extended:
    """One Python composes and trains, since each that starts imports torch."""
    copy = tmp_path_factory.mktemp("extended")
    for folder in ("src", "conf", "experiments"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    original = sources(copy)
    # The guide's bottleneck, of other stages.
    branch = "\n".join(re.findall(r"`(kernels: \[.*?\])` and `(expansion: \d)`", GUIDE)[0])
    stages = "depth: 11\nunits: [1, 2]\nwidths: [8, 8]"
    added = {
        SETTINGS: block(SETTINGS, "yaml"),
        PLACEMENT: block(PLACEMENT, "yaml"),
        NETWORK: f"defaults: [_cifar_bottleneck]\nlabel: two_stages\n{stages}\n{branch}\n",
    }
    for name, text in added.items():
        assert name not in original
        (copy / name).write_text(text, encoding="utf-8")
    with (copy / CLASSES).open("a", encoding="utf-8") as file:
        file.write("\n\n" + block(CLASSES, "python"))
    chosen = ("shortcut=learned_scaling", "activation=batch_norm_first", "network=two_stages")
    arguments = ("=".join(WRONG), *chosen, "schedule.iterations=2", "trainer=cpu")
    ended = python("-c", COMPOSE_THEN_TRAIN, *arguments, cwd=copy, PYTHONPATH=str(copy / "src"))
    assert ended.returncode == 0, ended.stderr
    return Extended(copy, added, ended.stdout, original)


def test_a_new_shortcut_is_one_class_and_one_yaml_file(extended: Extended) -> None:
    assert extended.run.key.split("-")[2] == "learned_scaling"
    assert extended.run.configuration()["shortcut"] == yaml.safe_load(extended.added[SETTINGS])


def test_a_new_placement_is_one_yaml_file_and_so_is_a_new_network(extended: Extended) -> None:
    """Their labels are in the run's name."""
    assert extended.run.key.startswith("resnet11-two_stages-learned_scaling-batch_norm_first-digits-")
    assert extended.run.configuration()["activation"] == yaml.safe_load(extended.added[PLACEMENT])


def test_no_other_file_is_touched_and_the_run_is_trained(extended: Extended) -> None:
    assert changed(extended.original, extended.folder) == {CLASSES, *extended.added}
    result = extended.run.result()
    assert result is not None
    assert (result.outcome, result.iterations) == ("finished", 2)
    assert result.summary() in extended.said


def test_the_settings_of_a_new_shortcut_are_checked_as_the_guide_says(extended: Extended) -> None:
    assert extended.said.startswith(f"{'='.join(WRONG)}: must be")


def test_the_row_of_the_guide_fits_the_table() -> None:
    declared = yaml.safe_load((ROOT / "experiments" / "shortcuts.yaml").read_text(encoding="utf-8"))
    rows = yaml.safe_load(block("In `shortcuts.yaml`", "yaml"))
    experiment = Experiment.model_validate(declared | {"name": "shortcuts", "rows": declared["rows"] + rows})
    (added,) = experiment.rows[len(declared["rows"]) :]
    assert len(added.labels) == len(experiment.headings)
