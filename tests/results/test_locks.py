import errno
import gc
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from observing import wait_until

from resnet_ablations.errors import UserError
from resnet_ablations.results import locks, owner
from resnet_ablations.results.locks import (
    FileLocked,
    RunLock,
    RunLocked,
    RunLost,
    await_heartbeats,
    file_lock,
    results_lock,
)
from resnet_ablations.results.owner import OWN_JOB, Owner
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.results.states import state_of
from resnet_ablations.sweep.squeue import remove_stale_locks


def check(lock: RunLock) -> None:
    """Raise `RunLost` unless the lock's process owns the run."""
    with lock.held():
        pass


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


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass for this process, as its monotonic clock counts it."""
    passed = 0.0
    monkeypatch.setattr(time, "monotonic", lambda real=time.monotonic: real() + passed)

    def let_pass(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    return let_pass


def locked_by(folder: Path, **change: object) -> RunLock:
    """Return the lock of a run whose owner is this process with some changes."""
    path = folder / "claim.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Owner.this_process().model_copy(update=change).model_dump_json())
    return RunLock(folder)


@pytest.mark.parametrize(
    ("change", "alive", "silent"),
    [
        ({}, True, True),  # it is there, however busy
        ({"started": 1}, False, False),  # its number went to another process
        ({"pid": 2**22 + 1}, False, False),
        (ELSEWHERE, True, False),
        (ELSEWHERE | {"pid": 2**22 + 1}, True, False),  # a process that this machine does not have
        ({"host": "elsewhere"}, True, False),  # another process namespace of this machine, such as a container's
        ({"started": 0}, True, False),  # its start is unknown, so its number may have gone to another process
    ],
)
def test_owners_that_are_alive_and_after_a_silence(
    tmp_path: Path, later: Callable[[float], None], change: dict[str, object], alive: bool, silent: bool
) -> None:
    lock = locked_by(tmp_path / "runs" / "run", **change)
    assert (lock.owner() is not None) is alive
    later(locks.DEAD_AFTER_SECONDS - 1)
    assert (lock.owner() is not None) is alive
    later(2)
    assert (lock.owner() is not None) is silent


@pytest.mark.parametrize("age", [-360.0, 0.0, 1e6])
def test_no_clock_of_another_machine_says_that_an_owner_is_dead(
    tmp_path: Path, later: Callable[[float], None], age: float
) -> None:
    """A file's time is that of the file server or of the machine that wrote it; only its change counts."""
    run = tmp_path / "runs" / "run"
    lock = locked_by(run, **ELSEWHERE)
    for beat in range(3):
        os.utime(run / "claim.json", (0, time.time() - age + beat))
        with pytest.raises(RunLocked, match=r"process \d+ on .* trains it"), RunLock(run):
            pytest.fail("two have it")
        later(locks.DEAD_AFTER_SECONDS - 1)
    later(2)
    with lock:
        check(lock)


def test_the_silence_of_an_owner_is_told_but_counts_for_nothing(tmp_path: Path) -> None:
    """`resnet-ablations status` tells the silence: it looks once, and may not be allowed to write."""
    run = tmp_path / "runs" / "run"
    lock = locked_by(run, **ELSEWHERE)
    assert lock.silence() == ""
    os.utime(run / "claim.json", (0, time.time() - 7200))
    run.chmod(0o555)
    assert "for 2:00:00; it may have been killed" in lock.silence()
    assert lock.owner() is not None
    assert list(run.iterdir()) == [run / "claim.json"]
    assert locked_by(run).silence() == "", "this machine knows the process"


def test_a_wait_for_heartbeats_ends_with_one_or_with_the_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alive, dead = (locked_by(tmp_path / "runs" / name, pid=pid, **ELSEWHERE) for name, pid in (("a", 7), ("b", 8)))
    own = locked_by(tmp_path / "runs" / "c")

    def heartbeat(seconds: float, real: Any = time.sleep) -> None:
        os.utime(tmp_path / "runs" / "a" / "claim.json")
        real(seconds)

    monkeypatch.setattr(time, "sleep", heartbeat)
    await_heartbeats([alive, own])
    assert alive.owner() is not None
    monkeypatch.setattr(locks, "DEAD_AFTER_SECONDS", 0.2)
    await_heartbeats([dead])
    assert dead.owner() is None
    told = capsys.readouterr().err.splitlines()
    assert [line[: line.index(" on ")] for line in told] == [
        f"waiting for a heartbeat of process {pid}" for pid in "78"
    ]


