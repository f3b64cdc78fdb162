"""Made-up results folders: a sweep of any experiment with the runs that a test adds."""

import hashlib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from finished import writing

from resnet_ablations.experiments import Cell, Column, Experiment, Row, load_experiment
from resnet_ablations.results.curve import CurveRow
from resnet_ablations.results.keys import NUMBERS
from resnet_ablations.results.run_folder import FINAL, Result, RunFolder
from resnet_ablations.results.sweeps import PlannedConfiguration, SweepPlan, save_sweep

SETTINGS: dict[str, tuple[int, str, int, int, int, str]] = {
    "quick": (56, "Digits", 1_800, 32, 32, "32-true"),
    "small": (56, "CIFAR10", 3_900, 128, 64, "bf16-mixed"),
    "early": (110, "CIFAR10", 2_000, 128, 64, "32-true"),
    "paper": (110, "CIFAR10", 64_000, 128, 64, "32-true"),
}
"""The default depth, data set, iterations, batch, BN batch and precision; an experiment's overrides change them."""

Of = Callable[[float], float]


class MadeUp:
    """A results folder in the making; `run` adds a run of a cell of one scale's plan, `plan` writes the plan.

    Cells are named as in an experiment's figures: `ROW/COLUMN`, or `ROW` where there is one column.
    """

    def __init__(self, path: Path, experiment: str = "shortcuts") -> None:
        self.path = path
        self.experiment: Experiment = load_experiment(experiment)

    def plan(
        self, scale: str = "quick", seeds: tuple[int, ...] = (0,), overrides: tuple[str, ...] = (), name: str = ""
    ) -> SweepPlan:
        cells: dict[str, dict[str, list[str]]] = {row.id: {} for row in self.experiment.rows}
        configurations = {}
        for row, column, _ in self.experiment.cells():
            lines = self.overrides(scale, f"{row.id}/{column.id}")
            cells[row.id][column.id] = [self._name(scale, line) for line in lines]
            for line in lines:
                configurations[self._name(scale, line)] = PlannedConfiguration(
                    overrides=line,
                    served_by=[self._name("paper", line)] if scale == "early" else [],
                    config=config(scale, line),
                )
        plan = SweepPlan(
            name=name or f"{self.experiment.name}-{scale}",
            experiment=self.experiment.name,
            scale=scale,
            overrides=list(overrides),
            replacements=self.experiment.scales[scale].replacements,
            seeds=list(seeds),
            cells=cells,
            configurations=configurations,
            numbers=NUMBERS,
        )
        save_sweep(self.path, plan)
        return plan

    def overrides(self, scale: str, cell_id: str) -> list[list[str]]:
        """Return the overrides of each configuration of the cell; an empty list if the scale leaves the cell out."""
        row, column, cell = self._cell(cell_id)
        replacements = self.experiment.scales[scale].replacements
        found = []
        for lines in row.configurations:
            said = [*column.overrides, *lines, *cell.overrides]
            replaced = [replacements.get(line, [line]) for line in said]
            if None in replaced:
                return []
            found.append([line for others in replaced for line in others or ()])
        return found

    def configuration(self, scale: str, cell_id: str, index: int = 0) -> str:
        """Return a configuration's name; cells with the same overrides share it."""
        return self._name(scale, self.overrides(scale, cell_id)[index])

    def _name(self, scale: str, lines: Iterable[str]) -> str:
        depth, data = SETTINGS[scale][:2]
        digest = hashlib.sha256(f"{scale} {' '.join(lines)}".encode()).hexdigest()[:8]
        return f"resnet{depth}-made_up-{data.lower()}-{digest}"

    def _cell(self, cell_id: str) -> tuple[Row, Column, Cell]:
        wanted = self.experiment.full_cell_id(cell_id)
        return next(found for found in self.experiment.cells() if f"{found[0].id}/{found[1].id}" == wanted)

    def run(
        self,
        cell_id: str,
        error: float = 10.0,
        seed: int = 0,
        *,
        scale: str = "quick",
        index: int = 0,
        outcome: str = "finished",
        train_error: float = 1.5,
        loss: Of = lambda iteration: 1.0,
        train_error_at: Of = lambda iteration: 50.0,
        error_at: Of | None = None,
        every: int = 100,
        stop: int | None = None,
        metrics: dict[str, float] | None = None,
        responses: Iterable[float] = (),
        signals: str = "",
        commit: str | None = "c0ffee0123456789",
        dirty: bool | None = False,
        machine: dict[str, Any] | None = None,
        parameters: int = 1_727_962,
        multiply_adds: int | None = 252_887_680,
        seconds: float = 40.0,
    ) -> RunFolder:
        """Add a run with made-up numbers; `responses` are its layers' in order, `signals` is a file's text.

        The run ends after iteration `stop`, by default where its schedule does.
        """
        configuration = self.configuration(scale, cell_id, index)
        settings = config(scale, self.overrides(scale, cell_id)[index])
        iterations = stop or settings["schedule"]["iterations"]
        folder = RunFolder(self.path, f"{configuration}-s{seed}")
        settings["schedule"] |= {"log_every": every, "evaluate_every": 5 * every}
        if outcome == "finished":
            settings["schedule"]["iterations"] = iterations
        folder.freeze({**settings, "seed": seed})
        final = (loss(iterations - every / 2), train_error, 1.0, error) if outcome == "finished" else (None,) * 4
        with writing(folder) as writer, writer.begin_curve() as curve:
            for iteration in range(every, iterations, every):
                tested = (1.0, error_at(iteration)) if error_at and iteration % (5 * every) == 0 else (None, None)
                middle = iteration - every / 2
                curve.append(CurveRow(iteration, 0.1, loss(middle), train_error_at(middle), *tested))
            last = final if outcome == "finished" else (math.nan, 50.0, None, None)
            curve.append(CurveRow(iterations, 0.1, *last))
        if responses := list(responses):
            lines = (f"{layer},layer{layer},{std}" for layer, std in enumerate(responses, start=1))
            folder.responses.write_text("\n".join(["layer,name,std", *lines, ""]))
        if signals:
            folder.signals.write_text(signals)
        result = Result(
            key=folder.key,
            configuration=configuration,
            seed=seed,
            outcome=outcome,  # type: ignore[arg-type]
            iterations=iterations,
            **dict(zip(FINAL, final, strict=True)),
            metrics=metrics or {},
            parameters=parameters,
            multiply_adds=multiply_adds,
            seconds=seconds,
            images_per_second=1500.0,
            provenance={"commit": commit, "dirty": dirty, "versions": {}, "machine": machine or {}},
        )
        with writing(folder) as writer:
            writer.finish(result)
        return folder

    def all_runs(self, errors: dict[str, float], seeds: tuple[int, ...] = (0,), scale: str = "quick") -> None:
        """Add a run of every configuration and seed; the error of a cell that is not in `errors` is 50 %."""
        for row, column, _ in self.experiment.cells():
            cell_id = row.id if len(self.experiment.columns) == 1 else f"{row.id}/{column.id}"
            for index in range(len(self.overrides(scale, cell_id))):
                for seed in seeds:
                    self.run(cell_id, errors.get(cell_id, 50.0) + seed + index, seed, scale=scale, index=index)


