"""Nothing starts where there is no place for what it leaves."""

import errno
import fcntl
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.results.results_folder import readable, writable
from resnet_ablations.sweep.estimates import checkpoint_bytes
from resnet_ablations.sweep.preflight import check_results_folder

Config = Callable[..., RunConfig]
Usage = namedtuple("Usage", "total used free")


def test_the_folder_is_created_but_not_its_parent(tmp_path: Path) -> None:
    check_results_folder(str(tmp_path / "results"), [], 0)
    assert list((tmp_path / "results").iterdir()) == []
    with pytest.raises(UserError, match=r"nowhere does not exist; create it, or mount"):
        check_results_folder(str(tmp_path / "nowhere" / "results"), [], 0)
    assert not (tmp_path / "nowhere").exists()


def test_a_relative_folder_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_results_folder("results", [], 0)
    assert (tmp_path / "results").is_dir()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file: cannot be written: File exists"):
        check_results_folder(str(tmp_path / "file"), [], 0)
    (tmp_path / "link").symlink_to("nowhere/results")
    with pytest.raises(UserError, match=r"link: a link to nowhere/results, which does not exist; create that folder"):
        check_results_folder(str(tmp_path / "link"), [], 0)
    with pytest.raises(UserError, match=r"^/proc/results: cannot be written"):
        check_results_folder("/proc/results", [], 0)


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as NFS mounted with `nolock` by an old kernel, and some FUSE file systems."""

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(UserError, match=r"this file system has no locks \(No locks available\), which runs need"):
        check_results_folder(str(tmp_path), [], 0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_fsync_of_folders_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check_results_folder(str(tmp_path), [], 0)
    assert capsys.readouterr() == ("", "")

    def refused(_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refused)
    check_results_folder(str(tmp_path), [], 0)
    output, errors = capsys.readouterr()
    assert (output, errors.count("\n")) == ("", 1)
    assert "after a power failure, the newest files can be missing" in errors


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(UserError, match=r"cannot be written: Permission denied"):
        check_results_folder(str(tmp_path), [], 0)


@pytest.mark.parametrize(("free", "at_once", "enough"), [(3, 1, True), (2.9, 1, False), (5.9, 2, False), (6, 2, True)])
def test_two_checkpoints_and_the_next_one_for_each_run_at_once(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, at_once: int, enough: bool
) -> None:
    runs = [config(f"seed={seed}") for seed in range(3)]
    left = round(free * checkpoint_bytes(runs[0]))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(left, 0, left))
    if enough:
        check_results_folder(str(tmp_path), runs, at_once)
    else:
        with pytest.raises(UserError, match=rf"checkpoints of {at_once} runs? at once need \d MB; make room"):
            check_results_folder(str(tmp_path), runs, at_once)


def test_the_largest_runs_count(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = config(), config("network.depth=20")
    left = 3 * checkpoint_bytes(large) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(left, 0, left))
    check_results_folder(str(tmp_path), [small], 1)
    with pytest.raises(UserError, match="make room"):
        check_results_folder(str(tmp_path), [small, large], 1)


def test_a_folder_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    """The report writes the paths of runs, in UTF-8."""
    for check in (readable, writable):
        with pytest.raises(
            UserError, match=r"r\\udcff: its name is not UTF-8; rename the folder or choose another one"
        ):
            check(tmp_path / "r\udcff")
