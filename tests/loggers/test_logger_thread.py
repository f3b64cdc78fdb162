"""The thread that passes a run's curve to a logger."""

import threading
from pathlib import Path

import pytest

from resnet_ablations.loggers import logger_thread
from resnet_ablations.loggers.logger import Logger
from resnet_ablations.results.atomic_write import write_atomically
from resnet_ablations.results.curve import HEADER, CurveRow
from resnet_ablations.results.run_folder import RunFolder


class Kept(Logger):
    """A logger that keeps the iterations of the rows."""

    def __init__(self) -> None:
        self.iterations: list[int] = []

    def check(self) -> None:
        pass

    def start(self, folder: RunFolder) -> None:
        pass

    def log(self, row: CurveRow) -> None:
        self.iterations.append(row.iteration)

    def close(self) -> None:
        pass


def test_a_run_that_is_faster_than_the_thread_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On ext4, a new curve may get the inode number of the one that the run has removed."""
    monkeypatch.setattr(logger_thread, "POLL_SECONDS", 60)
    folder, logger = RunFolder(tmp_path, "run"), Kept()
    folder.path.mkdir(parents=True)
    for _ in range(4):  # ext4 gives the lowest number that is free
        write_atomically(folder.curve, HEADER)
    old, looked, inode = folder.curve.stat().st_ino, threading.Event(), logger_thread._inode

    def look(path: Path) -> int | None:
        found = inode(path)
        if threading.current_thread() is not threading.main_thread():
            looked.set()
        return found

    monkeypatch.setattr(logger_thread, "_inode", look)
    with logger_thread.logger_thread(folder, logger):
        assert looked.wait(60)
        for _ in range(20):
            write_atomically(folder.curve, f"{HEADER}2,0.1,1,50,,\n")
            if folder.curve.stat().st_ino == old:
                break
    assert logger.iterations == [2]
