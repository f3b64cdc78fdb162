"""The SLURM launcher, with commands of SLURM that tests write; tests/slurm has a real SLURM."""

import errno
import io
import os
import pickle
import pickletools
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.results import locks
from resnet_ablations.results.locks import results_lock
from resnet_ablations.results.owner import OWN_JOB, Owner
from resnet_ablations.results.run_folder import Status
from resnet_ablations.results.states import State
from resnet_ablations.sweep import slurm, slurm_wait
from resnet_ablations.sweep.monitor import SweepMonitor
from resnet_ablations.sweep.run_sweep import Submitted
from resnet_ablations.sweep.slots import Slots
from resnet_ablations.sweep.slurm import SlurmRun, SlurmRuns, train_on_slurm
from resnet_ablations.sweep.slurm_settings import array_size, checked_settings, most_jobs, runs_per_job
from resnet_ablations.sweep.squeue import jobs_in_queue, states_of
from resnet_ablations.sweep.submission import Submission

PARAMETERS = {"cpus_per_task": None, "array_parallelism": 2, "time": 5}
INTERRUPTED = Status(outcome="interrupted", iteration=4, iterations=9)
QUEUED = Status(outcome="queued", iteration=0, iterations=9, job="7_0")

PROGRAMS = {
    "squeue": "",
    "sbatch": "cp $2 $0.script$(ls $0.script* | wc -l)\nls $0.script* | wc -l",
    "scontrol": "test $1 = release || echo 'MaxArraySize = 2'",
    "scancel": "",
    "sacctmgr": "exit 1",
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
        return [line for line in lines if not line.startswith(("squeue", "sbatch", "scontrol show", "sacctmgr"))]

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
    with redirect_stdout(io.StringIO()) as told, pytest.raises(Submitted):
        train_on_slurm(runs, PARAMETERS | parameters, wait=False, fail_fast=False)
    return told.getvalue()


def waited_for(runs: Sequence[RunConfig], **parameters: Any) -> object:
    """Submit the runs and wait for them; return the exit code."""
    with pytest.raises(SystemExit) as end:
        train_on_slurm(runs, PARAMETERS | parameters, wait=True, fail_fast=False)
    return end.value.code


def assert_forgotten(runs: Sequence[RunConfig]) -> None:
    """Assert that nothing is left of a submission."""
    first, *others = (run.folder.status() for run in runs)
    assert first is not None
    assert first == INTERRUPTED
    assert others == [None] * len(others)
    assert list((Path(runs[0].paths.results) / "slurm").iterdir()) == []


def test_commands_of_slurm_do_not_see_the_settings_of_a_shell(
    cluster: Cluster, runs: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user is asked for by number, since LOGNAME may be another's, and not every user has a name.

    The GPUs of the shell are not those of the jobs.
    """
    settings = ("SLURM_JOB_ID", "SLURM_CPU_BIND", "SQUEUE_STATES", "SBATCH_PARTITION", "SCANCEL_STATE", "SACCT_FORMAT")
    settings += ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
    for name in settings:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SLURM_CONF", "kept")
    monkeypatch.setenv("LOGNAME", "nobody")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert "SBATCH_PARTITION: not used" in submitted(runs)
    seen = {line.partition("=")[0] for line in (cluster.folder / "environment").read_text().splitlines()}
    assert "SLURM_CONF" in seen
    assert not seen.intersection(settings)
    assert jobs_in_queue() == {}
    assert "--user=4000000" in (cluster.folder / "asked").read_text().splitlines()[-1]


def test_more_runs_than_an_array_takes_are_several_arrays(cluster: Cluster, runs: list[RunConfig]) -> None:
    """All together they run as many jobs at once as the launcher's setting says."""
    told = submitted(runs, array_parallelism=2)
    first, second = told.splitlines()
    assert first == "this cluster takes at most 2 jobs in a job array: 3 arrays"
    assert second.startswith("submitted as SLURM jobs 1, 2, 3: 5; ")
    assert [(status := run.folder.status()) and status.job for run in runs] == ["1_0", "1_1", "2_0", "2_1", "3"]
    options = [re.findall("^#SBATCH --(array|dependency)=(.*)", script, re.MULTILINE) for script in cluster.scripts]
    assert options == [[("array", "0-1%1")], [("array", "0-1%1")], [("dependency", "afterany:1")]]
    assert cluster.asked == ["scontrol release 1,2,3"]


def test_rejected_jobs_are_cancelled_and_forgotten(cluster: Cluster, runs: list[RunConfig]) -> None:
    released = PROGRAMS["scontrol"]
    reason = "Requested node configuration is not available"
    cluster.does("scontrol", f"{released}\ntest $1 = show && exit\necho 'slurm_suspend error: {reason}' >&2; exit 1")
    with pytest.raises(
        UserError, match=f"^hydra/launcher=slurm: SLURM rejects the jobs: {reason}; nothing is submitted; compare hydra"
    ):
        submitted(runs)
    assert cluster.asked == ["scontrol release 1,2,3", "scancel 1 2 3"]
    assert_forgotten(runs)
    cluster.does("scontrol", released)
    assert "submitted as SLURM jobs 4, 5, 6: 5; " in submitted(runs)


def test_a_job_that_slurm_took_though_sbatch_failed_is_cancelled(cluster: Cluster, runs: list[RunConfig]) -> None:
    """A busy SLURM may take a job too late for its answer; `squeue` shows its script."""
    late = f"echo 9'|'JobHeldUser'|'$2 > {cluster.folder}/queue"
    cluster.does("sbatch", f"{late}; echo sbatch: error: Socket timed out >&2; exit 1")
    cluster.does("squeue", f"echo '8|None|other.sh'; cat {cluster.folder}/queue 2> /dev/null || true")
    with pytest.raises(UserError, match="rejects the jobs: Socket timed out; nothing is submitted"):
        submitted(runs)
    assert cluster.asked == ["scancel 9"]
    assert_forgotten(runs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_before_the_release_cancels_the_jobs(
    cluster: Cluster, runs: list[RunConfig], number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.does("sbatch", f"kill -{int(number)} $PPID; {PROGRAMS['sbatch']}")
    assert waited_for(runs) == 128 + number
    assert cluster.asked == ["scancel 1"], "the other arrays are not submitted any more"
    assert "stopped before the jobs began; nothing is submitted" in capsys.readouterr().out
    assert_forgotten(runs)


def test_a_lost_terminal_does_not_stop_a_command_under_nohup(cluster: Cluster, runs: list[RunConfig]) -> None:
    cluster.does("sbatch", f"kill -HUP $PPID; {PROGRAMS['sbatch']}")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert "submitted as SLURM jobs 1, 2, 3: 5; " in submitted(runs)
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
    with pytest.raises(UserError, match="slurm: scontrol ends with exit code 1; nothing is submitted"):
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
        ({"additional_parameters": {"test_only": True, "dependency": "singleton"}}, "dependency, test-only: remove"),
        ({"additional_parameters": {"signal": "USR1@60"}}, "signal: remove"),
        ({"python": ["python"]}, r"python=.*: must be a shell command"),
        ({"use_srun": "no"}, "use_srun=no: must be true or false"),
        (
            {"runs_per_device": 4, "additional_parameters": {"gpus_per_task": 2, "tres-per-task": "x", "comment": "x"}},
            "comment.*: gpus-per-task, tres-per-task: with runs_per_device, ask for GPUs by hydra.launcher",
        ),
    ],
)
def test_settings_that_slurm_would_not_understand(run: RunConfig, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        checked_settings([run], PARAMETERS | parameters)


def test_a_results_folder_whose_name_slurm_would_change(config: Callable[..., RunConfig]) -> None:
    with pytest.raises(UserError, match=r"^hydra/launcher=slurm: paths.results=/a%j: % and"):
        checked_settings([config("paths.results=/a%j")], PARAMETERS)


def test_a_stop_does_not_wait_for_jobs_that_another_command_submitted(
    run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.folder.set_status(QUEUED)
    asked = []

    def queue() -> dict[str, str]:
        asked.append(1)
        assert len(asked) < 9, "it waits on"
        if len(asked) == 3:  # the first two were before and in the submission
            os.kill(os.getpid(), signal.SIGINT)
        return {"7_0": "PENDING (JobHeldAdmin)"}

    monkeypatch.setattr(slurm_wait, "POLL_SECONDS", 0)
    for name in ("cluster_settings", "cancel_abandoned"):
        monkeypatch.setattr(slurm, name, lambda *_: {})
    for module in (slurm, slurm_wait):
        monkeypatch.setattr(module, "jobs_in_queue", queue)
    assert waited_for([run]) == 130


@pytest.mark.parametrize(
    ("reason", "ever"),
    [
        *((name, False) for name in ("PartitionTimeLimit", "QOSMaxWallDurationPerJobLimit", "AssocMaxCpuPerJobLimit")),
        *((name, False) for name in ("job requeued in held state", "QOSMinGRES", "QOSMaxMemoryPerNode")),
        *((name, True) for name in ("Resources", "Priority", "JobArrayTaskLimit", "QOSMaxJobsPerUserLimit")),
    ],
)
def test_a_job_that_never_starts_is_told(run: RunConfig, reason: str, ever: bool) -> None:
    run.folder.set_status(QUEUED)
    waiting = slurm_wait._waiting([run], {QUEUED.job: f"PENDING ({reason})"})
    assert waiting.startswith(f"1 PENDING ({reason})")
    assert (f"; {reason}: this does not end by itself; " in waiting) == (not ever)
    assert "by itself" not in slurm_wait._waiting([run], {QUEUED.job: f"RUNNING ({reason})"})


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
    assert waited_for([run]) == 130
    assert cluster.asked == ["scontrol release 1", "scancel 1", "scancel 1"], "SLURM was busy at first"
    assert said == ["scancel 1"], "printing comes after scancel, since it may fail"
    status = run.folder.status()
    assert status is not None
    assert status.outcome == "interrupted"
    assert "left the queue before the run began" in status.reason


def test_a_job_without_data_on_its_node_fails(run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = Owner.of(os.getppid())
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
    run.folder.set_status(INTERRUPTED)
    (run.folder.path / "claim.json").write_text(parent.model_dump_json())
    with pytest.raises(UserError):
        job()
    assert '"interrupted"' in run.folder.status_file.read_text(), "another process trains it"
    (run.folder.path / "claim.json").unlink()
    monkeypatch.setattr(os, "open", unwritable)
    with pytest.raises(UserError, match=r"data\.held_out=-1"):
        job()


def unwritable(*_: object) -> int:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_a_job_survives_a_change_of_the_code_while_it_waits(runs: list[RunConfig]) -> None:
    """Its file holds plain values, and no object whose class may change."""
    for job in (SlurmRun(runs[0], threads=1), SlurmRuns(runs, threads=1)):
        opcodes = pickletools.genops(pickle.dumps(job, protocol=0))
        classes = {str(argument) for opcode, argument, _ in opcodes if opcode.name == "GLOBAL"}
        own = {name for name in classes if name.startswith("resnet_ablations")}
        assert own == {f"resnet_ablations.sweep.slurm {type(job).__name__}"}


def test_a_requeued_job_trains_those_of_its_runs_that_are_left(
    runs: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has failed, one is another job's by now, and one has no data on this node."""
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv(OWN_JOB, "")
    seen: list[tuple[list[str], Slots]] = []

    def train(runs: Sequence[RunConfig], slots: Slots, **_: object) -> None:
        seen.append(([run.key for run in runs], slots))
        raise SystemExit(128 + signal.SIGTERM)

    monkeypatch.setattr(slurm, "train_in_processes", train)
    statuses = [("running", "12"), ("failed", "12"), ("queued", "13"), ("interrupted", "12"), ("queued", "12")]
    for run, (outcome, job) in zip(runs, statuses, strict=True):
        run.folder.set_status(Status.model_validate({"outcome": outcome, "iteration": 1, "iterations": 9, "job": job}))
    job = SlurmRuns(runs, threads=3)
    job.runs[4][0]["data"] = job.runs[4][0]["data"] | {"held_out": -1}
    with pytest.raises(SystemExit):
        job()
    assert seen == [([runs[0].key, runs[3].key], Slots(5, 3))]
    outcomes = [(status := run.folder.status()) and status.outcome for run in runs]
    assert outcomes == ["running", "failed", "queued", "interrupted", "failed"]


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


def test_the_run_of_a_machine_that_crashed_is_submitted(
    cluster: Cluster, runs: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command waits until it knows; it waits for no run whose job is in the queue."""
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    crashed = Owner.this_process().model_copy(update={"boot": "another"})
    for run, job in zip(runs, ("", "", "7", "8"), strict=False):
        (run.folder.path / "claim.json").write_text(crashed.model_copy(update={"job": job}).model_dump_json())
        if job:
            run.folder.set_status(Status(outcome="running", iteration=1, iterations=9, job=job))
    cluster.does("squeue", "case \"$*\" in *%o*);; *) echo '7 RUNNING (None)';; esac")
    monkeypatch.setattr(locks, "DEAD_AFTER_SECONDS", 0.2)
    listed = f"ls {runs[0].folder.path.parent}/*/claim.json > {cluster.folder}/locks; "
    cluster.does("sbatch", listed + PROGRAMS["sbatch"])
    assert "2 arrays\nsubmitted as SLURM jobs 1, 2: 4; running or queued already: 1;" in submitted(runs)
    assert (cluster.folder / "locks").read_text() == f"{runs[2].folder.path}/claim.json\n"
    assert [(status := run.folder.status()) and status.job for run in runs] == ["1_0", "1_1", "7", "2_0", "2_1"]


@contextmanager
def stopped_reader() -> Iterator[str]:
    """Let stdout be a pipe that is full, so that printing stands still until its reader reads; yield the reader."""
    reader, writer = os.pipe()
    while select.select([], [writer], [], 0)[1]:
        os.write(writer, b" " * 4096)
    with os.fdopen(writer, "w") as full, redirect_stdout(full):
        yield f"/proc/{os.getpid()}/fd/{reader}"
        os.read(reader, 1 << 20)
    os.close(reader)


def test_a_stop_is_heard_between_release_and_wait_while_the_output_stands_still(
    cluster: Cluster, runs: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line that the jobs are submitted cannot be printed before `scancel` lets the reader read on."""
    monkeypatch.setattr(slurm_wait, "POLL_SECONDS", 0)
    soon = "(sleep 0.5; kill -INT $PPID) > /dev/null 2>&1 &"
    cluster.does("scontrol", f"{PROGRAMS['scontrol']}\ntest $1 = show || {soon}")
    with stopped_reader() as reader:
        cluster.does("scancel", f"dd if={reader} of=/dev/null bs=65536 count=1")
        assert waited_for(runs) == 130
    assert cluster.asked == ["scontrol release 1,2,3", "scancel 1 2 3"]


@pytest.mark.parametrize("wait", [True, False])
def test_a_stop_during_the_release_cancels_the_jobs(
    cluster: Cluster, runs: list[RunConfig], monkeypatch: pytest.MonkeyPatch, wait: bool
) -> None:
    monkeypatch.setattr(slurm_wait, "POLL_SECONDS", 0)
    cluster.does("scontrol", f"{PROGRAMS['scontrol']}\ntest $1 = show || kill -TERM $PPID")
    with pytest.raises(SystemExit) as end:
        train_on_slurm(runs, PARAMETERS, wait=wait, fail_fast=False)
    assert end.value.code == 143
    assert cluster.asked == ["scontrol release 1,2,3", "scancel 1 2 3"]


def test_a_second_signal_cancels_too(cluster: Cluster, run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while SLURM is still busy with the first one."""

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    begun = f"{cluster.folder}/begun"
    cluster.does("squeue", f"echo '1 PENDING (None)'; test ! -e {cluster.folder}/sbatch.script0 || kill -INT $PPID")
    cluster.does("scancel", f"test -e {begun} && exit; touch {begun}; kill -INT $PPID; sleep 1; exit 1")
    assert waited_for([run]) == 130
    assert cluster.asked == ["scontrol release 1", "scancel 1", "scancel 1"]


@pytest.mark.parametrize("signals", [["HUP"], ["HUP", "TERM"]])
def test_a_lost_terminal_leaves_released_jobs(
    cluster: Cluster, run: RunConfig, monkeypatch: pytest.MonkeyPatch, signals: list[str]
) -> None:
    """A machine that ends a lost session may send SIGTERM after SIGHUP."""
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(slurm_wait, "POLL_SECONDS", 0)
    kills = "; ".join(f"kill -{name} $PPID" for name in signals)
    cluster.does("squeue", f"echo '1 PENDING (None)'; test ! -e {cluster.folder}/sbatch.script0 || {{ {kills}; }}")
    assert waited_for([run]) == 129
    assert cluster.asked == ["scontrol release 1"]


@pytest.mark.parametrize("during", ["squeue", "scontrol", "sacctmgr", "the wait for another command"])
def test_a_stop_before_the_first_sbatch_is_heard_at_once(
    cluster: Cluster, runs: list[RunConfig], capsys: pytest.CaptureFixture[str], during: str
) -> None:
    with ExitStack() as stack:
        if during in PROGRAMS:
            cluster.does(during, "kill -INT $PPID; exec sleep 20")
        else:
            stack.enter_context(results_lock(Path(runs[0].paths.results)))
            stop = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
            stop.start()
            stack.callback(stop.cancel)
        began = time.monotonic()
        assert waited_for(runs) == 130
        assert time.monotonic() - began < 15
    assert "stopped before the jobs began; nothing is submitted\n" in capsys.readouterr().out
    assert cluster.scripts == []
    assert runs[1].folder.status() is None


def test_a_message_to_a_closed_stderr_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    monkeypatch.setattr(sys, "__stderr__", closed)
    slurm._try_to_say("SLURM does not cancel the jobs")


def test_held_jobs_of_a_command_that_was_killed_are_cancelled_and_submitted_again(
    cluster: Cluster, runs: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that are not held were released just before the command was killed."""
    cluster.does("scontrol", f"{PROGRAMS['scontrol']}\ntest $1 = show")
    with monkeypatch.context() as killed:
        killed.setattr(Submission, "_discard", lambda submission: None)
        with pytest.raises(UserError):
            submitted(runs)
    cluster.does("scontrol", PROGRAMS["scontrol"])
    scripts = sorted((Path(runs[0].paths.results) / "slurm").glob("submit-*.sh"))
    assert len(scripts) == 3
    jobs = [f"{number}|JobHeldUser|{script}" for number, script in enumerate([*scripts[:2], "another"], 1)]
    jobs.append(f"3|Resources|{scripts[2]}")
    gone = f"grep -q '^scancel 1 2' {cluster.folder}/asked"
    lines = "\n".join(f"echo '{job}'" for job in jobs)
    cluster.does("squeue", f'case "$*" in *%o*)\n{lines};; *) {gone} || echo 1_0; echo 3 PENDING;; esac')
    told = submitted(runs)
    assert "cancelled, since the command that submitted them was killed: 1, 2\n" in told
    assert "submitted as SLURM jobs 4, 5: 4; running or queued already: 1;" in told
    assert list((Path(runs[0].paths.results) / "slurm").glob("submit-*.sh")) == []


def test_a_job_that_slurm_accepts_after_the_command_has_given_up_is_cancelled_by_the_next(
    cluster: Cluster, runs: list[RunConfig]
) -> None:
    cluster.does("sbatch", "echo sbatch: error: Socket timed out >&2; exit 1")
    with pytest.raises(UserError, match="nothing is submitted; if SLURM accepts the job later, it is held, and the"):
        submitted(runs)
    (script,) = (Path(runs[0].paths.results) / "slurm").iterdir()
    cluster.does("sbatch", PROGRAMS["sbatch"])
    assert "submitted as SLURM jobs 1, 2, 3: 5;" in submitted(runs), "SLURM has not accepted the job yet"
    cluster.does("squeue", f"case \"$*\" in *%o*) echo '9|JobHeldUser|{script}';; esac")
    assert "cancelled, since the command that submitted them was killed: 9\n" in submitted(runs)
    assert cluster.asked == ["scontrol release 1,2,3", "scancel 9", "scontrol release 4,5,6"]
    assert not script.exists()


def test_a_script_whose_job_slurm_never_accepts_does_not_stay(cluster: Cluster, runs: list[RunConfig]) -> None:
    script = Path(runs[0].paths.results) / "slurm" / "submit-1-0.sh"
    script.parent.mkdir()
    script.touch()
    os.utime(script, (0, 0))
    submitted(runs)
    assert not script.exists()


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"MaxArraySize": "1001"}, 1001),
        ({"MaxArraySize": "1001", "SchedulerParameters": "bf_interval=1,max_array_tasks=100"}, 100),
        ({"MaxArraySize": "0"}, 1),
    ],
)
def test_the_limit_of_an_array(settings: dict[str, str], size: int) -> None:
    assert array_size(settings) == size


def test_a_cluster_that_does_not_tell_its_limit() -> None:
    with pytest.raises(UserError, match="does not tell MaxArraySize"):
        array_size({})


def test_a_cluster_without_arrays(cluster: Cluster, runs: list[RunConfig]) -> None:
    cluster.does("scontrol", "test $1 = release || echo 'MaxArraySize = 0'")
    assert submitted(runs[:2]).startswith("this cluster takes no job arrays: 2 arrays\n")


def test_a_results_folder_belongs_to_one_cluster(cluster: Cluster, runs: list[RunConfig]) -> None:
    """Another cluster's jobs have the same numbers: its queue says nothing about these runs."""
    cluster.does("scontrol", f"{PROGRAMS['scontrol']}; test $1 = release || echo 'ClusterName = one'")
    submitted(runs)
    cluster.does("scontrol", f"{PROGRAMS['scontrol']}; test $1 = release || echo 'ClusterName = two'")
    with pytest.raises(UserError, match="its jobs are on the cluster one, and this machine's is two"):
        submitted(runs)
    assert {state.outcome for state in states_of([run.folder for run in runs]).values()} == {"queued"}


ACCOUNTING = """
case "$*" in
*association*) echo 'a||9|normal'; echo 'a|gpu|4|normal'; echo 'b||2|normal';;
*defaultaccount*) echo b;;
*) echo 'normal|7'; echo 'high|3';;
esac
"""


@pytest.mark.parametrize(
    ("parameters", "most"),
    [({"account": "a"}, 7), ({"account": "a", "partition": "gpu"}, 4), ({"account": "a", "qos": "high"}, 3), ({}, 2)],
)
def test_the_number_of_jobs_that_a_user_may_have(cluster: Cluster, parameters: dict[str, str], most: int) -> None:
    assert most_jobs(parameters) is None, "without accounting, nobody knows"
    cluster.does("sacctmgr", ACCOUNTING)
    assert most_jobs(parameters) == most


def test_a_sweep_larger_than_a_user_may_submit_is_submitted_in_parts(cluster: Cluster, runs: list[RunConfig]) -> None:
    cluster.does("sacctmgr", ACCOUNTING)
    cluster.does("squeue", "case \"$*\" in *%o*);; *) echo '99 RUNNING (None)';; esac")
    first, *_, last = submitted(runs, account="a", partition="gpu").splitlines()
    assert first == "you may have 4 jobs in the queue (MaxSubmitJobs), and 1 are there: 3 now"
    assert last.startswith("submitted as SLURM jobs 1, 2: 3; left for the same command: 2;")
    cluster.does("squeue", 'case "$*" in *%o*);; *) for job in 1_0 1_1 2 99; do echo $job RUNNING; done;; esac')
    with pytest.raises(UserError, match="and 4 are there: 0 now; run the command again when some have ended"):
        submitted(runs, account="a", partition="gpu")


def test_a_sweep_does_not_wait_for_room_that_cannot_come(cluster: Cluster, runs: list[RunConfig]) -> None:
    cluster.does("sacctmgr", "case \"$*\" in *association*) echo 'a||0|normal';; esac")
    parameters = PARAMETERS | {"account": "a"}
    with pytest.raises(UserError, match="you may have 0 jobs in the queue"):
        train_on_slurm(runs, parameters, wait=True, fail_fast=False)


def test_the_parts_of_a_large_sweep_follow_when_the_queue_has_room(
    cluster: Cluster, runs: list[RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other jobs fill the queue at first. The jobs of the first part stay in it for some time after their results."""
    monkeypatch.setattr(slurm_wait, "POLL_SECONDS", 0)
    cluster.does("sacctmgr", ACCOUNTING)
    polls = f"{cluster.folder}/polls"
    queue = f"""
case "$*" in *%o*) exit;; esac
echo >> {polls}; poll=$(wc -l < {polls})
test $poll != 3 || exit 1
test $poll -gt 4 || printf '9%s RUNNING (None)\\n' 1 2 3 4
test $poll -gt 10 -o ! -e {cluster.folder}/sbatch.script0 || echo '2 COMPLETING (None)'
"""
    cluster.does("squeue", queue)
    parameters = PARAMETERS | {"account": "a", "partition": "gpu"}
    train_on_slurm(runs, parameters, wait=True, fail_fast=False)
    assert cluster.asked == ["scontrol release 1,2", "scontrol release 3"]
    said = capsys.readouterr().out
    assert "and 4 are there: 0 now\nnothing is submitted yet; later: 5\nSLURM: squeue does not answer; " in said
    assert said.count("squeue does not answer") == 1
    assert "submitted as SLURM jobs 1, 2: 4; later: 1\n" in said
    assert "submitted as SLURM job 3: 1\n" in said


def test_a_part_that_slurm_rejects_after_others_were_trained_ends_with_a_summary(
    cluster: Cluster, runs: list[RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`SystemExit` lets the sweep print its summary; a `UserError` at the start is the whole message.

    Before it submits the part, the command waits for a squeue that does not answer once.
    """
    monkeypatch.setattr(slurm_wait, "POLL_SECONDS", 0)
    cluster.does("sacctmgr", ACCOUNTING)
    cluster.does("squeue", "exit 0")
    once = f"test -e {cluster.folder}/once || {{ touch {cluster.folder}/once; exit 1; }}"
    monkeypatch.setattr(slurm, "wait_for_room", lambda *_: cluster.does("squeue", once))
    cluster.does("sbatch", f"test ! -e {cluster.folder}/sbatch.script1 || exit 1\n{PROGRAMS['sbatch']}")
    assert waited_for(runs, account="a", partition="gpu") == 2
    assert "error: hydra/launcher=slurm: SLURM rejects the jobs: " in capsys.readouterr().err
    assert (cluster.folder / "once").exists()


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({}, 1),
        ({"runs_per_device": 4}, 4),
        ({"runs_per_device": 4, "gpus_per_node": "a100:2"}, 8),
        ({"runs_per_device": 3, "gpus_per_node": 2}, 6),
        ({"runs_per_device": 2, "gres": "gpu:4"}, 8),
        ({"runs_per_device": 2, "gres": "shard:3,gpu:a100:2"}, 4),
        ({"runs_per_device": 2, "gres": "gpu:a100"}, 2),
    ],
)
def test_the_number_of_runs_in_a_job(parameters: dict[str, Any], count: int) -> None:
    assert runs_per_job(parameters) == count


def test_runs_that_share_a_job(cluster: Cluster, runs: list[RunConfig]) -> None:
    told = submitted(runs, runs_per_device=4, cpus_per_task=8)
    assert told.startswith("4 runs at the same time in each job\nsubmitted as SLURM job 1: 5;")
    assert [(status := run.folder.status()) and status.job for run in runs] == ["1_0"] * 4 + ["1_1"]


def test_runs_on_several_devices_share_no_job(run: RunConfig) -> None:
    two = run.model_copy(update={"trainer": run.trainer.model_copy(update={"devices": 2})})
    with pytest.raises(UserError, match="runs_per_device: runs on several devices do not share them"):
        checked_settings([two], PARAMETERS | {"runs_per_device": 2})
    with pytest.raises(UserError, match="use_srun=false: srun starts the tasks"):
        checked_settings([two], PARAMETERS | {"use_srun": False})


def test_the_python_of_a_container_without_srun(cluster: Cluster, run: RunConfig) -> None:
    """Python takes the place of the script's shell, which else would get the signal before the end of the time."""
    submitted([run], python="apptainer exec image.sif python", use_srun=False)
    (script,) = cluster.scripts
    assert "\nexec apptainer exec image.sif python -u -m submitit.core._submit " in script
    assert "srun" not in script
    assert re.search("^#SBATCH --signal=B:USR2@", script, re.MULTILINE)
