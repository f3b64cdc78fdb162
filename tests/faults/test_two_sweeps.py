"""Two sweeps over the same results: one owner a run."""

import os
import signal
from typing import Any

import pytest
from commands import stopped
from observing import wait_until
from sweeps import FOUR, HOW, Sweeps

pytestmark = pytest.mark.xdist_group("faults")


def test_started_at_the_same_moment_each_run_is_trained_exactly_once(
    sweeps: Sweeps, undisturbed: dict[str, Any]
) -> None:
    at_the_start = {"event": "any", "name": "*", "of": "sweep", "do": "stop"}
    one_run = {"event": "os.rename", "name": "checkpoint-*", "do": "stop", "once": str(sweeps.place / "once")}
    both = [
        sweeps.start(*FOUR, *HOW, faults=[at_the_start, one_run], output=sweeps.place / f"said{number}.txt")
        for number in range(2)
    ]
    for command in both:
        assert command.reached(lambda command=command: stopped(command.pid) != [])  # type: ignore[misc]
    for command in both:
        os.kill(command.pid, signal.SIGCONT)
    # A run that lasts: whichever sweep has it, the other has to wait for it.
    runs: list[int] = []
    wait_until(lambda: runs.extend(stopped(both[0].pid) + stopped(both[1].pid)) or runs)
    wait_until(lambda: any("trains it; waiting for it" in command.said for command in both))
    (run,) = runs
    os.kill(run, signal.SIGCONT)
    for command in both:
        assert command.wait() == 0, command.said
        assert "sweep: 4 finished" in command.said
    assert [run.log.read_text().count("from step ") for run in sweeps.runs] == [1, 1, 1, 1]
    assert sweeps.outcome() == undisturbed