Declare = Callable[..., MadeUp]
"""The type of the fixture that declares an experiment: a function of its file's text and the paper's curves."""


def config(scale: str, overrides: Iterable[str]) -> dict[str, Any]:
    """Return the part of a configuration that a report reads."""
    depth, data, iterations, batch_size, bn_batch, precision = SETTINGS[scale]
    tree: dict[str, Any] = {
        "network": {
            "depth": depth,
            "stem": {"width": 16},
            "units": [2, 2],
            "widths": [16, 32],
            "expansion": 1,
            "dimension_change": "zero_pad",
        },
        "shortcut": {"_target_": "resnet_ablations.network.shortcuts.ShortcutOnlyGating", "gate_bias": -6.0},
        "data": {"_target_": f"resnet_ablations.data.sources.{data}", "augmentation": {"pad": 4, "flip": True}},
        "schedule": {"iterations": iterations, "batch_size": batch_size, "milestones": [1, 2]},
        "activation": {"after_addition": ["relu"]},
        "precision": precision,
        "bn_batch": bn_batch,
    }
    for key, _, value in (line.partition("=") for line in overrides):
        if key == "data":
            tree["data"]["_target_"] = f"resnet_ablations.data.sources.{value}"
        elif key == "shortcut":
            tree["shortcut"]["_target_"] = f"made_up.{value.title().replace('_', '')}"
        elif key == "shortcut.residual_scale":
            tree["shortcut"]["residual_scale"] = float(value)
        elif key in ("network.depth", "schedule.iterations", "data.held_out"):
            group, _, name = key.partition(".")
            tree[group][name] = int(value)
        elif key == "network.kernels":
            tree["network"]["kernels"] = [int(kernel) for kernel in value.strip("[]").split(",")]
    return tree
