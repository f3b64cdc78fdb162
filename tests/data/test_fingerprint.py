"""The fingerprint of images is that of their content; its cache is used for the same files alone."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resnet_ablations.data import fingerprint as module
from resnet_ablations.data.fingerprint import PIECE, WHOLE, fingerprint
from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError

PATHS = ["a/1.jpg", "a/2.jpg", "b/1.png"]
JPEG = (".jpg", ".png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with the files `PATHS`; the first is larger than `WHOLE`."""
    for path, size in zip(PATHS, (100_000, WHOLE, 10), strict=True):
        (tmp_path / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / path).write_bytes(bytes(range(251)) * (size // 251) + b"x" * (size % 251))
    return tmp_path / "files"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a cache that takes files of any age."""
    monkeypatch.setattr(module, "SETTLED_SECONDS", -1.0)
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files whose content was read."""
    paths: list[str] = []
    content = module._content
    monkeypatch.setattr(module, "_content", lambda path, sampled: paths.append(path) or content(path, sampled))
    return paths


def flip(path: Path, place: int) -> None:
    """Change one bit of a file; keep its size and modification time."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_copy_has_the_same_fingerprint(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile))
    assert fingerprint(copy, PATHS, None) == fingerprint(root, PATHS, None)
    assert fingerprint(copy, PATHS, None, sampled=JPEG) == fingerprint(root, PATHS, None, sampled=JPEG)


@pytest.mark.parametrize(
    "place", [0, PIECE - 1, 50_000, (100_000 - PIECE) // 2, (100_000 + PIECE) // 2 - 1, 100_000 - PIECE, 99_999]
)
def test_a_changed_bit_in_the_sample_is_seen(root: Path, place: int) -> None:
    before = fingerprint(root, PATHS, None, sampled=JPEG)
    flip(root / PATHS[0], place)
    assert fingerprint(root, PATHS, None, sampled=JPEG) != before


def test_a_changed_bit_outside_the_sample_is_seen_where_files_are_read_whole(root: Path) -> None:
    """A sample does not see this change; therefore uncompressed images are read whole."""
    whole, sampled = (partial(fingerprint, root, PATHS, None, sampled=suffixes) for suffixes in ((".bmp",), JPEG))
    before = whole(), sampled()
    flip(root / PATHS[0], 20_000)
    assert whole() != before[0]
    assert sampled() == before[1]


@pytest.mark.parametrize("place", [0, 5_000, WHOLE - 1])
def test_every_bit_of_a_small_file_counts(root: Path, place: int) -> None:
    before = fingerprint(root, PATHS, None, sampled=JPEG)
    flip(root / PATHS[1], place)
    assert fingerprint(root, PATHS, None, sampled=JPEG) != before


def test_size_and_names_count(root: Path) -> None:
    before = fingerprint(root, PATHS, None)
    content = (root / PATHS[2]).read_bytes()
    (root / PATHS[2]).write_bytes(content + b"x")
    assert fingerprint(root, PATHS, None) != before
    (root / PATHS[2]).write_bytes(content)
    assert fingerprint(root, PATHS, None) == before
    (root / PATHS[2]).rename(root / "b/2.png")
    assert fingerprint(root, [*PATHS[:2], "b/2.png"], None) != before


# The cache


def test_files_that_have_not_changed_are_read_once(root: Path, cache: Path, read: list[str]) -> None:
    first = fingerprint(root, PATHS, cache)
    assert fingerprint(root, PATHS, cache) == first
    assert len(read) == 3
    assert fingerprint(root, PATHS, cache, sampled=JPEG) != first
    assert len(read) == 6


def overwrite(file: Path) -> None:
    flip(file, 3)


def replace(file: Path) -> None:
    """Move another file of the same size and times to the place."""
    other = file.with_name("other")
    shutil.copy2(file, other)
    flip(other, 3)
    other.replace(file)


def map_memory(file: Path) -> None:
    before = file.stat()
    with file.open("r+b") as opened:
        opened.seek(3)
        opened.write(b"\xff")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [overwrite, replace, map_memory])
def test_a_change_that_keeps_size_and_time_is_seen(root: Path, cache: Path, change: Callable[[Path], None]) -> None:
    before = fingerprint(root, PATHS, cache)
    stamp = (root / PATHS[0]).stat()
    change(root / PATHS[0])
    after = (root / PATHS[0]).stat()
    assert (after.st_size, after.st_mtime_ns) == (stamp.st_size, stamp.st_mtime_ns)
    assert fingerprint(root, PATHS, cache) != before


def test_files_that_changed_just_now_are_not_cached(root: Path, tmp_path: Path) -> None:
    """The next change may have the same time: it would not be seen."""
    fingerprint(root, PATHS, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


class Rounded:
    """The status of a file on an image of a file system, such as squashfs: its change time has whole seconds."""

    def __init__(self, status: os.stat_result) -> None:
        self._status = status

    def __getattr__(self, name: str) -> Any:
        return getattr(self._status, name) // 10**9 * 10**9 if name == "st_ctime_ns" else getattr(self._status, name)


class OnOtherDevice(Rounded):
    """The status of a file that lies on another file system than its neighbours."""

    def __getattr__(self, name: str) -> Any:
        return os.makedev(77, 7) if name == "st_dev" else getattr(self._status, name)


@pytest.mark.parametrize("fault", ["whole seconds", "read-only", "only mounted read-only"])
@pytest.mark.parametrize("of_all_files", [True, False])
def test_file_systems_without_change_times_are_read_each_time(
    root: Path,
    cache: Path,
    read: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fault: str,
    of_all_files: bool,
) -> None:
    """Another image of a file system may have files of the same names, sizes, times and inodes.

    The change times of a file system that is mounted read-only, as in a container, are as true as ever.
    """
    fingerprint(root, PATHS, cache)
    device = root.stat().st_dev if of_all_files else os.makedev(77, 7)
    (mounts := tmp_path / "mountinfo").write_text(
        f"22 1 0:0 / /proc rw - proc proc rw\n36 1 {os.major(device)}:{os.minor(device)} / {root} ro,noatime shared:1 "
        f"- ext4 /dev/sda1 {'rw' if fault == 'only mounted read-only' else 'ro'},errors=continue\n"
    )
    monkeypatch.setattr(module, "MOUNTS", mounts)
    stat, statvfs = os.stat, os.statvfs

    def status(path: str, **options: Any) -> Any:
        found = stat(path, **options)
        there = "files/" in str(path) and (of_all_files or str(path).endswith(PATHS[1]))
        if not there:
            return found
        other = Rounded(found) if fault == "whole seconds" else found
        return other if of_all_files else OnOtherDevice(other)

    def file_system(path: str) -> Any:
        there = fault.endswith("read-only") and (of_all_files or path.endswith(PATHS[1]))
        return SimpleNamespace(f_flag=os.ST_RDONLY if there else statvfs(path).f_flag)

    monkeypatch.setattr(os, "stat", status)
    monkeypatch.setattr(os, "statvfs", file_system)
    before = sorted(cache.iterdir())
    for _ in range(2):
        fingerprint(root, PATHS, cache)
    if fault != "only mounted read-only":
        assert len(read) == 9
        assert sorted(cache.iterdir()) == before
    else:
        assert len(read) == 3, "the first result is used"


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"0" * 32, None])
def test_a_damaged_cache_file_is_not_used(root: Path, cache: Path, read: list[str], damage: bytes | None) -> None:
    first = fingerprint(root, PATHS, cache)
    (file,) = cache.iterdir()
    content = file.read_bytes()
    file.write_bytes(
        content.replace(content[:1], b"0" if content[:1] != b"0" else b"1", 1) if damage is None else damage
    )
    assert fingerprint(root, PATHS, cache) == first
    assert len(read) == 6
    assert file.read_bytes() == content


def test_without_a_folder_for_the_cache(root: Path, cache: Path, read: list[str]) -> None:
    cache.touch()
    for _ in range(2):
        assert (
            fingerprint(root, PATHS, cache / "below")
            == fingerprint(root, PATHS, cache)
            == fingerprint(root, PATHS, None)
        )
    assert len(read) == 18


# Errors and progress


def test_files_that_cannot_be_read(root: Path) -> None:
    with pytest.raises(UserError) as caught:
        fingerprint(root, [*PATHS, *(f"gone{number}.jpg" for number in range(9))], None)
    assert len(caught.value.messages) == 5
    assert (
        caught.value.messages[0] == f"{root}/gone0.jpg: cannot be read (No such file or directory); repair or remove it"
    )


def test_files_that_change_while_they_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = module._content

    def meanwhile(path: str, sampled: tuple[str, ...]) -> tuple[int, bytes]:
        (root / PATHS[0]).write_bytes(b"other")
        return content(path, sampled)

    monkeypatch.setattr(module, "_content", meanwhile)
    with pytest.raises(UserError, match="images changed while they were read"):
        fingerprint(root, PATHS, None)


def test_a_long_reading_says_how_far_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint(root, PATHS, None)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(module, "ProgressLines", partial(ProgressLines, quiet_seconds=-1.0))
    fingerprint(root, PATHS, None)
    assert f"reading {root}: 3 of 3 images\n" in capsys.readouterr().err
