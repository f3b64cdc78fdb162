"""SIGKILL, at any moment and of any process: the same command again ends with the same numbers and no other file."""

import os
import random
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from commands import Command, processes, stopped
from observing import wait_until
from sweeps import EVERY, FOUR, HOW, ONE, Sweeps, part_of

pytestmark = pytest.mark.xdist_group("faults")

WRITES = ("checkpoint-*", "curve.csv", "result.json", "status.json", "config.yaml", "layer_responses.csv")


class Killer:
    """Kills of processes selected by a seed, until a sweep ends by itself; `kills` counts them."""

    def __init__(self, sweeps: Sweeps, draw: random.Random) -> None:
        self.sweeps, self.draw = sweeps, draw
        self.kills: dict[str, int] = {}
        self.commands = 0

    def sweep(self) -> Command:
        """Repeat the same command until its exit code is 0."""
        while True:
            retries = self.draw.choice([0, 20])
            once = self.sweeps.place / f"once{self.commands}"
            command = self.sweeps.start(*FOUR, *HOW, f"sweep.retries={retries}", faults=self._injected(once))
            self.commands += 1
            self._disturb(command)
            code = command.wait()
            if once.exists():
                self._count("in a write")
            if code == 0:
                return command
            assert code in (1, -signal.SIGKILL), command.said
            assert "Traceback" not in command.said

    def _injected(self, once: Any) -> list[dict[str, Any]]:
        """In two of three sweeps, a process is killed at one of its first operations on a kind of file."""
        draw, common = self.draw, {"once": str(once)}
        match draw.choice(["none", "write", "torn lock", "sweep"]):
            case "write":
                do, name, nth = draw.choice(["kill", "tear"]), draw.choice(WRITES), draw.randint(1, 3)
                return [common | {"event": "os.rename", "name": name, "nth": nth if "*" in name else 1, "do": do}]
            case "torn lock":
                return [common | {"event": "open", "name": "claim.json", "do": "tear"}]
            case "sweep":
                return [common | {"event": "any", "name": "*", "nth": draw.randint(1, 9), "of": "sweep", "do": "kill"}]
        return []

    def _disturb(self, command: Command) -> None:
        """Kill once something was trained, and again after that.

        With its fork server gone, a sweep that is killed leaves a folder with its socket among the temporary files.
        """
        victims = ["a run", "a run", "the sweep", "the fork server"]
        for _ in range(self.draw.randint(1, 4)):
            rows, more = self.sweeps.rows(), self.draw.randint(1, 25)
            if not command.reached(lambda rows=rows, more=more: self.sweeps.rows() != rows):  # type: ignore[misc]
                return
            if not command.reached(lambda rows=rows, more=more: self.sweeps.rows() >= rows + more):  # type: ignore[misc]
                return
            victim = self.draw.choice(victims)
            owners = sorted(self.sweeps.owners().values())
            if victim == "the sweep":
                command.send(signal.SIGKILL)
                self._count(victim)
                if self.draw.random() < 0.5:
                    wait_until(lambda: not list(processes(command.pid)))
                return
            if not owners:
                continue
            if victim == "the fork server" and "the sweep" in victims:
                victims.remove("the sweep")
            run = self.draw.choice(owners)
            parents = {pid: parent for pid, parent, _ in processes(command.pid)}
            with suppress(ProcessLookupError, KeyError):
                os.kill(run if victim == "a run" else parents[run], signal.SIGKILL)
                self._count(victim)

    def _count(self, victim: str) -> None:
        self.kills[victim] = self.kills.get(victim, 0) + 1


@pytest.mark.parametrize(("kills", "fresh"), [(8, False), pytest.param(60, True, marks=pytest.mark.long)])
def test_after_kills_at_random_moments_nothing_is_different(
    sweeps_in: Callable[..., Sweeps],
    undisturbed: dict[str, Any],
    kills: int,
    fresh: bool,
) -> None:
    draw = random.Random(4)
    killed: dict[str, int] = {}
    lost = commands = rounds = 0
    while sum(killed.values()) < kills:
        sweeps = sweeps_in(f"round{rounds}", fresh=fresh, spares=3)
        killer = Killer(sweeps, draw)
        killer.sweep()
        assert sweeps.outcome() == undisturbed
        wait_until(lambda sweeps=sweeps: sweeps.temporary_files() == set())  # type: ignore[misc]
        for victim, count in killer.kills.items():
            killed[victim] = killed.get(victim, 0) + count
        in_round = sweeps.steps() - 4 * 40
        assert in_round <= EVERY * sum(killer.kills.values()) * 2, "a kill costs what came after the last checkpoint"
        lost, commands, rounds = lost + in_round, commands + killer.commands, rounds + 1
    print(f"{killed}: {rounds} sweeps in {commands} commands; {lost} of {160 * rounds} iterations trained twice")


