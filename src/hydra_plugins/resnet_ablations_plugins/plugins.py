"""Hydra's plugins around `resnet_ablations.sweep`; they import no torch, since Hydra always imports them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from resnet_ablations.config import RunConfig
    from resnet_ablations.sweep.slots import Slots


class ExperimentSweeper(Sweeper):
    """A sweeper that expands `experiment=NAME scale=SCALE` to the runs of a table, and other values as Hydra does."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Train the missing runs with the launcher."""
        from resnet_ablations.errors import exit_on_user_error
        from resnet_ablations.sweep.planning import plan
        from resnet_ablations.sweep.run_sweep import run_sweep

        launcher = self.launcher
        assert launcher is not None
        with exit_on_user_error():
            at_once = launcher.at_once if isinstance(launcher, RunLauncher) else len
            run_sweep(plan(arguments), lambda jobs: launcher.launch(jobs, initial_job_idx=0), at_once)


class RunLauncher(Launcher):
    """A launcher of this package: the outcome of a run is in its folder, not in the value that Hydra gets."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train the runs."""
        from resnet_ablations.overrides import compose  # not Hydra's loader, which takes a tenth of a second for each

        self.train([compose(overrides) for overrides in job_overrides])
        return [JobReturn(overrides=overrides, status=JobStatus.COMPLETED) for overrides in job_overrides]

    def train(self, runs: "Sequence[RunConfig]") -> None:
        """Train the runs, and return when all have ended."""
        raise NotImplementedError

    def at_once(self, runs: "Sequence[RunConfig]") -> int:
        """Return how many of the runs are trained at the same time; raise `UserError` if the devices are missing."""
        raise NotImplementedError


class LocalLauncher(RunLauncher):
    """A launcher that trains in parallel processes: `runs_per_device` on each GPU, or on the CPU as a whole."""

    def __init__(self, runs_per_device: int | None) -> None:
        self.runs_per_device = runs_per_device
        self._slots: Slots | None = None

    def train(self, runs: "Sequence[RunConfig]") -> None:
        from resnet_ablations.sweep.processes import train_in_processes

        train_in_processes(runs, self._slots_for(runs), fail_fast=self.config.sweep.fail_fast)

    def at_once(self, runs: "Sequence[RunConfig]") -> int:
        from resnet_ablations.training.devices import check_devices_in_child

        check_devices_in_child(runs)
        return self._slots_for(runs).count

    def _slots_for(self, runs: "Sequence[RunConfig]") -> "Slots":
        """Return the slots; cached, so that a retried run has the same number of threads."""
        from resnet_ablations.sweep.slots import slots_for

        if self._slots is None:
            self._slots = slots_for(runs, self.runs_per_device)
        return self._slots


class SlurmLauncher(RunLauncher):
    """A launcher that submits the runs as SLURM jobs.

    `parameters` are the parameters of submitit's `SlurmExecutor`, where null means submitit's default, and
    `runs_per_device`. If `wait` is false, the launcher returns after submitting.
    """

    def __init__(self, wait: bool, **parameters: Any) -> None:
        self.wait = wait
        self.parameters = parameters

    def train(self, runs: "Sequence[RunConfig]") -> None:
        from resnet_ablations.sweep.slurm import train_on_slurm

        train_on_slurm(runs, self.parameters, wait=self.wait, fail_fast=self.config.sweep.fail_fast)

    def at_once(self, runs: "Sequence[RunConfig]") -> int:
        from resnet_ablations.sweep.slurm import checked_queue
        from resnet_ablations.sweep.slurm_settings import checked_settings, runs_per_job

        checked_settings(runs, self.parameters)
        checked_queue()
        return min(len(runs), self.parameters["array_parallelism"] * runs_per_job(self.parameters))
