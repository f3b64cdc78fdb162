"""`python -m resnet_ablations.clean` removes what is named and agreed to, and nothing else."""

import errno
import io
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_ablations import clean
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.owner import Owner
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.sweep import squeue

KEYS = (
    "resnet8-dropout-digits-1a2b3c4d-s0",
    "resnet8-dropout-digits-1a2b3c4d-s1",
    "resnet8-identity-digits-5e6f7a8b-s0",
)


@pytest.fixture
def cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Answers the question for some names, and returns the runs that are left of `KEYS`."""
    for key in KEYS:
        RunFolder(tmp_path, key).freeze({})

    def run(answer: str, *names: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["clean", "--results", str(tmp_path), *names])
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        clean.main()
        return sorted(path.name for path in (tmp_path / "runs").iterdir())

    return run


def test_named_runs_are_removed(cleaned: Callable[..., list[str]]) -> None:
    assert cleaned("y\n", KEYS[0]) == [*KEYS[1:]]


def test_a_pattern(cleaned: Callable[..., list[str]]) -> None:
    assert cleaned("yes\n", "*-dropout-*") == [KEYS[2]]


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "maybe\n"])
def test_an_answer_other_than_yes_removes_nothing(cleaned: Callable[..., list[str]], answer: str) -> None:
    assert cleaned(answer, "*") == [*KEYS]


def test_ctrl_c_at_the_question_removes_nothing(
    cleaned: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(question: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", pressed)
    assert cleaned("", "*") == [*KEYS]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "name the runs to remove"),
        (("*-dropout-*", "*-conv1x1-*"), "*-conv1x1-*: no such run"),
        (("..",), "no such run"),
    ],
)
def test_mistakes(
    cleaned: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    names: tuple[str, ...],
    message: str,
) -> None:
    with pytest.raises(SystemExit) as end:
        cleaned("y\n", *names)
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_a_run_that_is_being_trained_stays_and_the_others_with_it(
    cleaned: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path, KEYS[1])
    folder.set_status(Status(outcome="running", iteration=1, iterations=6))
    with RunLock(folder.path), pytest.raises(SystemExit) as end:
        cleaned("y\n", "*")
    assert end.value.code == 2
    assert f"{KEYS[1]}: running; stop it first" in capsys.readouterr().err
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_a_job_that_begins_while_clean_waits_keeps_its_lock(
    cleaned: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, queue = RunFolder(tmp_path, KEYS[0]), {"7": "RUNNING (None)"}
    folder.set_status(Status(outcome="running", iteration=1, iterations=6, job="7"))

    def begin(*arguments: object) -> None:
        queue["8"] = "RUNNING (None)"
        owner = Owner.this_process().model_copy(update={"boot": "another", "job": "8"})
        (folder.path / "claim.json").write_text(owner.model_dump_json())

    monkeypatch.setattr(squeue, "jobs_in_queue", lambda: dict(queue))
    monkeypatch.setattr(clean, "await_heartbeats", begin)
    with pytest.raises(SystemExit):
        cleaned("y\n", KEYS[0])
    assert (folder.path / "claim.json").exists()


def test_a_job_that_begins_just_after_the_queue_was_asked_keeps_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of an earlier job, which is over, may go."""
    folder, other = (RunFolder(tmp_path, key) for key in KEYS[:2])
    ended = Owner.this_process().model_copy(update={"boot": "another", "job": "6"})
    for one in (folder, other):
        one.path.mkdir(parents=True)
        one.set_status(Status(outcome="running", iteration=1, iterations=6, job="6"))
        (one.path / "claim.json").write_text(ended.model_dump_json())

    def ask() -> dict[str, str]:
        (folder.path / "claim.json").write_text(ended.model_copy(update={"job": "8"}).model_dump_json())
        return {"7": "RUNNING (None)"}

    monkeypatch.setattr(squeue, "jobs_in_queue", ask)
    squeue.remove_stale_locks([folder, other])
    assert (folder.path / "claim.json").exists()
    assert not (other.path / "claim.json").exists()


def test_a_run_whose_job_is_over_is_removed_without_a_wait_for_its_heartbeat(
    cleaned: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job was killed on another machine; a job that is in the queue is not waited for either."""

    def slept(seconds: float) -> None:
        pytest.fail("it waits")

    monkeypatch.setattr(squeue, "jobs_in_queue", lambda: {"8": "PENDING (BeginTime)"})
    monkeypatch.setattr(time, "sleep", slept)
    for key, job in zip(KEYS, "78", strict=False):
        folder = RunFolder(tmp_path, key)
        folder.set_status(Status(outcome="running", iteration=1, iterations=6, job=job))
        killed = Owner.this_process().model_copy(update={"boot": "another", "job": job})
        (folder.path / "claim.json").write_text(killed.model_dump_json())
    assert cleaned("y\n", KEYS[0]) == [*KEYS[1:]]
    with pytest.raises(SystemExit):
        cleaned("y\n", KEYS[1])


def test_a_folder_that_cannot_be_removed_is_one_line_and_stays_whole(
    cleaned: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SystemExit) as ended:
        cleaned("y\n", KEYS[0])
    assert ended.value.code == 2
    assert f"{KEYS[0]}: not removed: {tmp_path / 'runs'} cannot be written" in capsys.readouterr().err
    assert RunFolder(tmp_path, KEYS[0]).config.exists()


def test_an_error_while_a_run_is_removed_is_one_line(
    cleaned: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", fails)
    with pytest.raises(SystemExit) as ended:
        cleaned("y\n", KEYS[0])
    assert ended.value.code == 2
    assert f"error: {KEYS[0]}: not wholly removed: " in capsys.readouterr().err
