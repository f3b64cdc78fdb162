"""Two processes that believe to be two machines of one name train one run; each may be suspended at any moment."""

import os
import random
import signal
from collections.abc import Callable
from typing import Any

import pytest
from commands import Command, stopped
from observing import wait_until
from sweeps import ONE, Sweeps, part_of

from resnet_ablations.results import locks

pytestmark = pytest.mark.xdist_group("faults")

HOW = ("trainer=cpu", "trainer.checkpoint_iterations=3", "trainer.threads=1")


def resume(command: Command) -> None:
    for pid in stopped(command.pid):
        os.kill(pid, signal.SIGCONT)


def ended_or_resumed(command: Command) -> bool:
    resume(command)
    return command.code is not None


def meet(sweeps: Sweeps, draw: random.Random) -> tuple[str, Command, Command]:
    """Suspend the first process at a moment, let the second one come, and then let both end."""
    first = sweeps.start_on("first", *ONE, *HOW, nth=draw.randint(1, 75))
    first.reached(lambda: stopped(first.pid) != [])
    silent = draw.random() < 0.75
    for claim in sweeps.results.glob("runs/*/claim.json") if silent else ():
        heartbeat = claim.stat().st_mtime - locks.DEAD_AFTER_SECONDS - 60
        os.utime(claim, (heartbeat, heartbeat))
    second = sweeps.start_on(
        "second", *ONE, *HOW, ahead=draw.choice([0, 360, -360]), nth=draw.choice([0, draw.randint(1, 75)])
    )
    if has_results_lock(sweeps):
        resume(first)  # the second one waits for it
    second.reached(lambda: stopped(second.pid) != [])
    if has_results_lock(sweeps):
        resume(second)
    resume(first)
    if draw.random() < 0.5 and stopped(second.pid):
        first.wait()
    wait_until(lambda: ended_or_resumed(first) and ended_or_resumed(second))
    return "silent" if silent else "alive", first, second


def has_results_lock(sweeps: Sweeps) -> bool:
    """Return whether a process holds the lock of the results folder, also one that is suspended."""
    try:
        with locks.file_lock(sweeps.results / ".lock", wait=False):
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("moments", [4, pytest.param(50, marks=pytest.mark.long)])
def test_one_of_them_finishes_the_run_and_the_other_one_stops_with_a_line(
    sweeps_in: Callable[..., Sweeps], undisturbed: dict[str, Any], moments: int
) -> None:
    draw = random.Random(18)
    seen: dict[str, int] = {}
    for number in range(moments):
        sweeps = sweeps_in(f"moment{number}")
        owner, first, second = meet(sweeps, draw)
        (run,) = sweeps.runs
        assert run.result() is not None, f"moment {number}: {first.said}{second.said}"
        assert 0 in (first.code, second.code)
        for command in (first, second):
            assert "Traceback" not in command.said
            last = command.said.splitlines()[-1]
            end = next(end for end in ("test error", "which trains it", "has taken the run over") if end in last)
            assert (command.code == 0) is (end == "test error")
            seen[f"{owner}: {end}"] = seen.get(f"{owner}: {end}", 0) + 1
        if [*run.path.glob("status.json"), *run.path.glob("checkpoint-*")]:
            # Its write was under way when it was suspended; the next command removes such a file.
            assert sweeps.start_on("first", *ONE, *HOW).wait() == 0
            seen["tidied"] = seen.get("tidied", 0) + 1
        assert sweeps.outcome() == part_of(undisturbed, run.key), f"moment {number}"
    print(f"{moments} moments: {seen}")
