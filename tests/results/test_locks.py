import errno
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from observing import wait_until

from resnet_ablations.results import locks
from resnet_ablations.results.locks import Owner, RunLock, RunLocked, RunLost


def test_one_at_a_time(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    with RunLock(run), pytest.raises(RunLocked, match=f"process {os.getpid()} "), RunLock(run):
        pytest.fail("two have it")
    assert RunLock(tmp_path / "runs" / "run").owner() is None
    with RunLock(tmp_path / "runs" / "run"):
        pass
    assert list((tmp_path / "runs" / "run").iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from resnet_ablations.results.locks import RunLock\n"
    code += "with RunLock(Path(sys.argv[1])): print('mine', flush=True); time.sleep(600)"
    run = str(tmp_path / "runs" / "run")
    process = subprocess.Popen([sys.executable, "-c", code, run], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    owner = RunLock(tmp_path / "runs" / "run").owner()
    assert owner is not None
    assert owner.pid == process.pid

    process.kill()
    # Dead, though nobody has waited for it: a zombie.
    wait_until(lambda: RunLock(tmp_path / "runs" / "run").owner() is None, seconds=10)
    with RunLock(tmp_path / "runs" / "run"):
        taken = RunLock(tmp_path / "runs" / "run").owner()
    process.wait()
    assert taken == Owner.this_process()


ELSEWHERE = {"boot": "another"}
"""The change of an owner on another machine, which has the name of this one."""
SILENT = locks.DEAD_AFTER_SECONDS


def locked_by(folder: Path, silent_for: float = 0.0, **change: object) -> RunLock:
    """Return the lock of a run whose owner is this process with some changes."""
    path = folder / "claim.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Owner.this_process().model_copy(update=change).model_dump_json())
    heartbeat = path.stat().st_mtime - silent_for
    os.utime(path, (heartbeat, heartbeat))
    return RunLock(folder)


@pytest.mark.parametrize(
    ("change", "silent_for", "alive"),
    [
        ({}, 1e6, True),  # it is there, however busy
        ({"started": 1}, 0, False),  # its number went to another process
        ({"pid": 2**22 + 1}, 0, False),
        (ELSEWHERE, SILENT - 60, True),
        (ELSEWHERE | {"pid": 2**22 + 1}, 0, True),  # a process that this machine does not have
        (ELSEWHERE, SILENT + 60, False),
        ({"host": "elsewhere"}, SILENT - 60, True),  # another process namespace of this machine, such as a container's
        ({"host": "elsewhere"}, SILENT + 60, False),
    ],
)
def test_owners_that_are_alive(tmp_path: Path, change: dict[str, object], silent_for: float, alive: bool) -> None:
    owner = locked_by(tmp_path / "runs" / "run", silent_for, **change).owner()
    assert (owner is not None) is alive


@pytest.mark.parametrize("ahead", [360.0, -360.0])
def test_the_clock_of_this_machine_says_nothing_of_an_owner_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + ahead)
    run = tmp_path / "runs" / "run"
    with pytest.raises(RunLocked, match="300 s"), locked_by(run, **ELSEWHERE):
        pytest.fail("two have it")
    with locked_by(run, SILENT + 60, **ELSEWHERE) as lock:
        lock.check()


def test_an_owner_elsewhere_counts_as_alive_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of the file server cannot be known in a folder that is read-only."""
    lock = locked_by(tmp_path / "runs" / "run", 1e6, **ELSEWHERE)

    def refused(**_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    assert lock.owner() is not None


def test_an_owner_that_was_suspended_learns_that_it_has_lost_the_run(tmp_path: Path) -> None:
    """It writes no result, and leaves the lock of the next owner."""
    run = tmp_path / "runs" / "run"
    with RunLock(run) as mine:
        mine.check()
        theirs = locked_by(run, pid=os.getppid(), **ELSEWHERE)
        for writing in (mine.check, lambda: mine.kept().__enter__()):
            with pytest.raises(RunLost, match=f"process {os.getppid()} on .* has taken the run over"):
                writing()
    assert theirs.owner() is not None


def test_an_owner_whose_run_was_finished_by_another_learns_it(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    with RunLock(run) as lock:
        (run / "claim.json").unlink()
        with pytest.raises(RunLost, match="another process has taken the run over"):
            lock.check()


def test_nobody_takes_a_run_over_while_its_owner_writes_the_result(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    with RunLock(run) as lock:
        with lock.kept(), pytest.raises(BlockingIOError), locks.file_lock(tmp_path / ".lock", wait=False):
            pytest.fail("it can be taken over")
        with locks.file_lock(tmp_path / ".lock", wait=False):
            pass


def test_the_started_ranks_of_a_run_check_the_lock_of_the_process_that_started_them(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    with RunLock(run) as lock:
        RunLock(run, lock.holder).check()
        with pytest.raises(RunLost):
            RunLock(run, lock.holder.model_copy(update={"pid": 1})).check()


@pytest.mark.parametrize(
    ("job", "own", "queue", "dead"),
    [
        ("7_1", "", None, False),
        ("7_1", "", ["7_1"], False),
        ("7_1", "", ["7_2"], True),  # its job is over, so nothing of it is left
        ("", "", [], False),  # not of SLURM
        ("7_1", "7_1", None, True),  # requeued to another machine, the job finds its own lock
        ("7_1", "7_2", None, False),
    ],
)
def test_owners_in_a_job_that_is_over_are_dead(
    monkeypatch: pytest.MonkeyPatch, job: str, own: str, queue: list[str] | None, dead: bool
) -> None:
    monkeypatch.setenv(locks.OWN_JOB, own)
    owner = Owner.this_process().model_copy(update={"host": "elsewhere", "job": job})
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert owner.has_ended(queue) is (dead or None)


def test_the_lock_of_a_job_that_is_over_can_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    path.write_text(Owner.this_process().model_copy(update={"host": "elsewhere", "job": "7_1"}).model_dump_json())
    lock = RunLock(tmp_path)
    lock.remove_if_stale({"7_1"})
    assert path.exists()
    lock.remove_if_stale({"7_2"})
    assert not path.exists()


def test_a_shell_in_a_job_is_not_the_job_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep says which job it has submitted; in a notebook or a shell of `salloc` SLURM says which job that is."""
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    owner = Owner.this_process()
    assert (owner.job, owner.restart) == ("", "")
    monkeypatch.setenv(locks.OWN_JOB, "7_0")
    owner = Owner.this_process()
    assert (owner.job, owner.restart) == ("7_0", "1")


def test_an_owner_sends_heartbeats_also_after_an_error_of_the_file_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    failed = threading.Event()

    def heartbeat(path: Path, real: Any = os.utime) -> None:
        if failed.is_set():
            return real(path)
        failed.set()
        raise OSError(errno.ESTALE, "Stale file handle")

    with RunLock(tmp_path / "runs" / "run"):
        (path,) = tmp_path.glob("runs/run/claim*")
        os.utime(path, (0, 0))
        monkeypatch.setattr(os, "utime", heartbeat)
        wait_until(lambda: path.stat().st_mtime > 0, seconds=10)
    assert failed.is_set()


def test_a_lock_that_cannot_be_read_has_no_owner(tmp_path: Path) -> None:
    (tmp_path / "claim.json").write_text("{")
    with RunLock(tmp_path):
        assert RunLock(tmp_path).owner() == Owner.this_process()


def test_a_process_taken_for_dead_leaves_the_lock_of_the_next_owner(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    with RunLock(tmp_path):
        path.write_text(Owner.of(os.getppid()).model_dump_json())
    assert path.exists()


def test_two_nodes_of_one_job_count_each_other_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(locks.OWN_JOB, "12")
    there = Owner.this_process().model_copy(update={"host": "other"})
    assert there.has_ended() is None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert there.has_ended() is True
