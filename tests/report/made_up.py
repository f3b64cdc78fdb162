"""Made-up results folders: a sweep of `experiments/shortcuts.yaml` with as many runs as a test asks for."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet_ablations.experiments import Experiment, load_experiment
from resnet_ablations.results.run_folder import CurveFile, CurveRow, Result, RunFolder
from resnet_ablations.results.sweeps import PlannedConfiguration, SweepPlan, save_sweep

SETTINGS: dict[str, tuple[int, str, int, int, int, str]] = {
    "quick": (56, "Digits", 1_800, 32, 32, "32-true"),
    "small": (56, "CIFAR10", 3_900, 128, 64, "bf16-mixed"),
    "early": (110, "CIFAR10", 2_000, 128, 64, "32-true"),
    "paper": (110, "CIFAR10", 64_000, 128, 64, "32-true"),
}

Loss = Callable[[float], float]


class MadeUp:
    """A results folder in the making; `run` adds a run of a row of one scale's plan, `plan` writes the plan."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.experiment: Experiment = load_experiment("shortcuts")

    def plan(
        self, scale: str = "quick", seeds: tuple[int, ...] = (0,), overrides: tuple[str, ...] = (), name: str = ""
    ) -> SweepPlan:
        configurations = {}
        for row in self.experiment.rows:
            for index, lines in enumerate(row.configurations):
                served_by = [self.configuration("paper", row.id, index)] if scale == "early" else []
                configurations[self.configuration(scale, row.id, index)] = PlannedConfiguration(
                    overrides=lines, served_by=served_by, config=self.config(scale, row.id)
                )
        plan = SweepPlan(
            name=name or f"shortcuts-{scale}",
            experiment="shortcuts",
            scale=scale,
            overrides=list(overrides),
            seeds=list(seeds),
            iterations=SETTINGS[scale][2],
            rows={
                row.id: [self.configuration(scale, row.id, index) for index in range(len(row.configurations))]
                for row in self.experiment.rows
            },
            configurations=configurations,
        )
        save_sweep(self.path, plan)
        return plan

    def configuration(self, scale: str, row_id: str, index: int = 0) -> str:
        depth, data = SETTINGS[scale][:2]
        digest = hashlib.sha256(f"{scale} {row_id} {index}".encode()).hexdigest()[:8]
        return f"resnet{depth}-{row_id.partition('_-')[0].replace('.', '')}-{data.lower()}-{digest}"

    def config(self, scale: str, row_id: str) -> dict[str, Any]:
        depth, data, iterations, batch_size, bn_batch, precision = SETTINGS[scale]
        return {
            "network": {"depth": depth, "dimension_change": "zero_pad"},
            "shortcut": {"_target_": "resnet_ablations.network.shortcuts.ShortcutOnlyGating", "gate_bias": -6.0},
            "data": {"_target_": f"resnet_ablations.data.sources.{data}", "augmentation": {"pad": 4, "flip": True}},
            "schedule": {"iterations": iterations, "batch_size": batch_size, "milestones": [1, 2]},
            "precision": precision,
            "bn_batch": bn_batch,
        }

    def run(
        self,
        row_id: str,
        error: float = 10.0,
        seed: int = 0,
        *,
        scale: str = "quick",
        index: int = 0,
        outcome: str = "finished",
        loss: Loss = lambda iteration: 1.0,
        error_at: Loss | None = None,
        every: int = 100,
        stop: int | None = None,
        commit: str | None = "c0ffee0123456789",
        dirty: bool | None = False,
    ) -> RunFolder:
        configuration = self.configuration(scale, row_id, index)
        iterations = stop or SETTINGS[scale][2]
        folder = RunFolder(self.path, f"{configuration}-s{seed}")
        folder.start({**self.config(scale, row_id), "seed": seed})
        finished = outcome == "finished"
        with CurveFile(folder.curve) as curve:
            for iteration in range(every, iterations + 1, every):
                last = iteration == iterations
                test_error = error_at(iteration) if error_at and iteration % (5 * every) == 0 else None
                test_error = error if last and finished else test_error
                test_loss = None if test_error is None else 1.0
                curve.append(CurveRow(iteration, 0.1, loss(iteration - every / 2), 50.0, test_loss, test_error))
        final = (0.5, 1.5, 1.0, error) if finished else (None, None, None, None)
        folder.finish(
            Result(
                key=folder.key,
                configuration=configuration,
                seed=seed,
                outcome=outcome,  # type: ignore[arg-type]
                iterations=iterations,
                **dict(zip(("train_loss", "train_error", "test_loss", "test_error"), final, strict=True)),
                parameters=1_727_962,
                seconds=40.0,
                images_per_second=1500.0,
                provenance={"commit": commit, "dirty": dirty, "versions": {}, "machine": {}},
            )
        )
        return folder

    def all_runs(self, errors: dict[str, float], seeds: tuple[int, ...] = (0,), scale: str = "quick") -> None:
        """A run of every configuration and seed; a row not in `errors` ends at 50 %."""
        for row in self.experiment.rows:
            for index in range(len(row.configurations)):
                for seed in seeds:
                    self.run(row.id, errors.get(row.id, 50.0) + seed + index, seed, scale=scale, index=index)
