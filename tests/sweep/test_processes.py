import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from observing import wait_until

from resnet_ablations.overrides import compose
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.owner import OWN_JOB, Owner
from resnet_ablations.results.provenance import SOURCE
from resnet_ablations.results.states import state_of
from resnet_ablations.sweep import processes, worker
from resnet_ablations.sweep.monitor import SweepMonitor
from resnet_ablations.sweep.processes import train_in_processes
from resnet_ablations.sweep.slots import Slots
from resnet_ablations.training import fork_server


def test_waiting_for_another_sweep_is_printed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = compose(["network.depth=8", "trainer=cpu", f"paths.results={tmp_path}"])
    run.folder.path.mkdir(parents=True)
    lock = run.folder.path / "claim.json"
    lock.write_text(Owner.of(os.getppid()).model_dump_json())
    waits = []

    def wait(pool: object) -> None:
        waits.append(1)
        if len(waits) == 2:
            lock.unlink()
            raise TimeoutError

    monkeypatch.setattr(processes._Pool, "wait", wait)
    with pytest.raises(TimeoutError):
        train_in_processes([run], Slots(1, 1), fail_fast=False)
    assert capsys.readouterr().out.count("another sweep trains it; waiting for it") == 1


def test_a_job_of_several_runs_does_not_wait_for_one_that_another_process_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job would occupy its node; the sweep that waits for the job looks after the run."""
    run = compose(["network.depth=8", "trainer=cpu", f"paths.results={tmp_path}"])
    run.folder.path.mkdir(parents=True)
    (run.folder.path / "claim.json").write_text(Owner.of(os.getppid()).model_dump_json())
    monkeypatch.setenv(OWN_JOB, "7")

    def start(pool: Any, run: object) -> bool:
        pool.runs["process"] = run, 0
        return True

    def wait(pool: Any) -> None:
        assert pool.runs, "it waits"

    monkeypatch.setattr(processes._Pool, "start", start)
    monkeypatch.setattr(processes._Pool, "wait", wait)
    monkeypatch.setattr(processes._Pool, "ended", lambda pool: [(pool.runs.pop("process")[0], worker.LOCKED)])
    train_in_processes([run], Slots(1, 1), fail_fast=False)
    assert "another process trains it; this job leaves it to that process" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["Ctrl-C", "an error"])
def test_whatever_ends_a_sweep_stops_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """Ctrl-C, or an error of the sweep.

    The reader of the output stands still until Ctrl-C has stopped the run, then ends, so that nothing can be printed.
    """
    run = compose(["network.depth=8", "trainer=cpu", "schedule.iterations=1000000", f"paths.results={tmp_path}"])

    def lost(*_: object) -> None:
        raise BrokenPipeError

    def update(progress: SweepMonitor) -> None:
        if run.folder.curve.exists() and run.folder.curve.read_text().count("\n") > 1:
            if ending == "an error":
                raise RuntimeError("of the sweep")
            os.kill(os.getpid(), signal.SIGINT)
            wait_until(lambda: state_of(run.folder).outcome == "interrupted", seconds=60)

    monkeypatch.setattr(SweepMonitor, "say", lost)
    monkeypatch.setattr(SweepMonitor, "update", update)
    try:
        with pytest.raises(BrokenPipeError if ending == "Ctrl-C" else RuntimeError):
            train_in_processes([run], Slots(1, 1), fail_fast=False)
        state = state_of(run.folder)
        assert (state.outcome, state.resumable_from) == ("interrupted", state.iteration)
    finally:
        if (owner := RunLock(run.folder.path).owner()) is not None:
            os.kill(owner.pid, signal.SIGKILL)


def test_no_other_process_removes_the_folder_of_the_fork_servers_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that inherits the folder in its environment would remove it at its end."""
    run = compose(["network.depth=8", "trainer=cpu", "schedule.iterations=1", f"paths.results={tmp_path}"])
    train_in_processes([run], Slots(1, 1), fail_fast=False)
    assert run.folder.result() is not None
    assert fork_server.SOCKETS not in os.environ


def test_each_run_gets_the_gpus_of_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes later gets the place that has become free."""
    pool = processes._Pool(Slots(4, 2, ("0,1", "2,3")), processes.SOURCE)
    told: list[tuple[int, str | None]] = []

    class Process:
        sentinel, exitcode, alive = 0, 0, True

        def __init__(self, target: object, args: tuple[Any, int, str | None, str]) -> None:
            told.append(args[1:3])

        def start(self) -> None:
            pass

        def is_alive(self) -> bool:
            return self.alive

    monkeypatch.setattr(pool._context, "Process", Process)
    run = compose(["network.depth=8", "trainer=cpu"])
    for _ in range(4):
        assert pool.has_room
        assert pool.start(run)
    assert told == [(2, "0,1"), (2, "2,3"), (2, "0,1"), (2, "2,3")]
    assert not pool.has_room
    list(pool.runs)[1].alive = False  # type: ignore[attr-defined]
    assert len(pool.ended()) == 1
    pool.start(run)
    assert told[4] == (2, "2,3")


@pytest.mark.parametrize(("gpus", "seen"), [("2,3", "2,3"), (None, "unset")])
def test_a_run_sees_only_its_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: str | None, seen: str) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    said = tmp_path / "said"
    monkeypatch.setattr(
        worker, "train_logged", lambda *_: said.write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "unset"))
    )
    run = compose(["network.depth=8", "trainer=cpu"])
    process = multiprocessing.get_context("fork").Process(target=worker.work, args=(run.as_dict(), 1, gpus, ""))
    process.start()
    process.join(60)
    assert (process.exitcode, said.read_text()) == (0, seen)


@pytest.mark.parametrize(
    ("planned", "told"), [(SOURCE, ""), ("0" * 64, "the code has changed since this run was planned")]
)
def test_a_run_of_other_code_than_was_planned_says_so_in_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planned: str, told: str
) -> None:
    monkeypatch.setattr("resnet_ablations.training.run.train_run", lambda *_: None)
    run = compose(["network.depth=8", "trainer=cpu", f"paths.results={tmp_path}"])

    def work() -> None:
        sys.stdout = sys.__stdout__  # as in a process of a sweep; pytest's writes to another file descriptor
        worker.work(run.as_dict(), 1, None, planned)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert run.folder.log.read_text().partition(" (")[0] == told
