"""The SLURM launcher, with commands of SLURM that tests write; tests/slurm has a real SLURM."""

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.results.locks import OWN_JOB, Owner
from resnet_ablations.results.run_folder import Status
from resnet_ablations.results.states import State
from resnet_ablations.sweep import slurm, slurm_wait
from resnet_ablations.sweep.monitor import SweepMonitor
from resnet_ablations.sweep.run_sweep import Submitted
from resnet_ablations.sweep.slurm import SlurmRun, train_on_slurm
from resnet_ablations.sweep.squeue import jobs_in_queue
from resnet_ablations.sweep.submission import checked_settings

PARAMETERS = {"cpus_per_task": None, "array_parallelism": 2, "time": 5}
INTERRUPTED = Status(outcome="interrupted", iteration=4, iterations=9)
QUEUED = Status(outcome="queued", iteration=0, iterations=9, job="7_0")

PROGRAMS = {
    "squeue": "",
    "sbatch": "cp $2 $0.script$(ls $0.script* | wc -l)\nls $0.script* | wc -l",
    "scontrol": "test $1 = release || echo 'MaxArraySize = 2'",
    "scancel": "",
}
"""Stand-ins for the commands of SLURM: `sbatch` numbers the jobs from 1 on and keeps their scripts."""


class Cluster:
    """A SLURM whose commands write to files what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name, does in PROGRAMS.items():
            self.does(name, does)

    def does(self, name: str, what: str) -> None:
        """Let a command do something else."""
        (self.folder / name).write_text(
            f'#!/bin/sh\necho "$(basename $0) $*" >> {self.folder}/asked\nenv > {self.folder}/environment\n{what}\n'
        )
        (self.folder / name).chmod(0o755)

    @property
    def asked(self) -> list[str]:
        """The command lines so far, without those that only ask."""
        lines = (self.folder / "asked").read_text().splitlines()
        return [line for line in lines if not line.startswith(("squeue", "sbatch", "scontrol show"))]

    @property
    def scripts(self) -> list[str]:
        return [path.read_text() for path in sorted(self.folder.glob("sbatch.script*"))]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.folder}{os.pathsep}{os.environ['PATH']}")
    return made


@pytest.fixture
def runs(tmp_path: Path) -> list[RunConfig]:
    """Return five runs, the first of which was interrupted."""
    made = compose(["network.depth=8", "trainer=cpu", f"paths.results={tmp_path}/results"])
    configs = [made.with_seed(str(seed)) for seed in range(5)]
    for config in configs:
        config.folder.path.mkdir(parents=True)
    configs[0].folder.set_status(INTERRUPTED)
    return configs


@pytest.fixture
def run(runs: list[RunConfig]) -> RunConfig:
    return runs[0]


def submitted(runs: Sequence[RunConfig], **parameters: Any) -> str:
    """Submit the runs; return what a person is told."""
    folder = Path(runs[0].paths.results) / "slurm"
    with pytest.raises(Submitted) as told:
        train_on_slurm(runs, PARAMETERS | parameters, wait=False, fail_fast=False, folder=folder)
    return str(told.value)


def assert_forgotten(runs: Sequence[RunConfig]) -> None:
    """Assert that nothing is left of a submission."""
    first, *others = (run.folder.status() for run in runs)
    assert first is not None
    assert first.model_dump(exclude={"updated"}) == INTERRUPTED.model_dump(exclude={"updated"})
    assert others == [None] * len(others)
    assert list((Path(runs[0].paths.results) / "slurm").iterdir()) == []


def test_commands_of_slurm_do_not_see_the_settings_of_a_shell(
    cluster: Cluster, runs: list[RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user is asked for by number, since LOGNAME may be another's, and not every user has a name."""
    settings = ("SLURM_JOB_ID", "SLURM_CPU_BIND", "SQUEUE_STATES", "SBATCH_PARTITION", "SCANCEL_STATE", "SACCT_FORMAT")
    for name in settings:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SLURM_CONF", "kept")
    monkeypatch.setenv("LOGNAME", "nobody")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    submitted(runs)
    assert "SBATCH_PARTITION: not used" in capsys.readouterr().out
    seen = {line.partition("=")[0] for line in (cluster.folder / "environment").read_text().splitlines()}
    assert "SLURM_CONF" in seen
    assert not seen.intersection(settings)
    assert jobs_in_queue() == {}
    assert "--user=4000000" in (cluster.folder / "asked").read_text().splitlines()[-1]


