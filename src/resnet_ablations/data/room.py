"""The room for decoded images, checked before they are decoded."""

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from resnet_ablations.errors import UserError

CGROUP: Final = Path("/sys/fs/cgroup")


def check_memory(root: Path, shape: Iterable[int]) -> None:
    """Raise `UserError` unless memory has room for uint8 images of this shape, all together."""
    needed, free = math.prod(shape), available_memory()
    if free is not None and needed > free:
        raise UserError(
            f"data.root={root}: the decoded images need {_readable(needed)} of memory, and {_readable(free)} are "
            "there; use fewer or smaller images, or data=imagenet, which decodes them during training"
        )


def check_room(cache: Path, shape: Iterable[int]) -> None:
    """Raise `UserError` unless the folder `cache`, which exists, has room for uint8 images of this shape."""
    needed, free = math.prod(shape), shutil.disk_usage(cache).free
    if needed > free:
        raise UserError(
            f"data.cache={cache}: the decoded images need {_readable(needed)}, and {_readable(free)} are there; make "
            "room or point data.cache at another folder, or use data=imagenet, which decodes images during training"
        )


def check_batch_memory(crop: int, images: int) -> None:
    """Raise `UserError` unless memory has room for `images` uint8 inputs of size crop × crop × 3."""
    needed, free = images * crop * crop * 3, available_memory()
    if free is not None and needed > free:
        raise UserError(
            f"data.crop={crop}: a batch of {images} images needs {_readable(needed)} of memory, and {_readable(free)} "
            "are there; lower data.crop or bn_batch"
        )


def available_memory() -> int | None:
    """Return the bytes that this process can still allocate, within the limit of its container; None if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    try:
        limit, used = (int((CGROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        return min(free, max(0, limit - used + int(stat["file"])))  # the kernel gives up cached files
    except (OSError, ValueError, KeyError):  # no container, or "max": no limit
        return free


def _readable(count: int) -> str:
    unit = min(max(count.bit_length() - 1, 0) // 10, 5)
    return f"{count / 1024**unit:,.1f} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[unit]}"
