import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from observing import wait_until

from resnet_ablations.results import locks
from resnet_ablations.results.locks import Owner, RunLock, RunLocked


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


@pytest.mark.parametrize(
    ("change", "silent_for", "dead"),
    [
        ({}, 1e6, False),  # it is there, however busy
        ({"started": 1}, 0, True),  # its number went to another process
        ({"boot": "before"}, 0, True),
        ({"pid": 2**22 + 1}, 0, True),
        ({"host": "elsewhere", "pid": 2**22 + 1}, locks.DEAD_AFTER_SECONDS - 60, False),
        ({"host": "elsewhere"}, locks.DEAD_AFTER_SECONDS + 60, True),
    ],
)
def test_owners_that_are_gone(change: dict[str, object], silent_for: float, dead: bool) -> None:
    owner = Owner.this_process().model_copy(update=change)
    assert owner.is_dead(time.time() - silent_for) is dead


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
    assert owner.is_dead(time.time(), queue) is dead


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


def test_an_owner_sends_heartbeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    with RunLock(tmp_path):
        (path,) = tmp_path.glob("claim*")
        os.utime(path, (0, 0))
        end = time.monotonic() + 10
        while path.stat().st_mtime == 0:
            assert time.monotonic() < end


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
    assert not there.is_dead(time.time())
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert there.is_dead(time.time())
