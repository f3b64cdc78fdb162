"""A CPU quota of a container or a scheduler counts as fewer cores."""

import os
from pathlib import Path

import pytest

from resnet_ablations import control_groups
from resnet_ablations.cores import usable_cores


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 8 cores whose control groups are in this folder; the process is in the group /job/step."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(control_groups, "OWN", tmp_path / "cgroup")
    monkeypatch.setattr(control_groups, "HIERARCHIES", tmp_path / "fs")
    return tmp_path


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def test_without_a_quota_the_mask_counts(system: Path) -> None:
    assert usable_cores() == 8
    write(system, cgroup="0::/job/step")
    write(system / "fs" / "job", cpu__max="max 100000")
    assert usable_cores() == 8


@pytest.mark.parametrize(("quota", "count"), [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1)])
@pytest.mark.parametrize("group", [".", "job", "job/step"])
def test_a_quota_of_the_group_or_of_one_around_it(system: Path, quota: str, count: int, group: str) -> None:
    write(system, cgroup="0::/job/step")
    write(system / "fs" / "job" / "step", cpu__max="max 100000")
    write(system / "fs" / group, cpu__max=quota)
    assert usable_cores() == count


def test_a_quota_of_version_1(system: Path) -> None:
    write(system, cgroup="4:memory:/other\n1:cpu,cpuacct:/job/step\n0::/")
    write(system / "fs" / "cpu" / "job", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    write(system / "fs" / "cpu" / "job" / "step", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    write(system / "fs" / "other", cpu__max="100000 100000")
    assert usable_cores() == 3


def test_a_quota_above_the_mask_gives_no_cores(system: Path) -> None:
    write(system, cgroup="0::/")
    write(system / "fs", cpu__max="9900000 100000")
    assert usable_cores() == 8
