"""SIGKILL, at any moment and of any process: the same command again ends with the same numbers and no other file."""

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from commands import Command, processes, wait_until
from sweeps import EVERY, FOUR, HOW, Sweeps

WRITES = ("checkpoint-*", "curve.csv", "result.json", "status.json", "config.yaml", "layer_responses.csv")


class Killer:
    """Kills what a seed draws until a sweep ends by itself; counts."""

    def __init__(self, sweeps: Sweeps, draw: random.Random) -> None:
        self.sweeps, self.draw = sweeps, draw
        self.kills: dict[str, int] = {}
        self.commands = 0

    def sweep(self) -> Command:
        """The same command until its exit code is 0."""
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
        """In two of three sweeps, a death at one of the first operations on files of a kind."""
        draw, common = self.draw, {"once": str(once)}
        match draw.choice(["none", "write", "torn claim", "sweep"]):
            case "write":
                do, name, nth = draw.choice(["kill", "tear"]), draw.choice(WRITES), draw.randint(1, 3)
                return [common | {"event": "os.rename", "name": name, "nth": nth if "*" in name else 1, "do": do}]
            case "torn claim":
                return [common | {"event": "open", "name": "claim.json", "do": "tear"}]
            case "sweep":
                return [common | {"event": "any", "name": "*", "nth": draw.randint(1, 9), "of": "sweep", "do": "kill"}]
        return []

    def _disturb(self, command: Command) -> None:
        """Kill once something was trained, and again after that."""
        for _ in range(self.draw.randint(1, 4)):
            rows, more = self.sweeps.rows(), self.draw.randint(1, 25)
            if not command.reached(lambda rows=rows, more=more: self.sweeps.rows() != rows):  # type: ignore[misc]
                return
            if not command.reached(lambda rows=rows, more=more: self.sweeps.rows() >= rows + more):  # type: ignore[misc]
                return
            victim = self.draw.choice(["a run", "a run", "the sweep", "the fork server"])
            owners = sorted(self.sweeps.owners().values())
            if victim == "the sweep":
                command.send(signal.SIGKILL)
                self._count(victim)
                if self.draw.random() < 0.5:
                    wait_until(lambda: not list(processes(command.pid)))
                return
            if not owners:
                continue
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
        sweeps = sweeps_in(f"round{rounds}", fresh=fresh)
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
