"""A reader finds the old file or the new file, also after a crash."""

import errno
import os
import stat
from pathlib import Path

import pytest

from resnet_ablations.results.atomic_write import fsync_folder, remove_temporary_files, write_atomically


def test_it_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.json"
    write_atomically(path, "one × one\n")
    assert path.read_text(encoding="utf-8") == "one × one\n"
    write_atomically(path, b"\x00two")
    assert path.read_bytes() == b"\x00two"
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_umask_gives_the_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int) -> None:
    """Also on file systems without chmod."""
    for name in ("chmod", "fchmod"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("chmod"))
    path = tmp_path / "file.json"
    before = os.umask(umask)
    try:
        for text in ("one", "two"):
            write_atomically(path, text)
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)


@pytest.mark.parametrize("kind", ["folders", "files"])
def test_a_file_system_without_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    fsync = os.fsync

    def refused(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (kind == "folders"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    write_atomically(tmp_path / "file.json", "new")
    assert (tmp_path / "file.json").read_text() == "new"
    assert fsync_folder(tmp_path) == (kind == "files")


@pytest.mark.parametrize("at", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_a_crash_before_the_rename_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, error: BaseException
) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, "old")

    def crash(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, at, crash)
    with pytest.raises(type(error)):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_a_file_appears_only_at_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is on disk, in the same folder, when the one step that cannot be half done is taken; then the folder is."""
    path = tmp_path / "file.json"
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def watched_replace(source: str, target: Path) -> None:
        assert Path(source).parent == target.parent
        assert Path(source).read_text() == "all of it"
        assert not target.exists()
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_atomically(path, "all of it")
    assert steps == ["file", "rename", "folder"]


def test_only_temporary_files_are_removed(tmp_path: Path) -> None:
    mine = [".htaccess.conf", ".curve.csv.swp", ".a.0123456", ".a.0123456g"]
    for name in (*mine, ".curve.csv.0a1b2c3d"):
        (tmp_path / name).touch()
    remove_temporary_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)
