"""The machine that is measured: its name, its versions, and its speed for a convolution."""

import time
from typing import Any

import torch
import torch.nn.functional as F

from resnet_ablations.results.provenance import provenance
from resnet_ablations.training.compute import set_float32_precision
from resnet_ablations.training.devices import gpu_versions

SHAPES = ((16, 32), (32, 16), (64, 8))
"""Channels and height of the 3×3 convolutions of the CIFAR networks' three stages."""


def machine(device: str, threads: int) -> dict[str, Any]:
    """Return the name of the device and the versions of the libraries."""
    gpu = device == "gpu"
    name = torch.cuda.get_device_name() if gpu else "cpu"
    found = provenance(name, threads, gpu_versions(torch.device("cuda" if gpu else "cpu")))
    unused = ("hydra-core", "scikit-learn", "pillow")
    found["versions"] = {package: version for package, version in found["versions"].items() if package not in unused}
    return {"name": name if gpu else found["machine"]["cpu"]} | found


def convolution_peak(device: str, precision: str, images: int) -> float:
    """Return the multiply-adds per second of the fastest of the networks' 3×3 convolutions, forward, channels last."""
    set_float32_precision(precision)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    where = torch.device("cuda" if device == "gpu" else "cpu")
    kind = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    rates = []
    for channels, height in SHAPES:
        batch = torch.randn(images, channels, height, height, device=where, dtype=kind)
        weights = torch.randn(channels, channels, 3, 3, device=where, dtype=kind)
        batch, weights = (tensor.to(memory_format=torch.channels_last) for tensor in (batch, weights))
        multiply_adds = images * channels**2 * 9 * height**2
        rates.append(multiply_adds / _seconds_of(batch, weights))
    return max(rates)


def _seconds_of(batch: torch.Tensor, weights: torch.Tensor) -> float:
    """Return the shortest time of a convolution in seconds, of five measurements of a tenth of a second each."""

    def seconds(repetitions: int) -> float:
        _wait(batch.device)
        start = time.perf_counter()
        for _ in range(repetitions):
            F.conv2d(batch, weights, padding=1)
        _wait(batch.device)
        return (time.perf_counter() - start) / repetitions

    with torch.no_grad():
        seconds(3)
        repetitions = max(1, round(0.1 / seconds(10)))
        return min(seconds(repetitions) for _ in range(5))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
