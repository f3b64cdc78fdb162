"""Where a result comes from: code, versions, machine."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]
CODE = tuple(f"src/resnet_ablations/{part}" for part in ("network", "data", "training", "probe", "build.py"))
"""What can change a run's numbers, in the repository."""
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "scikit-learn", "pillow")


def provenance(device: str, threads: int) -> dict[str, Any]:
    """The provenance entry of `result.json`, as it stands when the run starts."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", "src", "conf")
    return {
        "commit": commit,
        "dirty": None if changes is None else bool(changes),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "machine": {"cpu": _cpu(), "cores": usable_cores(), "threads": threads, "device": device},
        "started": now(),
    }


def same_code(commit: str | None, dirty: bool | None) -> bool | None:
    """Whether the code that can change a run's numbers is still as the run had it, by its provenance.

    None where that cannot be known: no git, no such commit here, or a run made with uncommitted changes.
    """
    if commit is None or dirty is not False or not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        return None
    return _as_at(commit)


@cache
def _as_at(commit: str) -> bool | None:
    changed = _run_git("diff", "--quiet", commit, "--", *CODE)
    added = _git("ls-files", "--others", "--exclude-standard", "--", *CODE)
    if changed is None or changed.returncode not in (0, 1) or added is None:
        return None
    return changed.returncode == 0 and not added


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def usable_cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _git(*arguments: str) -> str | None:
    """What git says; None where it fails."""
    run = _run_git(*arguments)
    return run.stdout.strip() if run is not None and run.returncode == 0 else None


def _run_git(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=20)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