ENDS = (
    {"event": "open", "name": "claim.json", "do": "tear"},
    {"event": "os.rename", "name": "config.yaml", "do": "tear"},
    {"event": "os.rename", "name": "status.json", "do": "tear"},
    {"event": "os.rename", "name": "curve.csv", "do": "tear"},
    {"event": "os.rename", "name": "checkpoint-*", "do": "tear", "nth": 3},
    {"event": "os.remove", "name": "checkpoint-*", "do": "kill"},
    {"event": "os.rename", "name": "layer_responses.csv", "do": "tear"},
    {"event": "os.rename", "name": "result.json", "do": "tear"},
    # The result is there.
    {"event": "os.remove", "name": "status.json", "do": "kill"},
    {"event": "os.remove", "name": "claim.json", "do": "kill"},
)


def test_killed_in_each_kind_of_write_runs_are_started_again_by_the_sweep_itself(
    sweeps: Sweeps, undisturbed: dict[str, Any]
) -> None:
    faults = [{**end, "once": str(sweeps.place / f"once{number}")} for number, end in enumerate(ENDS)]
    command = sweeps.run(*FOUR, *HOW, "sweep.retries=10", faults=faults)
    assert command.code == 0, command.said
    assert len(list(sweeps.place.glob("once*"))) == len(ENDS)
    assert sweeps.outcome() == undisturbed


def test_killed_just_after_its_result_a_run_is_tidied_by_the_next_command(
    sweeps: Sweeps, undisturbed: dict[str, Any]
) -> None:
    """The sweep, which would tidy the run, is killed too."""
    in_time = {"event": "os.remove", "name": "status.json"}
    command = sweeps.start(*ONE, *HOW, faults=[{**in_time, "do": "stop"}])
    assert command.reached(lambda: stopped(command.pid) != [])
    (run,) = sweeps.runs
    command.end()
    assert {path.name for path in run.path.iterdir()} > {"claim.json", "status.json", "result.json"}
    command = sweeps.run(*ONE, *HOW)
    assert command.code == 0, command.said
    assert "0 to train" in command.said
    assert sweeps.outcome() == part_of(undisturbed, run.key)


@pytest.mark.long
@pytest.mark.parametrize(
    ("of", "what"),
    [
        ("run", ONE),
        ("sweep", ("experiment=shortcuts", "scale=quick", "rows=dropout", "columns=error", ONE[0], *ONE[3:])),
    ],
)
def test_killed_before_every_single_operation_on_a_file(
    sweeps_in: Callable[..., Sweeps], of: str, what: tuple[str, ...]
) -> None:
    expected = sweeps_in("expected")
    sweep = (*what, "schedule.iterations=8", *HOW, "sweep.retries=0")
    assert expected.run(*sweep).code == 0
    points = 0
    while True:
        sweeps = sweeps_in(f"point{points}")
        once = sweeps.place / "once"
        fault = {"event": "any", "name": "*", "nth": points + 1, "of": of, "do": "tear", "once": str(once)}
        command = sweeps.run(*sweep, faults=[fault])
        if not once.exists():
            break
        points += 1
        done = any(state.done for state in sweeps.states.values())
        assert command.code == (-signal.SIGKILL if of == "sweep" else int(not done)), command.said
        wait_until(lambda command=command: not list(processes(command.pid)))  # type: ignore[misc]
        command = sweeps.run(*sweep)
        assert command.code == 0, command.said
        assert sweeps.outcome() == expected.outcome()
        assert sweeps.temporary_files() == set()
        shutil.rmtree(sweeps.place)
    assert points > 15
    print(f"{points} kills of the {of}, one before each operation on a file; nothing lost")
