"""The sockets of the fork server and of the decoding processes, with a temporary folder of a long path."""

import multiprocessing
import subprocess
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Listener
from pathlib import Path

import pytest

from resnet_ablations.errors import UserError
from resnet_ablations.training.fork_server import LONGEST, shorten_sockets


@pytest.fixture
def long_folder(tmp_path: Path) -> Path:
    """A folder whose path is one byte too long."""
    folder = tmp_path / ("t" * max(1, LONGEST - len(str(tmp_path))))
    folder.mkdir()
    return folder


@pytest.fixture
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget multiprocessing's folder for sockets, as in a process that has no sockets yet."""
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {})


@pytest.mark.usefixtures("new_process")
def test_the_longest_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("t" * (LONGEST - len(str(tmp_path)) - 1))
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    shorten_sockets()
    with Listener(family="AF_UNIX") as listener:
        assert str(listener.address).startswith(str(folder))


@pytest.mark.usefixtures("new_process")
def test_a_longer_path(long_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(long_folder))
    shorten_sockets()
    with Listener(family="AF_UNIX") as listener:
        assert str(listener.address).startswith("/tmp/pymp-")
    assert tempfile.gettempdir() == str(long_folder)


@pytest.mark.usefixtures("new_process")
def test_no_short_folder(long_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "tempdir", str(long_folder))
    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    with pytest.raises(UserError, match=r"^TMPDIR=.*t: too long for the path of a socket, and /tmp cannot be written"):
        shorten_sockets()


@pytest.mark.xdist_group("warm")
def test_a_sweep_with_a_long_temporary_folder(
    warm_python: Callable[..., subprocess.CompletedProcess[str]], long_folder: Path, tmp_path: Path, photos: Path
) -> None:
    """Its run has decoding processes, which have sockets of their own."""
    files = ("data=imagenet", f"data.root={photos}", "data.classes=3", "data.crop=16", "trainer.workers=2")
    tiny = ("network.depth=8", "schedule.iterations=2", "trainer=cpu", "trainer.threads=1")
    sweep = ("-m", *tiny, *files, f"paths.results={tmp_path}/results", "seed=0")
    ended = warm_python("-m", "resnet_ablations.train", *sweep, cwd=tmp_path, TMPDIR=str(long_folder))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert list(long_folder.iterdir()) == []
