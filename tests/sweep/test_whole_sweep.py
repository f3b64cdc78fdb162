"""Sweeps from the command line to the table, with real processes and every launcher that comes with Hydra."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from resnet_ablations.cores import usable_cores
from resnet_ablations.results.frames import load_curves, load_results
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.sweep.slots import Slots

# One worker trains the table once, and has the warm Python.
pytestmark = pytest.mark.xdist_group("warm")

Python = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
TRAIN = ("-m", "resnet_ablations.train", "-m")
TINY = ("network.depth=8", "schedule.iterations=6", "trainer=cpu")
TABLE_1 = ("experiment=shortcuts", "scale=quick", *TINY, "paths.results=mine")


@pytest.fixture(scope="module")
def swept(python: Python, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which Table 1 was trained, six iterations a run, and what was printed."""
    folder = tmp_path_factory.mktemp("sweep")
    ended = python(*TRAIN, *TABLE_1, cwd=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    progress = re.compile(r"(planning|counting networks): \d+ of 16 \w+")  # printed if the machine is slow
    assert [line for line in ended.stderr.splitlines() if not progress.fullmatch(line)] == []
    return folder, ended.stdout


def test_every_run_of_table_1_has_its_result(swept: tuple[Path, str]) -> None:
    folder, said = swept
    runs = load_results(folder / "mine")
    assert len(runs) == 16
    assert set(runs["outcome"]) == {"finished"}
    assert set(runs["iterations"]) == {6}
    assert runs.groupby("shortcut").size().to_dict() == {
        "constant_scaling": 3,
        "conv1x1": 1,
        "dropout": 1,
        "exclusive_gating": 8,
        "identity": 1,
        "shortcut_only_gating": 2,
    }
    assert set(load_curves(folder / "mine")["key"]) == set(runs["key"])
    assert all(result.summary() in said for key in runs["key"] if (result := RunFolder(folder / "mine", key).result()))
    assert {path.name for path in folder.iterdir()} == {"mine"}, "Hydra leaves nothing of its own"


def test_every_run_of_the_plan_is_where_the_plan_says(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    (path,) = (folder / "mine" / "sweeps").iterdir()
    plan = json.loads(path.read_text())
    assert plan["seeds"] == [0]
    planned = {f"{name}-s0" for row in plan["cells"].values() for names in row.values() for name in names}
    assert planned == {path.name for path in (folder / "mine" / "runs").iterdir()}


def test_each_run_has_a_log(swept: tuple[Path, str]) -> None:
    for path in (swept[0] / "mine" / "runs").iterdir():
        log = (path / "log.txt").read_text()
        assert path.name in log
        assert "6/6" in log


def test_runs_of_a_sweep_share_the_cores(swept: tuple[Path, str]) -> None:
    """There is a process for each core, with one thread; more threads than cores would be twenty times slower."""
    assert f"{Slots(usable_cores(), 1)}\n" in swept[1]
    for path in (swept[0] / "mine" / "runs").iterdir():
        assert json.loads((path / "result.json").read_text())["provenance"]["machine"]["threads"] == 1


ROWS = ["original", "constant", "frozen", "exclusive", "init b_g", "shortcut-only", "1×1 conv", "dropout"]
"""Words of the table that no narrow column breaks."""


def test_the_table_is_printed_when_the_sweep_ends(swept: tuple[Path, str]) -> None:
    _, said = swept
    table = said[said.rindex("[16/16]") :]
    assert all(row in table for row in ROWS)
    assert all(printed in table for printed in ("6.61", "12.35", "8.70", "9.81", "12.86", "6.91", "12.22", "fail"))


def test_the_report_alone_shows_every_row(swept: tuple[Path, str], warm_python: Python) -> None:
    folder, _ = swept
    ended = warm_python("-m", "resnet_ablations.report", "mine", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert all(row in ended.stdout for row in ROWS)
    (of_runs,) = (folder / "mine" / "report").glob("shortcuts-*-runs.csv")
    of_cells = of_runs.with_name(of_runs.name.replace("-runs", ""))
    assert len(pd.read_csv(of_cells)) == len(pd.read_csv(of_runs)) == 16
    (markdown,) = (folder / "mine" / "report").glob("shortcuts-*.md")
    errors = load_results(folder / "mine").query("shortcut in ('identity', 'dropout', 'conv1x1')")["test_error"]
    assert all(f"{error:.2f}" in markdown.read_text() for error in errors)


def test_the_second_time_nothing_is_trained(swept: tuple[Path, str], warm_python: Python) -> None:
    """A run whose folder was deleted is trained again, with the same curve."""
    folder, _ = swept
    results = folder / "mine" / "runs"
    gone = next(path for path in results.iterdir() if "dropout" in path.name)
    before = {path: path.stat().st_mtime_ns for path in results.glob("*/result.json")}
    curve = (gone / "curve.csv").read_bytes()
    shutil.rmtree(gone)
    ended = warm_python(*TRAIN, *TABLE_1, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert "16 runs, 15 finished, 1 to train" in ended.stdout
    after = {path: path.stat().st_mtime_ns for path in results.glob("*/result.json")}
    assert {path for path in after if after[path] != before[path]} == {gone / "result.json"}
    assert (gone / "curve.csv").read_bytes() == curve
