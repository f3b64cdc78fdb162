"""The room for decoded images, checked before they are decoded."""

import math
import shutil
from collections.abc import Iterable
from pathlib import Path

from resnet_ablations.control_groups import control_groups
from resnet_ablations.errors import UserError


def check_memory(root: Path | str | None, shape: Iterable[int], copies: int = 1) -> None:
    """Raise `UserError` unless memory has room for uint8 images of this shape, all together and `copies` times."""
    needed, free = copies * math.prod(shape), available_memory()
    if free is not None and needed > free:
        each = f" ({copies} copies, one for each device)" if copies > 1 else ""
        raise UserError(
            f"data.root={root}: the decoded images need {_readable(needed)} of memory{each}, but only "
            f"{_readable(free)} are free; use fewer or smaller images, or data=imagenet, which decodes them during "
            "training"
        )


def check_room(cache: Path, shape: Iterable[int]) -> None:
    """Raise `UserError` unless the folder `cache`, which exists, has room for uint8 images of this shape."""
    needed, free = math.prod(shape), shutil.disk_usage(cache).free
    if needed > free:
        raise UserError(
            f"data.cache={cache}: the decoded images need {_readable(needed)}, but only {_readable(free)} are free; "
            "make room or point data.cache at another folder, or use data=imagenet, which decodes them during training"
        )


def check_batch_memory(crop: int, images: int) -> None:
    """Raise `UserError` unless memory has room for `images` uint8 inputs of size crop × crop × 3."""
    needed, free = images * crop * crop * 3, available_memory()
    if free is not None and needed > free:
        raise UserError(
            f"data.crop={crop}: a batch of {images} images needs {_readable(needed)} of memory, but only "
            f"{_readable(free)} are free; lower data.crop or bn_batch"
        )


def available_memory() -> int | None:
    """Return the bytes that this process can still allocate, also within its control groups; None if unknown.

    A container and a SLURM job are control groups with a limit.
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    return min([free, *(room for group in control_groups("memory") if (room := _room_in(group)) is not None)])


def _room_in(group: Path) -> int | None:
    """Return the bytes that are free within a control group's limit; None if it has no limit or is not there."""
    for limit, used, prefix in (
        ("memory.max", "memory.current", ""),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        try:
            most, now = (int((group / name).read_text(encoding="ascii")) for name in (limit, used))
            stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
            cached = sum(int(stat[f"{prefix}{kind}_file"]) for kind in ("active", "inactive"))
        except (OSError, ValueError, KeyError):  # ValueError: "max", no limit
            continue
        return max(0, most - now + cached)  # the kernel gives up cached files
    return None


def _readable(count: int) -> str:
    unit = min(max(count.bit_length() - 1, 0) // 10, 5)
    return f"{count / 1024**unit:,.1f} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[unit]}"
