"""Two processes that believe to be two machines of one name train one run; each may be suspended at any moment."""

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from commands import Command, stopped
from observing import wait_until
from sweeps import ONE, Sweeps, part_of

pytestmark = pytest.mark.xdist_group("faults")

HOW = ("trainer=cpu", "trainer.checkpoint_iterations=3", "trainer.threads=1")
SHORT = (*ONE, "schedule.iterations=8", "schedule.log_every=2", "schedule.evaluate_every=4", *HOW)
SILENT = 0.2
"""The seconds of silence after which the second process takes the first one for dead."""
ENDS = ("test error", "trains it", "has taken the run over", "has held this lock")
"""The ends of the last line of a process."""


def resume(command: Command) -> None:
    for pid in stopped(command.pid):
        os.kill(pid, signal.SIGCONT)


def ended_or_resumed(command: Command) -> bool:
    resume(command)
    return command.code is not None


def meet(sweeps: Sweeps, draw: random.Random, surely: bool) -> tuple[str, Command, Command]:
    """Suspend the first process at a moment, let the second one come, and then let both end.

    If `surely`, the first one is suspended before it opens the run's lock, while it trains, and the second one takes
    the run over.
    """
    moment: dict[str, Any] = {"name": "claim.json", "nth": 10} if surely else {"nth": draw.randint(1, 120)}
    first = sweeps.start_on("first", *ONE, *HOW, **moment)
    first.reached(lambda: stopped(first.pid) != [])
    silent = surely or draw.random() < 0.75
    second = sweeps.start_on(
        "second",
        *(*ONE, *HOW),
        ahead=draw.choice([0, 360, -360]),
        nth=0 if surely else draw.choice([0, draw.randint(1, 120)]),
        patience=SILENT if silent else 300.0,
    )
    second.reached(lambda: stopped(second.pid) != [] or ("waiting for a heartbeat" in second.said and not silent))
    resume(first)
    if draw.random() < 0.5 and stopped(second.pid):
        first.wait()
    wait_until(lambda: ended_or_resumed(first) and ended_or_resumed(second))
    return "silent" if silent else "alive", first, second


def check(sweeps: Sweeps, overrides: tuple[str, ...], expected: dict[str, Any], *commands: Command) -> list[str]:
    """Check that one of the processes has finished the run, and that each ended with a line; return these ends."""
    (run,) = sweeps.runs
    assert run.result() is not None, [command.said for command in commands]
    ends = []
    for command in commands:
        assert "Traceback" not in command.said
        last = command.said.splitlines()[-1]
        ends.append(next((end for end in ENDS if end in last), last))
        assert (command.code == 0) is (ends[-1] == "test error"), command.said
    assert "test error" in ends
    if [*run.path.glob("status.json"), *run.path.glob("checkpoint-*")]:
        # Its write was under way when it was suspended; the next command removes such a file.
        assert sweeps.start_on("first", *overrides).wait() == 0
        ends.append("tidied")
    assert sweeps.outcome() == part_of(expected, run.key)
    return ends


@pytest.mark.parametrize("moments", [4, pytest.param(50, marks=pytest.mark.long)])
def test_one_of_them_finishes_the_run_and_the_other_one_stops_with_a_line(
    sweeps_in: Callable[..., Sweeps], undisturbed: dict[str, Any], moments: int
) -> None:
    draw = random.Random(18)
    seen: Counter[str] = Counter()
    for number in range(moments):
        sweeps = sweeps_in(f"moment{number}")
        owner, *both = meet(sweeps, draw, surely=number == 0)
        seen.update(f"{owner}: {end}" for end in check(sweeps, (*ONE, *HOW), undisturbed, *both))
    print(f"{moments} moments: {dict(seen)}")
    assert seen["silent: has taken the run over"] > 0


@pytest.mark.long
def test_the_first_one_is_suspended_at_each_operation_on_a_file(sweeps_in: Callable[..., Sweeps]) -> None:
    alone = sweeps_in("alone")
    assert alone.start_on("first", *SHORT).wait() == 0
    seen: Counter[str] = Counter()
    place = 0
    while True:
        place += 1
        sweeps = sweeps_in(f"place{place}")
        first = sweeps.start_on("first", *SHORT, nth=place)
        if not first.reached(lambda first=first: stopped(first.pid) != []):  # type: ignore[misc]
            break
        second = sweeps.start_on("second", *SHORT, patience=SILENT)
        second.wait()
        resume(first)
        first.wait()
        seen.update(check(sweeps, SHORT, alone.outcome(), first, second))
        shutil.rmtree(sweeps.place)
    print(f"{place - 1} places: {dict(seen)}")
    assert place > 40
    # In the other places the first one holds the lock, or the run has its result.
    assert seen["has taken the run over"] > 0