def test_another_users_process_that_proc_hides_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option `hidepid` of /proc hides a process from all users but its owner."""
    lock = locked_by(tmp_path / "runs" / "run", pid=1)
    read = Path.read_text

    def hidden(path: Path, *arguments: Any, **named: Any) -> str:
        if path == Path("/proc/1/stat"):
            raise FileNotFoundError(path)
        return read(path, *arguments, **named)

    def refused(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", hidden)
    monkeypatch.setattr(os, "kill", refused)
    assert owner.Owner.of(1).started == 0
    assert lock.owner() is not None


def test_an_owner_that_was_suspended_learns_that_it_has_lost_the_run(tmp_path: Path) -> None:
    """It writes no result, and leaves the lock of the next owner."""
    run = tmp_path / "runs" / "run"
    with RunLock(run) as mine:
        check(mine)
        theirs = locked_by(run, pid=os.getppid(), **ELSEWHERE)
        with pytest.raises(RunLost, match=f"process {os.getppid()} on .* has taken the run over"):
            check(mine)
    assert theirs.owner() is not None


def test_an_owner_whose_run_was_finished_by_another_learns_it(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    with RunLock(run) as lock:
        (run / "claim.json").unlink()
        with pytest.raises(RunLost, match="another process has taken the run over"):
            check(lock)


def test_nobody_takes_a_run_over_while_its_owner_writes(
    tmp_path: Path, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner is suspended meanwhile. Other runs are not held up."""
    run, other = (tmp_path / "runs" / name for name in ("run", "other"))
    process = Owner.this_process().model_copy(update=ELSEWHERE)
    with RunLock(run, process) as lock:
        RunLock(run).owner()
        later(locks.DEAD_AFTER_SECONDS + 1)
        monkeypatch.setattr(locks, "LOCK_SECONDS", 0.1)
        with lock.held():
            with pytest.raises(FileLocked, match=r"claim\.json: another process has held this lock"), RunLock(run):
                pytest.fail("two have it")
            with RunLock(other) as elsewhere, elsewhere.held():
                pass
        with RunLock(run), pytest.raises(RunLost):
            check(lock)


