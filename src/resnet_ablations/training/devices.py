"""What a run is trained on: its devices, and the threads of the CPU."""

import torch

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.results.provenance import usable_cores
from resnet_ablations.training.compute import check_compute
from resnet_ablations.training.ranks import rank_from_environment


def accelerator_of(config: RunConfig) -> str:
    """Lightning's name of the device that trains here; raise `UserError` if the one asked for is not there.

    `auto` is a CUDA GPU or the CPU: the sums of a run are float64, which Apple's GPUs do not know.
    """
    gpu = torch.cuda.is_available()
    if config.trainer.accelerator == "gpu" and not gpu:
        raise UserError("trainer.accelerator=gpu: there is no CUDA GPU here; allowed: auto, cpu")
    accelerator = config.trainer.accelerator
    if accelerator == "auto":
        accelerator = "gpu" if gpu else "cpu"
    check_compute(config, accelerator)
    return accelerator


def check_devices(config: RunConfig) -> str:
    """What `accelerator_of` says; raise `UserError` if there are not as many as the run is to be trained on."""
    wanted, is_started = config.trainer.devices, rank_from_environment(config.trainer.ranks) is not None
    accelerator = accelerator_of(config)
    if accelerator == "gpu":
        there = torch.cuda.device_count()
        # SLURM may show each process one GPU of its own.
        if there < wanted and not (is_started and there == 1):
            raise UserError(f"trainer.devices={wanted}: there are {there} CUDA GPUs here; or trainer.accelerator=cpu")
    if config.trainer.nodes > 1 and not is_started:
        raise UserError(
            f"trainer.nodes={config.trainer.nodes}: only SLURM (hydra/launcher=slurm) or torchrun starts a run on "
            "several machines; allowed here: 1"
        )
    return accelerator


def device_name(device: torch.device, count: int) -> str:
    """What trains, of which there are so many: `2 × NVIDIA A100`."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return name if count == 1 else f"{count} × {name}"


def threads_of(config: RunConfig) -> int:
    """The CPU threads of each rank: by default they share the machine's cores."""
    return config.trainer.threads or max(1, usable_cores() // config.trainer.devices)
