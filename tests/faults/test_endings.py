"""Runs that do not finish, and their effect on the others."""

import json
import os
import signal
from typing import Any

import pytest
from commands import has_pending, stopped
from sweeps import FOUR, HOW, ONE, Sweeps

from resnet_ablations.results.run_folder import RunFolder

pytestmark = pytest.mark.xdist_group("faults")


def keys(undisturbed: dict[str, Any]) -> list[str]:
    """The runs of the four in the order in which they are started."""
    found = {path.split("/")[1] for path in undisturbed if path.count("/") == 2}
    return sorted(found, key=lambda key: ("dropout" in key, key))


def test_two_failed_runs_do_not_disturb_the_others(sweeps: Sweeps, undisturbed: dict[str, Any]) -> None:
    """One run is killed at each third checkpoint; another one finds a folder in place of its curve file."""
    killed, well, blocked, well_too = (RunFolder(sweeps.results, key) for key in keys(undisturbed))
    blocked.curve.mkdir(parents=True)
    again = {"under": str(killed.path), "event": "open", "name": ".checkpoint-*", "nth": 3, "do": "kill"}
    command = sweeps.run(*FOUR, *HOW, "sweep.retries=2", faults=[again])

    assert command.code == 1
    assert command.said.splitlines()[-4:] == [
        f"{killed.key}: failed: killed by signal 9; see {killed.log}",
        f"{blocked.key}: failed: {sweeps.states[blocked.key].reason}; see {blocked.log}",
        "sweep: 2 failed, 2 finished",
        "sweep: 2 of 4 runs have no result; the same command continues with them",
    ]
    assert sweeps.states[blocked.key].reason.startswith("IsADirectoryError")
    assert "Traceback" in blocked.log.read_text()
    assert "Traceback" not in command.said
    starts = [line.rpartition(" ")[2] for line in killed.log.read_text().splitlines() if "from step" in line]
    assert starts == ["0", "6", "12"], "as often as sweep.retries says, each time from its checkpoint"
    assert blocked.log.read_text().count(f"{blocked.key} failed") == 1, (
        "with a reason of its own there is no second time"
    )
    for run in (well, well_too):
        assert json.loads((run.path / "result.json").read_text())["outcome"] == "finished"
        assert run.log.read_text().count("from step") == 1

    blocked.curve.rmdir()
    command = sweeps.run(*FOUR, *HOW)
    assert command.code == 0, command.said
    assert sweeps.outcome() == undisturbed


def test_the_first_that_fails_stops_the_others_if_that_is_wanted(sweeps: Sweeps, undisturbed: dict[str, Any]) -> None:
    killed, other, *later = (RunFolder(sweeps.results, key) for key in keys(undisturbed))
    third = {"event": "open", "name": ".checkpoint-*", "nth": 3, "do": "stop"}
    command = sweeps.start(*FOUR, *HOW, "sweep.retries=0", "sweep.fail_fast=true", faults=[third])
    assert command.reached(lambda: len(stopped(command.pid)) == 2)
    owners = sweeps.owners()
    os.kill(owners[killed.key], signal.SIGKILL)
    assert command.reached(lambda: has_pending(owners[other.key], signal.SIGTERM))
    os.kill(owners[other.key], signal.SIGCONT)
    assert command.wait() == 1
    assert sweeps.states[killed.key].outcome == "failed"
    assert sweeps.states[other.key].outcome == "interrupted"
    assert sweeps.states[other.key].resumable_from == 10, "it made one step more"
    assert [sweeps.states[run.key].outcome for run in later] == ["missing", "missing"]
    assert "sweep: 1 failed, 1 interrupted, 2 not started" in command.said


def test_a_loss_that_is_no_number_is_a_result_and_no_average(sweeps: Sweeps) -> None:
    rows = ("experiment=shortcuts", "scale=quick", "rows=original,dropout", "columns=error", "seed=0,1")
    settings = ("network.depth=8", *ONE[3:], "schedule.learning_rate=1e30", "schedule.warmup_iterations=0")
    command = sweeps.run(*rows, *settings, *HOW)
    assert command.code == 0, command.said
    assert command.said.count(": diverged within ") == 4
    assert "4 diverged" in command.said
    assert {state.outcome for state in sweeps.states.values()} == {"diverged"}
    assert [run.log.read_text().count("from step") for run in sweeps.runs] == [1] * 4
    (table,) = (sweeps.results / "report").glob("*.md")
    assert "diverged" in table.read_text()
    assert "nan" not in table.read_text()
    assert "0 to train" in sweeps.run(*rows, *settings, *HOW).said
