"""The number of CPU cores that this process may use."""

import math
import os
from collections.abc import Iterator

from resnet_ablations.control_groups import control_groups, text_of


def usable_cores() -> int:
    """Return the number of cores: those of the process's CPU mask, or fewer under a CPU quota, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas())]))


def _quotas() -> Iterator[float]:
    """Yield the CPU quotas of the process's control groups, in cores."""
    for group in control_groups("cpu"):
        quota, _, period = text_of(group / "cpu.max").partition(" ")
        if not quota:
            quota, period = text_of(group / "cpu.cfs_quota_us"), text_of(group / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):  # no quota: `max`, or -1
            yield int(quota) / int(period)
