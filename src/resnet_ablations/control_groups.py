"""The control groups of Linux that limit this process: a container and a SLURM job are such groups."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

OWN = Path("/proc/self/cgroup")
"""The groups of this process, a line `NUMBER:CONTROLLERS:PATH` for each hierarchy; version 2 names no controllers."""
HIERARCHIES = Path("/sys/fs/cgroup")


def control_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's groups with a controller (`cpu`, `memory`), and of the groups around them.

    A folder may be missing: in a container, the path may be the host's, and the container's group is the top.
    """
    for line in text_of(OWN).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        hierarchy, place = HIERARCHIES / (controller if controllers else ""), PurePosixPath(path.lstrip("/"))
        yield from (hierarchy / group for group in (place, *place.parents))


def text_of(file: Path) -> str:
    """Return the text of a file of the kernel without the line's end, "" if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
