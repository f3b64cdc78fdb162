"""The devices and the CPU threads of a run."""

import multiprocessing
import socket
import subprocess
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from resnet_ablations.config import RunConfig, validate
from resnet_ablations.cores import usable_cores
from resnet_ablations.errors import UserError
from resnet_ablations.training.compute import check_compute
from resnet_ablations.training.ranks import Ranks, rank_from_environment


def accelerator_of(config: RunConfig) -> str:
    """Return Lightning's name of the accelerator, "gpu", "cpu" or "mps"; raise `UserError` if it is not available.

    `auto` is a CUDA GPU or the CPU, never an Apple GPU, on which no run has been tested.
    """
    gpu = torch.cuda.is_available()
    if config.trainer.accelerator == "gpu" and not gpu:
        raise UserError("trainer.accelerator=gpu: this machine has no CUDA GPU; allowed: auto, cpu")
    if config.trainer.accelerator == "mps" and not torch.backends.mps.is_available():
        raise UserError("trainer.accelerator=mps: this machine has no Apple GPU that torch can use; allowed: auto, cpu")
    accelerator: str = config.trainer.accelerator
    if accelerator == "auto":
        accelerator = "gpu" if gpu else "cpu"
    check_compute(config, accelerator)
    return accelerator


def check_devices(config: RunConfig) -> str:
    """Return `accelerator_of(config)`; raise `UserError` if there are too few devices for the run."""
    devices, is_started = config.trainer.devices, rank_from_environment(config.trainer.ranks) is not None
    accelerator = accelerator_of(config)
    if accelerator == "gpu":
        gpus = torch.cuda.device_count()
        # SLURM may make only one GPU visible to each process; `check_own_gpus` tests that.
        if gpus < devices and config.trainer.backend is None and not (is_started and gpus == 1):
            raise UserError(
                f"trainer.devices={devices}: this machine has {gpus} CUDA GPU{'s' if gpus > 1 else ''}; allowed: up to "
                f"{gpus}, or trainer.accelerator=cpu"
            )
    if accelerator == "mps" and config.trainer.ranks > 1:
        raise UserError(
            f"trainer.devices × trainer.nodes = {config.trainer.ranks}: an Apple GPU trains a run alone; allowed: 1, "
            "or trainer.accelerator=cpu"
        )
    if config.trainer.nodes > 1 and not is_started:
        raise UserError(
            f"trainer.nodes={config.trainer.nodes}: only SLURM (hydra/launcher=slurm) or torchrun can start a run on "
            "several machines; allowed here: 1"
        )
    return accelerator


def check_devices_in_child(runs: Sequence[RunConfig]) -> None:
    """Check the devices of each run as `check_devices` does, but never open a GPU in this process.

    The checks of TF32 and torch.compile need a CUDA context. A context takes GPU memory until its process ends, so a
    child process does these checks and ends.
    """
    gpu = torch.cuda.is_available()
    in_child: dict[tuple[object, ...], RunConfig] = {}
    for run in runs:
        if gpu and run.trainer.accelerator != "cpu" and (run.precision == "tf32" or run.trainer.compile is not None):
            in_child[run.precision, run.trainer.model_dump_json()] = run
        else:
            check_devices(run)
    if in_child:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(_check_frozen, [run.as_dict() for run in in_child.values()]).result()


def _check_frozen(runs: Sequence[dict[str, Any]]) -> None:
    for run in runs:
        check_devices(validate(run, identify_data=False))


def check_own_gpus(ranks: Ranks) -> None:
    """Raise `UserError` if two ranks have the same GPU; NCCL itself would fail later, in its first all-reduce."""
    place = ranks.local_rank % torch.cuda.device_count()
    own = f"{socket.gethostname()} {torch.cuda.get_device_properties(place).uuid}"
    others = ranks.gather(own)
    distinct = ranks.broadcast(lambda: len({own, *others}))
    if distinct < ranks.count:
        raise UserError(
            f"trainer.devices × trainer.nodes = {ranks.count}: the ranks have {distinct} GPUs between them, and NCCL "
            "needs one for each; start fewer ranks, or set trainer.backend=gloo to share a GPU, slowly"
        )


def device_names(device: torch.device, ranks: Ranks) -> str:
    """Return the names of all ranks' devices, such as `2 × NVIDIA A100`; ranks after the first return their own."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    names = Counter([name, *ranks.gather(name)])
    return ", ".join(name if count == 1 else f"{count} × {name}" for name, count in names.items())


def gpu_versions(device: torch.device) -> dict[str, str | None]:
    """Return the versions of CUDA, cuDNN and NVIDIA's driver; {} for other devices than CUDA GPUs."""
    if device.type != "cuda":
        return {}
    cudnn = str(torch.backends.cudnn.version())
    return {"CUDA": torch.version.cuda, "cuDNN": cudnn, "driver": _driver()}


def _driver() -> str | None:
    """Return the version of NVIDIA's driver; None if nvidia-smi does not give it."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def threads_of(config: RunConfig) -> int:
    """Return the CPU threads of each rank; by default the ranks share the machine's cores."""
    return config.trainer.threads or max(1, usable_cores() // config.trainer.devices)
