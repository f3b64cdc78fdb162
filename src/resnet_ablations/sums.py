"""Sums in float64, also of numbers on a device that has no float64."""

from typing import Final

import torch
from torch import Tensor

WITHOUT_FLOAT64: Final = ("mps",)
"""The types of devices without float64: Apple's GPUs."""


def device_of_sums(device: torch.device) -> torch.device:
    """Return where numbers of a device are summed: there, or on the CPU if the device has no float64."""
    return torch.device("cpu") if device.type in WITHOUT_FLOAT64 else device


def summable(tensor: Tensor) -> Tensor:
    """Return the tensor on `device_of_sums`."""
    return tensor.to(device_of_sums(tensor.device))


def in_float64(tensor: Tensor) -> Tensor:
    """Return the tensor in float64 on `device_of_sums`."""
    return summable(tensor).double()
