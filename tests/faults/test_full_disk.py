"""A full disk in each kind of write: one clear line, nothing lost, and the same command continues later."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Command, stopped
from sweeps import FOUR, HOW, ONE, Sweeps, part_of

pytestmark = pytest.mark.xdist_group("faults")

KEY = "dropout"
Mount = Callable[..., Path]


@pytest.fixture
def mount(sweeps: Sweeps) -> Iterator[Mount]:
    """Puts a small file system in memory in the place of the results folder."""
    mounted = False

    def make(megabytes: int, options: str = "rw") -> Path:
        nonlocal mounted
        if os.geteuid() != 0:
            pytest.skip("skipped: to mount a small file system takes root")
        sweeps.results.mkdir(exist_ok=True)
        how = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,{options}", "tmpfs", str(sweeps.results)]
        if (said := subprocess.run(how, capture_output=True, text=True)).returncode:
            pytest.skip(f"skipped: {said.stderr.strip()}")
        mounted = True
        return sweeps.results

    yield make
    if mounted:
        for command in sweeps.started:
            command.end()
        subprocess.run(["umount", "--lazy", str(sweeps.results)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the free space."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"\1" * size) == size:
                    pass
            except OSError:
                pass
    return ballast


def stopped_before(sweeps: Sweeps, *overrides: str, **fault: Any) -> Command:
    """A sweep of one run, whose process is stopped at a point."""
    command = sweeps.start(*overrides, faults=[{"do": "stop", **fault}])
    assert command.reached(lambda: stopped(command.pid) != []), command.said
    return command


def goes_on(command: Command) -> None:
    (pid,) = stopped(command.pid)
    os.kill(pid, signal.SIGCONT)
    assert command.wait() == 1


def check_said(command: Command, sweeps: Sweeps) -> None:
    """One line of the one run, which is said to have failed, once."""
    (run,) = sweeps.runs
    line = f"{run.path}: no space left; make room, and the same command goes on from the last checkpoint"
    assert f"{run.key}: failed: {line}; see {run.log}" in command.said.splitlines()
    assert "Traceback" not in command.said
    assert "retrying" not in command.said, "it would only fail again"
    assert sweeps.states[run.key].outcome == "failed"
    assert sweeps.states[run.key].reason == line


def test_a_disk_that_fills_up_in_a_checkpoint_and_then_in_the_result(
    sweeps: Sweeps, mount: Mount, undisturbed: dict[str, Any]
) -> None:
    results = mount(6)
    command = stopped_before(sweeps, *ONE, *HOW, event="open", name=".checkpoint-*", nth=4)
    (run,) = sweeps.runs
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in run.path.glob("checkpoint-*")}
    ballast = fill(results)
    goes_on(command)
    check_said(command, sweeps)
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in run.path.glob("*checkpoint-*")} == before
    assert sweeps.states[run.key].resumable_from == 9

    command = sweeps.run(*ONE, *HOW)
    assert command.code == 2
    assert len(command.said.splitlines()) == 1
    assert "0 MB free, but checkpoints of 1 runs at once need" in command.said
    ballast.unlink()

    command = sweeps.run(*ONE, *HOW, faults=[{"event": "os.rename", "name": "result.json", "do": "fill"}])
    assert command.code == 1
    check_said(command, sweeps)
    assert "from step 9" in run.log.read_text()
    command = sweeps.run(*ONE, *HOW)
    assert command.code == 0, command.said
    assert sweeps.outcome() == part_of(undisturbed, run.key)


@pytest.mark.long
def test_a_disk_that_fills_up_in_the_curve(sweeps: Sweeps, mount: Mount) -> None:
    results = mount(6)
    # So many rows that they take more than the page which a file may have already.
    longer = (*ONE, "schedule.iterations=130", "schedule.evaluate_every=130", "trainer.checkpoint_iterations=null")
    command = stopped_before(sweeps, *HOW, *longer, event="os.rename", name="curve.csv")
    ballast = fill(results)
    goes_on(command)
    check_said(command, sweeps)
    (run,) = sweeps.runs
    assert not list(run.path.glob("checkpoint-*"))
    ballast.unlink()
    assert sweeps.run(*HOW, *longer).code == 0
    after = sweeps.outcome()
    for path in run.path.iterdir():
        path.unlink()
    assert sweeps.run(*HOW, *longer).code == 0
    assert sweeps.outcome() == after


@pytest.mark.parametrize("fault", [{"name": "config.yaml", "of": "sweep"}, {"name": "config.yaml"}], ids=str)
def test_a_disk_that_is_full_before_a_run_begins(
    sweeps: Sweeps, undisturbed: dict[str, Any], fault: dict[str, str]
) -> None:
    command = sweeps.run(*ONE, *HOW, faults=[{"event": "os.rename", "do": "fill", **fault}])
    assert command.code == (2 if "of" in fault else 1)
    assert "Traceback" not in command.said
    assert command.said.count("no space left") == (1 if "of" in fault else 2)
    (run,) = sweeps.runs
    assert sweeps.run(*ONE, *HOW).code == 0
    assert sweeps.outcome() == part_of(undisturbed, run.key)


def refused(command: Command, *words: str) -> None:
    assert command.code == 2
    (line,) = command.said.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words)


def test_unusable_folders_are_refused_before_a_sweep_starts(sweeps: Sweeps, mount: Mount) -> None:
    missing = sweeps.place / "not" / "there"
    refused(sweeps.run(*FOUR, *HOW, "data=image_folder", f"data.root={missing}"), str(missing))
    assert not sweeps.results.exists()
    sweeps.results = missing
    refused(sweeps.run(*FOUR, *HOW), str(missing.parent), "does not exist; create it, or mount")
    assert not missing.parent.exists()
    sweeps.results = sweeps.place / "results"
    results = mount(1)
    refused(sweeps.run(*FOUR, *HOW), "checkpoints of 2 runs at once need", "make room, or choose another folder")
    assert list(results.iterdir()) == []
    mount(1, "ro")
    refused(sweeps.run(*FOUR, *HOW), str(results), "cannot be written: Read-only file system")
    assert list(results.iterdir()) == []
    subprocess.run(["umount", str(results)], check=True)
