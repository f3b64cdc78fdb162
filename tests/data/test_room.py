"""The memory that is free, also within the control groups of a container or a SLURM job."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_ablations import control_groups
from resnet_ablations.data import room
from resnet_ablations.errors import UserError

MIB = 2**20
LIMIT, USED, CACHED = 100 * MIB, 70 * MIB, 20 * MIB
FREE = LIMIT - USED + CACHED

Group = Callable[..., None]


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Group:
    """Return a function that makes a control group of version 1 or 2; this process is in the group `job/step`."""
    monkeypatch.setattr(control_groups, "HIERARCHIES", tmp_path / "cgroup")
    monkeypatch.setattr(control_groups, "OWN", tmp_path / "own")

    def make(path: str, *, version: int = 2, limited: bool = True) -> None:
        names = {
            1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
            2: ("memory.max", "memory.current", ""),
        }
        limit, used, prefix = names[version]
        (tmp_path / "own").write_text("5:cpu,memory:/job/step\n0::/other\n" if version == 1 else "0::/job/step\n")
        folder = tmp_path / "cgroup" / ("memory" if version == 1 else "") / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / limit).write_text(f"{LIMIT if limited else 2**62 if version == 1 else 'max'}\n")
        (folder / used).write_text(f"{USED}\n")
        parts = {"active_file": CACHED // 2, "inactive_file": CACHED // 2, "file": 2**40, "shmem": 2**40}
        (folder / "memory.stat").write_text("".join(f"{prefix}{name} {size}\n" for name, size in parts.items()))

    return make


def free() -> int:
    found = room.available_memory()
    assert found is not None
    return found


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("limited", ["", "job", "job/step"])
def test_the_limit_of_the_own_group_or_of_one_above(group: Group, version: int, limited: str) -> None:
    """A container is the root of what its processes see; a SLURM job is the group of its steps."""
    for path in ("", "job", "job/step"):
        group(path, version=version, limited=path == limited)
    assert free() == FREE


def test_without_limits_or_groups(group: Group, tmp_path: Path) -> None:
    everything = free()
    assert everything > FREE
    group("job/step", limited=False)
    group("another-job")
    assert free() > FREE


def test_each_device_has_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "available_memory", lambda: 3 * MIB)
    room.check_memory("images", (3, MIB))
    room.check_memory("images", (1, MIB), copies=3)
    with pytest.raises(
        UserError, match=r"need 4\.0 MiB of memory \(2 copies, one for each device\), but only 3\.0 MiB"
    ):
        room.check_memory("images", (2, MIB), copies=2)
