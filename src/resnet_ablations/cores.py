"""The number of CPU cores that this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

GROUPS = Path("/proc/self/cgroup")
"""The control groups of this process, a line `NUMBER:CONTROLLERS:PATH` for each hierarchy."""
HIERARCHIES = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return the number of cores: those of the process's CPU mask, or fewer under a CPU quota, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas())]))


def _quotas() -> Iterator[float]:
    """Yield the CPU quotas of the process's control groups and of the groups around them, in cores."""
    for line in _text(GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        hierarchy = HIERARCHIES / ("cpu" if controllers else "")
        place = PurePosixPath(path.lstrip("/"))
        # In a container, the path may be the host's, and the container's group is the top of the hierarchy.
        for folder in (hierarchy / group for group in (place, *place.parents)):
            if controllers:
                quota, period = _text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()
            else:
                quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
            if quota.isdecimal() and period.isdecimal() and int(period):  # no quota: `max`, or -1
                yield int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