def test_a_stale_lock_that_cannot_be_had_stops_no_other_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep removes it before it starts the run: its other runs go on, and the run itself says what is wrong."""
    run = tmp_path / "runs" / "run"
    lock, claim = locked_by(run, started=1), run / "claim.json"
    monkeypatch.setattr(locks, "LOCK_SECONDS", 0.1)
    with file_lock(claim):  # by a process that was suspended as it wrote
        lock.remove_if_stale()
        with pytest.raises(FileLocked), RunLock(run):
            pytest.fail("two have it")
    assert claim.exists()
    lock.remove_if_stale()
    assert not claim.exists()


@pytest.mark.parametrize("lock", [lambda path: file_lock(path / ".lock"), results_lock])
@pytest.mark.parametrize(
    "put",
    [
        Path.mkdir,
        lambda path: path.symlink_to(path.name),
        lambda path: path.symlink_to("no/where"),
        lambda path: path.symlink_to("/dev/null/x"),
        lambda path: socket.socket(socket.AF_UNIX).bind(path.name),  # a long path would be refused
    ],
)
def test_what_is_no_file_cannot_be_locked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lock: Callable[[Path], AbstractContextManager[object]],
    put: Callable[[Path], object],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".lock", ".submission.lock"):
        put(tmp_path / name)
    with (
        pytest.raises(UserError, match=r"^/.*/\.(submission\.)?lock: cannot be locked: .+; remove it$"),
        lock(tmp_path),
    ):
        pass


@pytest.mark.parametrize("lock", [lambda path: file_lock(path / ".lock"), results_lock])
def test_a_lock_of_a_colleague_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Callable[[Path], AbstractContextManager[object]]
) -> None:
    def refused(path: Path, *_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "open", refused)
    message = r"^/.*lock: may not be written; its owner can allow it: chmod g\+w$"
    with pytest.raises(UserError, match=message), lock(tmp_path):
        pass


def test_a_waiting_process_sees_that_the_file_was_replaced(tmp_path: Path) -> None:
    """Its lock on the removed file would keep nobody away."""
    path, entered = tmp_path / "lock", threading.Event()

    def wait() -> None:
        with file_lock(path):
            entered.set()

    with file_lock(path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        path.unlink()
        with file_lock(path):
            assert not entered.wait(0.2)
    waiting.join()
    assert entered.is_set()


def test_a_file_that_may_not_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(UserError, match=r"lock: may not be written; its owner can allow it: chmod g\+w"):
        file_lock(tmp_path / "lock").__enter__()


def test_an_error_of_the_file_server_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunLock(tmp_path / "runs" / "run") as lock:
        errors = iter([OSError(errno.ESTALE, "Stale file handle"), OSError(errno.EIO, "Input/output error")])

        def opened(*arguments: Any, real: Any = os.open) -> Any:
            if error := next(errors, None):
                raise error
            return real(*arguments)

        monkeypatch.setattr(os, "open", opened)
        check(lock)


def test_an_error_of_the_file_server_that_stays_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "open", failed)
    with pytest.raises(UserError, match="lock: cannot be locked: Input/output error"):
        file_lock(tmp_path / "lock", seconds=0).__enter__()


def test_the_started_ranks_of_a_run_check_the_lock_of_the_process_that_started_them(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    with RunLock(run) as lock:
        check(RunLock(run, lock.process))
        with pytest.raises(RunLost):
            check(RunLock(run, lock.process.model_copy(update={"pid": 1})))


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
    monkeypatch.setenv(OWN_JOB, own)
    owner = Owner.this_process().model_copy(update={"host": "elsewhere", "job": job})
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert owner.has_ended(queue) is (dead or None)


def test_the_lock_of_a_job_that_is_over_can_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "run" / "claim.json"
    lock = locked_by(path.parent, host="elsewhere", job="7_1")
    lock.remove_if_stale({"7_1"}, lock.named())
    assert path.exists()
    lock.remove_if_stale({"7_2"}, lock.named())
    assert not path.exists()


def test_a_queue_tells_nothing_of_a_job_that_began_later(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "run"
    before = locked_by(path, host="elsewhere", job="7_1").named()
    lock = locked_by(path, host="elsewhere", job="8")
    lock.remove_if_stale({"6"}, before)
    assert lock.owner() is not None


@pytest.mark.parametrize(
    ("code", "message"), [(errno.EACCES, "may not be read; its owner can allow it"), (errno.EIO, "cannot be read: ")]
)
def test_a_lock_that_cannot_be_read_is_a_failure_of_its_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    """No sweep ends for it: the process that is to train the run says what is wrong."""
    folder = RunFolder(tmp_path, "run")
    folder.freeze({})
    folder.set_status(Status(outcome="running", iteration=1, iterations=6))
    lock = locked_by(folder.path)
    assert lock.is_owned()
    monkeypatch.setattr(locks, "QUIET_SECONDS", 0.1)

    def fails(self: RunLock) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(RunLock, "_read", fails)
    assert not lock.is_owned()
    assert lock.named() is None
    assert lock.silence() == ""
    remove_stale_locks([folder])
    await_heartbeats([lock])
    with pytest.raises(UserError, match=message), RunLock(folder.path):
        pytest.fail("it has it")
    state = state_of(folder, {})
    assert (state.outcome, state.killed) == ("failed", False)
    assert message in state.reason


def test_a_shell_in_a_job_is_not_the_job_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep says which job it has submitted; in a notebook or a shell of `salloc` SLURM says which job that is."""
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    owner = Owner.this_process()
    assert (owner.job, owner.restart) == ("", "")
    monkeypatch.setenv(OWN_JOB, "7_0")
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
    run = tmp_path / "runs" / "run"
    run.mkdir(parents=True)
    (run / "claim.json").write_text("{" * 1000)
    with RunLock(run):
        assert RunLock(run).owner() == Owner.this_process()


def test_two_nodes_of_one_job_count_each_other_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OWN_JOB, "12")
    there = Owner.this_process().model_copy(update={"host": "other"})
    assert there.has_ended() is None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert there.has_ended() is True


def test_an_owner_that_a_full_disk_cuts_short_has_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, write = tmp_path / "runs" / "run", os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, at: write(file, content[:20], at))
    with pytest.raises(OSError, match="No space left on device"), RunLock(run):
        pytest.fail("the file does not name this process")
    monkeypatch.undo()
    with RunLock(run):
        assert RunLock(run).owner() == Owner.this_process()


def test_a_signal_between_the_lock_and_its_use_leaves_no_file_open(tmp_path: Path) -> None:
    code = file_lock.__wrapped__.__code__  # type: ignore[attr-defined]

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_back is not None and frame.f_back.f_code is code:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), warnings.catch_warnings(action="ignore"), file_lock(tmp_path / "file"):
            pytest.fail("no signal came")
    finally:
        sys.setprofile(None)
    gc.collect()
    with file_lock(tmp_path / "file", seconds=0):
        pass
