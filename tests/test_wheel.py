"""The wheel and the source distribution: what is in them, and that an installed package needs no repository."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from resnet_ablations.results.frames import load_results

# One worker builds and installs once.
pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parents[1]
TINY = ("network.depth=8", "schedule.iterations=2", "trainer=cpu", "trainer.threads=1")


def build(source: Path, into: Path, *targets: str) -> list[Path]:
    """Build the targets of a source folder, without network, and return their files."""
    wanted = [part for target in targets for part in ("-t", target)]
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(into), *wanted]
    ended = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return sorted(into.iterdir())


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution and the wheel of the project."""
    sdist, wheel = sorted(build(ROOT, tmp_path_factory.mktemp("dist"), "sdist", "wheel"), key=lambda p: p.suffix)
    return sdist, wheel


def test_the_wheel_has_the_files_beside_the_code(distributions: tuple[Path, Path]) -> None:
    files = content(distributions[1])
    for folder in ("conf", "experiments", "results/reference/runs"):
        carried = {
            name: text for name, text in files.items() if name.startswith(f"resnet_ablations/repository/{folder}/")
        }
        there = {path: path.read_bytes() for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert carried == {
            f"resnet_ablations/repository/{path.relative_to(ROOT).as_posix()}": text for path, text in there.items()
        }
    assert {"resnet_ablations/py.typed", "resnet_ablations/report/figures/paper.mplstyle"} <= files.keys()
    assert "hydra_plugins/resnet_ablations_plugins/plugins.py" in files
    assert not any(name.startswith(("tests/", "src/")) for name in files)


def test_every_library_that_the_package_imports_is_a_declared_dependency() -> None:
    """The environment of the tests below lends its libraries to the wheel, so a missing one would not be seen."""
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {name.partition(".")[0] for name in names}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^\w.-]", line)[0].lower() for line in project["dependencies"]}
    providers = packages_distributions()
    others = imported - sys.stdlib_module_names - {"resnet_ablations", "hydra_plugins"}
    assert {"torch", "markupsafe"} <= others
    assert [name for name in sorted(others) if not declared & {of.lower() for of in providers.get(name, [])}] == []


def test_the_source_distribution_builds_the_same_wheel(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    sdist, wheel = distributions
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    (again,) = build(unpacked, tmp_path / "dist", "wheel")
    assert content(again) == content(wheel)


@pytest.fixture(scope="module")
def installed(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that has the wheel, and this environment's libraries."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", distributions[1]]
    subprocess.run(install, check=True)
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    # A line of a .pth adds the folder alone: the .pth of an editable installation in it is not read.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python.parent


@pytest.fixture
def command(installed: Path, tmp_path: Path) -> "Command":
    return Command(installed, tmp_path)


class Command:
    """The command of the installed package, called in another folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder

    def __call__(self, *arguments: str, program: str = "resnet-ablations") -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        ended = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            env={**environment, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


def test_a_row_of_a_table_is_trained_and_reported_in_another_folder(command: Command) -> None:
    said = command("sweep", "shortcuts", "rows=original", *TINY, "seed=5")
    assert "1 finished" in said
    (run,) = load_results(command.folder / "results").to_dict("records")
    assert (run["outcome"], run["seed"], run["commit"]) == ("finished", 5, None)
    (table,) = (command.folder / "results" / "report").glob("shortcuts-quick-*.md")
    assert f"| {run['test_error']:.2f} |" in table.read_text(encoding="utf-8")
    assert f"{run['test_error']:.2f}" in said
    assert {path.name for path in command.folder.iterdir()} == {"results"}
    assert command("status").count("finished") == 1


def test_a_sweep_makes_its_report_beside_the_published_runs(command: Command) -> None:
    """The runs are copies of published ones, so that nothing has to be trained."""
    where = command("-c", "import resnet_ablations.paths as p; print(p.ROOT)", program="python").strip()
    assert not Path(where).is_relative_to(ROOT)
    for run in Path(where).glob("results/reference/runs/resnet56-identity-digits-*-s0"):
        shutil.copytree(run, command.folder / "results" / "runs" / run.name)
    assert "1 runs, 1 finished, 0 to train" in command("sweep", "shortcuts", "rows=original", "seed=0")
    table = (command.folder / "results" / "report" / "shortcuts-quick.md").read_text(encoding="utf-8")
    assert "| reference |" in table
    assert not (command.folder / "results" / "report" / "index.html").exists()
    command("report")
    assert (command.folder / "results" / "report" / "index.html").exists()