def test_more_runs_than_an_array_takes_are_several_arrays(
    cluster: Cluster, runs: list[RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    """All together they run as many jobs at once as the launcher's setting says."""
    told = submitted(runs, array_parallelism=2)
    assert told.startswith("submitted as SLURM jobs 1, 2, 3: 5; ")
    assert capsys.readouterr().out == "this cluster takes at most 2 runs in a job array: 3 arrays\n"
    assert [(status := run.folder.status()) and status.job for run in runs] == ["1_0", "1_1", "2_0", "2_1", "3"]
    options = [re.findall("^#SBATCH --(array|dependency)=(.*)", script, re.MULTILINE) for script in cluster.scripts]
    assert options == [[("array", "0-1%1")], [("array", "0-1%1")], [("dependency", "afterany:1")]]
    assert cluster.asked == ["scontrol release 1,2,3"]


def test_rejected_jobs_are_cancelled_and_forgotten(cluster: Cluster, runs: list[RunConfig]) -> None:
    released = PROGRAMS["scontrol"]
    reason = "Requested node configuration is not available"
    cluster.does("scontrol", f"{released}\ntest $1 = show && exit\necho 'slurm_suspend error: {reason}' >&2; exit 1")
    with pytest.raises(
        UserError, match=f"^hydra/launcher=slurm: SLURM rejects the jobs: {reason}; nothing is submitted$"
    ):
        submitted(runs)
    assert cluster.asked == ["scontrol release 1,2,3", "scancel 1 2 3"]
    assert_forgotten(runs)
    cluster.does("scontrol", released)
    assert submitted(runs).startswith("submitted as SLURM jobs 4, 5, 6: 5; ")


def test_a_job_that_slurm_took_though_sbatch_failed_is_cancelled(cluster: Cluster, runs: list[RunConfig]) -> None:
    """A busy SLURM may take a job too late for its answer; `squeue` shows its script."""
    cluster.does("sbatch", f"echo 9 $2 > {cluster.folder}/queue; echo sbatch: error: Socket timed out >&2; exit 1")
    cluster.does("squeue", f"echo 8 other.sh; cat {cluster.folder}/queue 2> /dev/null || true")
    with pytest.raises(UserError, match="rejects the jobs: Socket timed out; nothing is submitted"):
        submitted(runs)
    assert cluster.asked == ["scancel 9"]
    assert_forgotten(runs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_before_the_release_cancels_the_jobs(
    cluster: Cluster, runs: list[RunConfig], number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.does("sbatch", f"kill -{int(number)} $PPID; {PROGRAMS['sbatch']}")
    with pytest.raises(SystemExit) as end:
        train_on_slurm(runs, PARAMETERS, wait=True, fail_fast=False, folder=Path(runs[0].paths.results) / "slurm")
    assert end.value.code == 128 + number
    assert cluster.asked == ["scancel 1 2 3"]
    assert "stopped before the jobs began; nothing is submitted" in capsys.readouterr().out
    assert_forgotten(runs)


def test_a_lost_terminal_does_not_stop_a_command_under_nohup(cluster: Cluster, runs: list[RunConfig]) -> None:
    cluster.does("sbatch", f"kill -HUP $PPID; {PROGRAMS['sbatch']}")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert submitted(runs).startswith("submitted as SLURM jobs 1, 2, 3: 5; ")
    finally:
        signal.signal(signal.SIGHUP, before)


def test_jobs_that_cannot_be_cancelled_are_named(cluster: Cluster, runs: list[RunConfig]) -> None:
    """Their runs stay queued, so that the same command does not submit them twice."""
    cluster.does("scontrol", f"{PROGRAMS['scontrol']}\ntest $1 = show")
    cluster.does("scancel", "exit 1")
    with pytest.raises(UserError, match=r"jobs may still be held, .*\(scancel .*\); later run: scancel 1 2 3"):
        submitted(runs)
    assert all((status := run.folder.status()) and status.outcome == "queued" for run in runs)


def test_a_slurm_that_ends_while_it_is_asked(cluster: Cluster, runs: list[RunConfig]) -> None:
    """Before anything is submitted, nothing is to be cancelled; after `sbatch` nobody knows."""
    cluster.does("scontrol", "exit 1")
    with pytest.raises(UserError, match="rejects the jobs: scontrol ends with exit code 1; nothing is submitted"):
        submitted(runs)
    cluster.does("scontrol", PROGRAMS["scontrol"])
    cluster.does("sbatch", f"echo exit 1 >> {cluster.folder}/squeue; exit 1")
    with pytest.raises(UserError, match="later run: scancel JOB, if squeue --me lists one that is held"):
        submitted(runs)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"array_parallelism": 0}, "array_parallelism=0: must be a whole number from 1 on"),
        ({"setup": "module load cuda"}, "setup=module load cuda: must be a list"),
        ({"setup": [1]}, "must be a list of lines"),
        ({"additional_parameters": "x"}, "additional_parameters=x: must be a mapping"),
        ({"additional_parameters": {"test_only": True}}, "test-only: remove"),
    ],
)
def test_settings_that_slurm_would_not_understand(run: RunConfig, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        checked_settings([run], PARAMETERS | parameters, Path("slurm"))


def test_a_results_folder_whose_name_slurm_would_change(run: RunConfig) -> None:
    with pytest.raises(UserError, match=r"^hydra/launcher=slurm: paths.results=a%j: % and"):
        checked_settings([run], PARAMETERS, Path("a%j/slurm"))


def test_a_stop_does_not_wait_for_jobs_that_another_command_submitted(
    run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.folder.set_status(QUEUED)
    asked = []

    def queue() -> dict[str, str]:
        asked.append(1)
        assert len(asked) < 9, "it waits on"
        if len(asked) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return {"7_0": "PENDING (JobHeldAdmin)"}

    monkeypatch.setattr(slurm_wait, "POLL_SECONDS", 0)
    for module in (slurm, slurm_wait):
        monkeypatch.setattr(module, "jobs_in_queue", queue)
    with pytest.raises(SystemExit) as end:
        train_on_slurm([run], PARAMETERS, wait=True, fail_fast=False, folder=Path(run.paths.results) / "slurm")
    assert end.value.code == 130


def test_a_stop_cancels_the_jobs_that_it_submitted_and_waits_until_they_have_gone(
    cluster: Cluster, run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes just after the release; the job left the queue before its run could write how it ended."""
    said = []

    def stopping(monitor: SweepMonitor, reason: str) -> None:
        said.append(cluster.asked[-1])

    monkeypatch.setattr(slurm_wait, "POLL_SECONDS", 0)
    monkeypatch.setattr(SweepMonitor, "stopping", stopping)
    gone = cluster.folder / "gone"
    cluster.does("scontrol", f"{PROGRAMS['scontrol']}\ntest $1 = show || kill -INT $PPID")
    cluster.does("squeue", f"test -e {gone} || echo '1 PENDING (Resources)'")
    cluster.does("scancel", f"test -e {gone}.soon && touch {gone} || {{ touch {gone}.soon; exit 1; }}")
    with pytest.raises(SystemExit) as end:
        train_on_slurm([run], PARAMETERS, wait=True, fail_fast=False, folder=Path(run.paths.results) / "slurm")
    assert end.value.code == 130
    assert cluster.asked == ["scontrol release 1", "scancel 1", "scancel 1"], "SLURM was busy at first"
    assert said == ["scancel 1"], "printing comes after scancel, since it may fail"
    status = run.folder.status()
    assert status is not None
    assert status.outcome == "interrupted"
    assert "left the queue before the run began" in status.reason


def test_a_job_without_data_on_its_node_fails(run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv(OWN_JOB, "")  # and removed afterwards
    job = SlurmRun(run, threads=1)
    job.frozen["data"] = job.frozen["data"] | {"held_out": -1}
    with pytest.raises(UserError):
        job()
    status = run.folder.status()
    assert status is not None
    assert (status.outcome, status.job) == ("failed", "12")
    assert "data.held_out=-1" in status.reason


def test_a_run_that_has_ended_meanwhile_is_not_submitted(
    cluster: Cluster, run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the plan and the submission another command's job may have finished it."""
    monkeypatch.setattr(slurm, "state_of", lambda folder, queue: State("finished", 9, 9))
    assert submitted([run]).startswith("nothing to submit")


def test_a_locked_run_is_not_submitted(cluster: Cluster, run: RunConfig) -> None:
    """Its folder does not say yet that it is running."""
    (run.folder.path / "claim.json").write_text(Owner.of(os.getppid()).model_dump_json())
    assert submitted([run]).startswith("nothing to submit; running or queued already: 1")
