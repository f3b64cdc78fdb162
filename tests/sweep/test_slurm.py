import os
import signal
import subprocess
from pathlib import Path

import pytest

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.results.locks import Owner
from resnet_ablations.results.run_folder import Status
from resnet_ablations.results.states import State
from resnet_ablations.sweep import slurm
from resnet_ablations.sweep.monitor import SweepMonitor
from resnet_ablations.sweep.run_sweep import Submitted
from resnet_ablations.sweep.slurm import SlurmRun, submit, train_on_slurm


@pytest.fixture
def run(tmp_path: Path) -> RunConfig:
    made = compose(["network.depth=8", "trainer=cpu", f"paths.results={tmp_path}"])
    made.folder.path.mkdir(parents=True)
    return made


def test_a_stop_does_not_wait_for_jobs_that_another_command_submitted(
    run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.folder.set_status(Status(outcome="queued", iteration=0, iterations=9, job="7_0"))
    asked = []

    def queue() -> dict[str, str]:
        asked.append(1)
        assert len(asked) < 9, "it waits on"
        if len(asked) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return {"7_0": "PENDING (JobHeldAdmin)"}

    monkeypatch.setattr(slurm, "POLL_SECONDS", 0)
    monkeypatch.setattr(slurm, "jobs_in_queue", queue)
    with pytest.raises(SystemExit) as end:
        train_on_slurm([run], {}, wait=True, fail_fast=False, folder=tmp_path / "slurm")
    assert end.value.code == 130


def test_a_stop_cancels_the_jobs_that_it_submitted_and_waits_until_they_have_gone(
    run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job left the queue before its run could write how it ended."""
    queue = {"7_0": "PENDING (Resources)"}
    commands: list[tuple[str, ...]] = []

    def submitted(*_: object) -> str:
        run.folder.set_status(Status(outcome="queued", iteration=0, iterations=9, job="7_0"))
        return "7"

    def in_queue() -> dict[str, str]:
        if run.folder.status() is not None and not commands:
            os.kill(os.getpid(), signal.SIGINT)
        return dict(queue)

    def asked(*command: str) -> str:
        commands.append(command)
        queue.clear()
        return ""

    def stopping(monitor: SweepMonitor, reason: str) -> None:
        assert commands, "printing comes after scancel, since it may fail"

    monkeypatch.setattr(SweepMonitor, "stopping", stopping)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0)
    monkeypatch.setattr(slurm, "submit", submitted)
    monkeypatch.setattr(slurm, "jobs_in_queue", in_queue)
    monkeypatch.setattr(slurm, "slurm", asked)
    with pytest.raises(SystemExit) as end:
        train_on_slurm([run], {}, wait=True, fail_fast=False, folder=tmp_path / "slurm")
    assert end.value.code == 130
    assert commands == [("scancel", "7")]
    status = run.folder.status()
    assert status is not None
    assert status.outcome == "interrupted"
    assert "left the queue before the run began" in status.reason


def test_a_job_without_data_on_its_node_fails(run: RunConfig) -> None:
    job = SlurmRun(run, threads=1)
    job.frozen["data"] = job.frozen["data"] | {"held_out": -1}
    with pytest.raises(UserError):
        job()
    status = run.folder.status()
    assert status is not None
    assert status.outcome == "failed"
    assert "data.held_out=-1" in status.reason


def test_a_job_that_cannot_be_released_is_named(
    run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, does in (("sbatch", "echo Submitted batch job 7"), ("srun", "true")):
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def refused(*command: str) -> str:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(slurm, "slurm", refused)
    with pytest.raises(UserError, match="scontrol release 7"):
        submit([run], {}, tmp_path / "slurm", {})


def test_a_run_that_has_ended_meanwhile_is_not_submitted(
    run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between the plan and the submission another command's job may have finished it."""
    monkeypatch.setattr(slurm, "jobs_in_queue", dict)
    monkeypatch.setattr(slurm, "state_of", lambda folder, queue: State("finished", 9, 9))
    train_on_slurm([run], {}, wait=True, fail_fast=False, folder=tmp_path / "slurm")
    assert "nothing to submit" in capsys.readouterr().out


def test_a_locked_run_is_not_submitted(run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder does not say yet that it is running."""
    (run.folder.path / "claim.json").write_text(Owner.of(os.getppid()).model_dump_json())
    monkeypatch.setattr(slurm, "jobs_in_queue", dict)
    with pytest.raises(Submitted, match="nothing to submit; running or queued already: 1"):
        train_on_slurm([run], {}, wait=False, fail_fast=False, folder=tmp_path / "slurm")
