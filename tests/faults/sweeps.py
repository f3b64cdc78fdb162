"""A sweep of four small runs, and the files that the sweep leaves."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import ROOT, Command, Starter
from observing import numbers

from resnet_ablations.cell_runs import merged  # the command line refuses a key that is given twice
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.states import State, state_of

INJECTED = Path(__file__).parent / "injected"

# Two shortcuts, one of which draws masks, and two seeds; half a second each, checkpoints and rows as often as can be.
FOUR = (
    "network.depth=8",
    "shortcut=identity,dropout",
    "seed=0,1",
    "schedule.iterations=40",
    "schedule.batch_size=16",
    "bn_batch=8",
    "schedule.log_every=1",
    "schedule.evaluate_every=15",
)
ONE = (*FOUR[:1], "shortcut=dropout", "seed=0", *FOUR[3:])
"""The third run of the four alone."""
EVERY = 3
"""Iterations from checkpoint to checkpoint."""
HOW = ("trainer=cpu", f"trainer.checkpoint_iterations={EVERY}", "hydra.launcher.runs_per_device=2", "trainer.threads=1")


@dataclass
class Sweeps:
    """Sweep commands on one results folder, as a user types them; temporary files go to another file system."""

    starter: Starter
    place: Path
    """The working directory of the commands; results go to its folder `results`."""
    temporary: Path
    fresh: bool = False
    """True if commands start in a new Python, as a user starts them, not in one that has imported everything."""
    spares: int = 1
    """The number of fork servers that each command has in advance: more than one if they are killed."""
    results: Path = field(init=False)
    started: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.results = self.place / "results"

    def start(self, *overrides: str, faults: Sequence[Mapping[str, Any]] = (), output: Path | None = None) -> Command:
        """Start `python -m resnet_ablations.train -m …`."""
        return self._start("train", "-m", *merged(overrides), faults=faults, output=output)

    def start_on(
        self,
        machine: str,
        *overrides: str,
        ahead: float = 0.0,
        nth: int = 0,
        name: str = "*",
        patience: float = 300.0,
    ) -> Command:
        """Start a single run in a process that believes to be on another machine.

        Its clock is ahead by some seconds. It takes owners for dead that were silent for `patience` seconds. If `nth`
        is given, the process is stopped at its operation `nth` on files with a `name`.
        """
        stop = {"event": "any", "name": name, "of": "sweep", "do": "stop", "nth": nth}
        return self._start(
            "train",
            *merged(overrides),
            faults=[stop] if nth else [],
            output=self.place / f"said on {machine}.txt",
            environment={"MACHINE": machine, "AHEAD": str(ahead), "PATIENCE": str(patience)},
        )

    def _start(
        self,
        module: str,
        *arguments: str,
        faults: Sequence[Mapping[str, Any]],
        output: Path | None,
        environment: Mapping[str, str] | None = None,
    ) -> Command:
        injected = [{"under": str(self.results), "nth": 1, "of": "run", "once": None, **fault} for fault in faults]
        command = Command(
            self.starter,
            *("-m", f"resnet_ablations.{module}", *arguments),
            cwd=self.place,
            output=output or self.place / "said.txt",
            environment={
                "RESNET_ABLATIONS_RESULTS": str(self.results),
                "TMPDIR": str(self.temporary),
                "PYTHONPATH": f"{ROOT / 'src'}:{INJECTED}",
                "INJECTED": json.dumps(injected),
                **(environment or {}),
            },
            fresh=self.fresh,
            spares=self.spares,
        )
        self.started.append(command)
        return command

    def run(self, *overrides: str, faults: Sequence[Mapping[str, Any]] = ()) -> Command:
        """Run a sweep to its end."""
        command = self.start(*overrides, faults=faults)
        command.wait()
        return command

    def told(self, module: str) -> Command:
        """Run another command on the results to its end."""
        command = self._start(module, str(self.results), faults=(), output=None)
        command.wait()
        return command

    @property
    def runs(self) -> list[RunFolder]:
        """Return the folders of the runs, by key."""
        return [RunFolder(self.results, path.name) for path in sorted((self.results / "runs").glob("*"))]

    @property
    def states(self) -> dict[str, State]:
        """Return the states of the runs, by key."""
        return {folder.key: state_of(folder) for folder in self.runs}

    def run_of(self, part: str) -> RunFolder:
        """Return the run whose key contains the text."""
        (folder,) = (folder for folder in self.runs if part in folder.key)
        return folder

    def owners(self) -> dict[str, int]:
        """Return the processes that train, by run."""
        owners = {folder.key: RunLock(folder.path).owner() for folder in self.runs}
        return {key: owner.pid for key, owner in owners.items() if owner is not None}

    def rows(self) -> int:
        """Return the number of lines of all curves, the progress of the sweep."""
        return sum(max(0, folder.curve.read_bytes().count(b"\n") - 1) for folder in self.runs if folder.curve.exists())

    def steps(self) -> int:
        """The number of trained iterations over all attempts, from the logs."""
        return sum(line.count("  train: loss ") for folder in self.runs for line in folder.log.read_text().splitlines())

    def outcome(self) -> dict[str, Any]:
        """Return the files of finished runs and the tables; of all other files, the names."""
        left: dict[str, Any] = {str(path.relative_to(self.results)): None for path in self.results.rglob("*")}
        for table in (self.results / "report").glob("*.md"):
            left[f"report/{table.name}"] = table.read_text().replace(str(self.results), "RESULTS")
        for folder in self.runs:
            result = folder.result()
            left[f"runs/{folder.key}/result.json"] = None if result is None else numbers(result)
            for path in (folder.curve, folder.responses, folder.signals, folder.weights):
                left[str(path.relative_to(self.results))] = path.read_bytes() if path.exists() else None
        return left

    def temporary_files(self) -> set[str]:
        """Return the remaining temporary files, except an empty folder that torch creates on import."""
        return {path.name for path in self.temporary.iterdir() if not path.name.startswith("torchinductor")}


def part_of(outcome: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return the files of some of the runs."""
    return {path: what for path, what in outcome.items() if path == "runs" or path.split("/")[1] in keys}


def another_file_system(place: Path) -> Path:
    """Return a folder for temporary files, in memory if the machine has such a file system."""
    memory = Path("/dev/shm")
    other = memory.is_dir() and memory.stat().st_dev != place.stat().st_dev
    return Path(tempfile.mkdtemp(dir=memory if other else place, prefix="tmp"))
