"""Runs on two devices: if one process is killed or stopped, the other one stops too, and other runs continue."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import processes
from observing import wait_until
from sweeps import HOW, ONE, Sweeps

pytestmark = pytest.mark.xdist_group("faults")

LONGER = ("schedule.iterations=90", "schedule.log_every=2")
TWO_RANKS = ("trainer.devices=2", "hydra.launcher.runs_per_device=1", "sweep.retries=0", *LONGER)
FILES = ("data=imagenet", "data.classes=3", "data.crop=16", "trainer.workers=1", "schedule.evaluate_every=90")
"""Images that further processes decode."""


def ranks_of(sweeps: Sweeps, group: int, key: str) -> list[int]:
    """The processes that train a run, the first rank first; none before all are there."""
    if (supervisor := sweeps.owners().get(key)) is None:
        return []
    there = list(processes(group))
    servers = {
        pid
        for pid, parent, _ in there
        if parent == supervisor and b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }
    found = sorted(pid for pid, parent, _ in there if parent in servers)
    return found if len(found) == 2 else []


def rows_of(sweeps: Sweeps, key: str) -> int:
    curves = [folder.curve for folder in sweeps.runs if folder.key == key and folder.curve.exists()]
    return sum(max(0, curve.read_bytes().count(b"\n") - 1) for curve in curves)


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.long), 1])
def test_a_killed_rank_ends_its_run_and_no_other(sweeps: Sweeps, photos: Path, rank: int) -> None:
    two = (*ONE, *HOW, *TWO_RANKS, *FILES, f"data.root={photos}", "seed=0,1")
    command = sweeps.start(*two)
    assert command.reached(lambda: len(sweeps.runs) == 2), command.said
    struck = sweeps.run_of("-s0").key
    assert command.reached(lambda: rows_of(sweeps, struck) >= 5)
    os.kill(ranks_of(sweeps, command.pid, struck)[rank], signal.SIGKILL)

    assert command.wait() == 1
    wait_until(lambda: not list(processes(command.pid)))
    states = sweeps.states
    assert {key[-2:]: state.outcome for key, state in states.items()} == {"s0": "failed", "s1": "finished"}
    assert states[struck].reason == f"rank {rank} of 2 was killed by signal 9"
    assert states[struck].resumable_from is not None


def test_a_signal_to_one_rank_stops_both_at_the_same_step_and_the_run_goes_on(
    sweeps: Sweeps, left_by: Callable[..., dict[str, Any]]
) -> None:
    """A sweep of runs on several devices leaves the same files as one on one device: nothing of the other ranks."""
    one = (*ONE, *HOW, *TWO_RANKS)
    undisturbed = left_by(*ONE, *TWO_RANKS)
    command = sweeps.start(*one)
    assert command.reached(lambda: len(sweeps.runs) == 1), command.said
    key = sweeps.runs[0].key
    assert command.reached(lambda: rows_of(sweeps, key) >= 5)
    os.kill(ranks_of(sweeps, command.pid, key)[1], signal.SIGTERM)

    assert command.wait() == 1
    (state,) = sweeps.states.values()
    assert state.outcome == "interrupted"
    assert state.resumable_from == state.iteration
    wait_until(lambda: not list(processes(command.pid)))

    assert sweeps.run(*one).code == 0
    assert {state.outcome for state in sweeps.states.values()} == {"finished"}
    assert sweeps.outcome() == undisturbed
    assert sweeps.temporary_files() == set()
    names = {path.name for path in (sweeps.results / "runs" / key).iterdir()}
    assert names - {"changes.diff"} == {
        "config.yaml",
        "curve.csv",
        "layer_responses.csv",
        "log.txt",
        "result.json",
        "signals.csv",
        "weights.pt",
    }
    assert {path.name for path in sweeps.results.iterdir()} == {"runs"}
    assert {path.name for path in sweeps.place.iterdir()} == {"results", "said.txt"}
