import os
import signal
from pathlib import Path

import pytest

from resnet_ablations.config import RunConfig
from resnet_ablations.overrides import compose
from resnet_ablations.results.locks import FileLocked, file_lock
from resnet_ablations.results.owner import Owner
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.sweep import processes
from resnet_ablations.sweep.endings import record_end
from resnet_ablations.sweep.processes import train_in_processes
from resnet_ablations.sweep.slots import Slots


@pytest.fixture
def run(tmp_path: Path) -> RunConfig:
    """Return a run that the parent of this process trains."""
    config = compose(["network.depth=8", "trainer=cpu", f"paths.results={tmp_path}"])
    config.folder.path.mkdir(parents=True)
    config.folder.set_status(Status(outcome="running", iteration=3, iterations=9))
    (config.folder.path / "claim.json").write_text(Owner.of(os.getppid()).model_dump_json())
    return config


def outcome(run: RunConfig) -> str:
    status = run.folder.status()
    assert status is not None
    return status.outcome


def test_the_end_of_a_run_that_another_process_trains_is_its_own(run: RunConfig) -> None:
    record_end(run, "interrupted", killed=True)
    assert outcome(run) == "running"
    record_end(run, "interrupted", killed=True, process=os.getppid())
    assert outcome(run) == "interrupted"


def test_the_end_is_written_under_the_lock_of_the_run(run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process can begin to train the run between the look at its owner and the status."""
    (run.folder.path / "claim.json").unlink()
    write = RunFolder.set_status

    def enter_and_write(folder: RunFolder, status: Status | None) -> None:
        with pytest.raises(FileLocked), file_lock(folder.path / "claim.json", seconds=0):
            pass
        write(folder, status)

    monkeypatch.setattr(RunFolder, "set_status", enter_and_write)
    record_end(run, "failed", "exit code 1", killed=False)
    assert outcome(run) == "failed"
    assert not (run.folder.path / "claim.json").exists()


def test_the_same_process_number_on_another_machine_is_another_process(run: RunConfig) -> None:
    owner = Owner.of(os.getppid()).model_copy(update={"host": "another"})
    (run.folder.path / "claim.json").write_text(owner.model_dump_json())
    record_end(run, "interrupted", killed=True, process=os.getppid())
    assert outcome(run) == "running"


@pytest.mark.parametrize("ending", ["an error", "two signals"])
def test_a_sweep_that_ends_leaves_the_status_of_a_run_that_was_taken_over(
    run: RunConfig, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Its own process of this run has ended, or is killed, while another process trains the run."""

    class Process:
        sentinel, exitcode, pid = 0, -9, 1

        def is_alive(self) -> bool:
            return False

        def terminate(self) -> None:
            pass

        kill = terminate

    begin = processes._Pool.__enter__

    def enter(pool: processes._Pool) -> processes._Pool:
        pool.runs[Process()] = run, 0  # type: ignore[index]
        return begin(pool)

    def wait(pool: processes._Pool) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(os, "_exit", leave)
        monkeypatch.setattr(processes, "get_temp_dir", lambda: run.folder.path / "none")
        if ending == "an error":
            raise RuntimeError("of the sweep")
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(processes._Pool, "__enter__", enter)
    monkeypatch.setattr(processes._Pool, "wait", wait)
    with pytest.raises(RuntimeError if ending == "an error" else SystemExit):
        train_in_processes([run], Slots(1, 1), fail_fast=False)
    assert outcome(run) == "running"


def test_a_queue_says_nothing_of_a_job_that_began_later(run: RunConfig) -> None:
    """A waiting sweep has asked for the queue; then another command submits the run, and its job begins."""
    lock, before = run.folder.path / "claim.json", Owner.of(os.getppid()).model_copy(update={"host": "x", "job": "6"})
    lock.write_text(before.model_copy(update={"job": "8"}).model_dump_json())
    record_end(run, "failed", "x", killed=True, jobs={"7"}, owner=before)
    assert outcome(run) == "running"
    lock.write_text(before.model_dump_json())
    record_end(run, "failed", "x", killed=True, jobs={"7"}, owner=before)
    assert outcome(run) == "failed"
