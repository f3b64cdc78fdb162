"""A finished run that is measured again: its trained network and its images, on this machine's device."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from resnet_ablations.config import RunConfig
from resnet_ablations.data.batches import Batches
from resnet_ablations.results.run_folder import Result, RunFolder
from resnet_ablations.training.compute import in_memory_format
from resnet_ablations.training.data_module import load_batches
from resnet_ablations.training.evaluation import summed_loss_and_errors
from resnet_ablations.training.ranks import ALONE
from resnet_ablations.training.trainer import lightning_trainer, quiet_lightning
from resnet_ablations.training.weights import load_trained


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, its trained network in evaluation mode, and its images; `precision` computes as in training."""

    config: RunConfig
    result: Result
    network: nn.Module
    batches: Batches
    device: torch.device
    precision: Callable[[], AbstractContextManager[None]]

    def test_error(self, network: nn.Module) -> float:
        """Return the test error (%) of a network on the run's images."""
        with torch.no_grad(), self.precision():
            _, errors, count = summed_loss_and_errors(network, self.batches, self.device).tolist()
        return 100 * errors / count


@contextmanager
def trained_run(folder: RunFolder) -> Iterator[TrainedRun]:
    """Open a finished run with its kept weights; raise `UserError` as `load_network` does, or without its images."""
    config, result, network = load_trained(folder)
    machine = result.provenance.get("machine")
    if isinstance(machine, dict) and isinstance(threads := machine.get("threads"), int):  # a damaged one has none
        torch.set_num_threads(threads)
    with quiet_lightning(), closing(load_batches(config)) as batches:
        trainer = lightning_trainer(config, 0, ALONE)
        device = trainer.strategy.root_device
        network = in_memory_format(network.to(device), config.trainer.channels_last)
        precision = trainer.precision_plugin.forward_context
        yield TrainedRun(config, result, network, batches.to(device), device, precision)
