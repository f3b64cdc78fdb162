"""Sweeps on a real SLURM, without accounting, through everything that happens to jobs there."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from commands import ROOT, Command, Starter
from observing import numbers, wait_until
from two_nodes import NODES, TwoNodes

from resnet_ablations.cell_runs import merged  # the command line refuses a key that is given twice
from resnet_ablations.overrides import compose
from resnet_ablations.results.frames import load_results
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.training.run import train_run
from resnet_ablations.training.stopping import Interrupted, StopRequest

pytestmark = pytest.mark.xdist_group("slurm")

JOBS = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.time=5")
RUN = (
    "network.depth=8",
    "shortcut=dropout",
    "schedule.iterations=200",
    "schedule.batch_size=32",
    "bn_batch=16",
    "schedule.log_every=10",
    "trainer=cpu",
    "trainer.threads=1",
)
ON_TWO = ("trainer.devices=2",)
SHELL = {
    "SLURM_JOB_ID": "1",
    "SLURM_RESTART_COUNT": "1",
    "SLURM_NTASKS": "7",
    "SLURM_CPUS_PER_TASK": "7",
    "SLURM_MEM_PER_CPU": "1",
    "SLURM_MEM_PER_NODE": "1",
    "SLURM_CPU_BIND": "mask_cpu:0x80",
    "SBATCH_PARTITION": "none",
    "SQUEUE_STATES": "FAILED",
    "SCANCEL_STATE": "SUSPENDED",
    "LOGNAME": "nobody",
}
"""The environment of every command: that of a shell in a job of another kind, and of a user who has set options."""

BRAKE = """
import os, time
if "SLURM_JOB_ID" in os.environ:
    from resnet_ablations.errors import UserError
    from resnet_ablations.training.module import TrainingModule
    step = TrainingModule.training_step
    def braked(self, iteration):
        if os.path.exists(os.environ["BRAKE"]):
            time.sleep(1)
        if os.path.exists(os.environ["DAMAGE"]) and self.ranks.share.rank == 1:
            raise UserError("images/7.png: cannot be read")
        step(self, iteration)
    TrainingModule.training_step = braked
"""
"""The training code: while the file BRAKE exists, a step takes at least 1 s; with DAMAGE, second tasks fail."""

NOTICE = ("hydra.launcher.time=60", "hydra.launcher.signal_delay_s=119")
"""The jobs' limit, which no test reaches, and the seconds before it when SLURM signals a job."""


@dataclass
class Cluster:
    """Commands on the cluster, started in a separate folder."""

    starter: Starter
    slurm: TwoNodes
    folder: Path
    started: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "hook").mkdir()
        (self.folder / "hook" / "sitecustomize.py").write_text(BRAKE)
        self.brake = self.folder / "brake"
        self.brake.touch()
        self.damage = self.folder / "damage"
        paths = (str(self.folder / "hook"), str(ROOT / "src"))
        self.environment = self.slurm.environment | {
            "PYTHONPATH": os.pathsep.join(paths),
            "BRAKE": str(self.brake),
            "DAMAGE": str(self.damage),
            "COLUMNS": "200",
            **SHELL,
        }

    def start(self, module: str, *arguments: str, fresh: bool = False) -> Command:
        """Begin `python -m resnet_ablations.MODULE ARGUMENTS`; if `fresh`, in a Python that has imported nothing."""
        command = Command(
            self.starter,
            *("-m", f"resnet_ablations.{module}", *arguments),
            cwd=self.folder,
            output=self.folder / f"said{len(self.started)}.txt",
            environment=self.environment,
            fresh=fresh,
            spares=0,
        )
        self.started.append(command)
        return command

    def sweep(self, *overrides: str) -> Command:
        """Begin a sweep on the cluster."""
        return self.start("train", "-m", *merged(RUN, JOBS, overrides))

    def runs(self, count: int, *overrides: str) -> list[RunFolder]:
        """The folders of seeds 0 … count−1, as soon as all exist."""
        keys = [compose([*RUN, *overrides, f"seed={seed}"]).key for seed in range(count)]
        return [RunFolder(self.folder / "results", key) for key in keys]

    def job_of(self, run: RunFolder) -> str:
        status = run.status()
        assert status is not None
        assert status.job
        return status.job

    def shorten(self, run: RunFolder) -> None:
        """Set the limit of a run's job so that SLURM signals it now, or within a minute and a half."""
        job = self.job_of(run)
        took = self.slurm.run("squeue", "--noheader", f"--jobs={job}", "--format=%M").stdout
        minutes = int(took.split(":")[0])
        self.slurm.run("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes + 3}")


def ended(command: Command, code: int) -> str:
    """The output of a command; its exit code must be `code`."""
    wait_until(lambda: command.code is not None, seconds=480)
    assert command.code == code, command.said
    assert "Traceback" not in command.said
    return command.said


until = partial(wait_until, seconds=240)


def under_way(run: RunFolder, iteration: int = 3) -> Callable[[], bool]:
    """True if the run is training and has reached the step."""

    def there() -> bool:
        status = run.status()
        return status is not None and status.outcome == "running" and status.iteration >= iteration

    return there


@pytest.fixture
def cluster(starter: Starter, slurm: TwoNodes, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(starter, slurm, tmp_path)
    yield made
    for command in made.started:
        command.end()
    slurm.run("scancel", "--user=root")
    until(lambda: not slurm.queue())


def undisturbed(tmp_path: Path, seed: int, *overrides: str) -> RunFolder:
    """The same run, trained here in one go."""
    run = compose([*RUN, *overrides, f"seed={seed}", f"paths.results={tmp_path}/undisturbed"])
    train_run(run)
    return run.folder


def tasks_of(job: str) -> dict[str, int]:
    """The processes of the tasks of a job that is in no array, by the numbers of these."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (path / "cmdline").read_text().split("\0")
            if "submitit.core._submit" not in command or "python" not in command[0]:
                continue
            variables = dict(line.split("=", 1) for line in (path / "environ").read_text().split("\0") if "=" in line)
            if variables.get("SLURM_JOB_ID") == job:
                found[variables["SLURM_PROCID"]] = int(path.name)
    return found


def starts(run: RunFolder) -> list[int]:
    """The steps from which the run started, one for each start."""
    lines = run.log.read_text().splitlines() if run.log.exists() else []
    return [int(line.rpartition(" ")[2]) for line in lines if ", from step " in line]


def assert_same(run: RunFolder, other: RunFolder) -> None:
    assert numbers(run.result()) == numbers(other.result())
    for name in ("curve", "responses", "weights", "signals"):
        assert getattr(run, name).read_bytes() == getattr(other, name).read_bytes()
    assert not list(run.path.glob("checkpoint*"))


@pytest.mark.long
def test_a_table_as_one_job_array(cluster: Cluster) -> None:
    tiny = ("network.depth=8", "schedule.iterations=6", "trainer=cpu", "rows=original,conv1x1,dropout")
    cluster.brake.unlink()
    sweep = cluster.start("train", "-m", "experiment=shortcuts", "scale=quick", *tiny, *JOBS, fresh=True)
    said = ended(sweep, 0)
    assert "submitted as SLURM job " in said
    assert ": 3 finished\n" in said
    table = said[said.rindex("3 finished") :]
    errors = load_results(cluster.folder / "results")["test_error"]
    assert len(errors) == 3
    assert all(f"{error:.2f}" in table for error in errors)
    arrays = {path.name.split("_")[0] for path in (cluster.folder / "results" / "slurm").glob("*_log.out")}
    assert len(arrays) == 1, "one job array"


@pytest.mark.long
def test_a_run_on_two_devices_is_two_tasks_and_a_requeue_changes_no_number(cluster: Cluster, tmp_path: Path) -> None:
    sweep = cluster.sweep("seed=0", *ON_TWO)
    (run,) = cluster.runs(1, *ON_TWO)
    until(under_way(run))
    job = cluster.job_of(run)
    assert "NumTasks=2" in cluster.slurm.run("scontrol", "show", "job", job).stdout
    cluster.slurm.run("scontrol", "requeue", job)
    reference = undisturbed(tmp_path, 0, *ON_TWO)
    until(lambda: len(starts(run)) > 1)
    cluster.brake.unlink()
    assert "sweep: 1 finished" in ended(sweep, 0)
    assert_same(run, reference)
    assert starts(run)[0] == 0 < starts(run)[1]
    assert {path.name for path in run.path.iterdir()} == {path.name for path in reference.path.iterdir()}


def test_a_run_on_two_nodes_of_which_one_loses_its_task_is_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    """The run resumes from its last checkpoint, and no process stays on the other node."""
    short = ("schedule.iterations=60",)
    two = (*short, "trainer.nodes=2")
    often = ("trainer.checkpoint_iterations=1", "hydra.launcher.partition=both")
    sweep = cluster.sweep("seed=0", *two, *often)
    (run,) = cluster.runs(1, *two)
    until(under_way(run))
    job = cluster.job_of(run)
    nodes = cluster.slurm.run("squeue", "--noheader", f"--jobs={job}", "--format=%D").stdout
    assert nodes.strip() == "2"
    os.kill(tasks_of(job)["1"], signal.SIGKILL)
    until(lambda: len(starts(run)) == 2)
    assert tasks_of(job) == {}
    cluster.brake.unlink()
    said = ended(sweep, 0)
    assert f"retrying 1 killed runs: {run.key}" in said
    assert "sweep: 1 finished" in said
    assert starts(run)[0] == 0 < starts(run)[1]
    reference = undisturbed(tmp_path, 0, *short, *ON_TWO)
    assert_same(run, reference)
    assert {path.name for path in run.path.iterdir()} == {path.name for path in reference.path.iterdir()}


@pytest.mark.long
def test_a_file_that_one_task_cannot_read_is_reported(cluster: Cluster) -> None:
    """The failed run is not retried, because a user has to correct the file."""
    cluster.damage.touch()
    said = ended(cluster.sweep("seed=0", *ON_TWO), 1)
    (run,) = cluster.runs(1, *ON_TWO)
    assert f"{run.key}: failed: images/7.png: cannot be read; see " in said
    assert "retrying" not in said
    assert cluster.slurm.queue() == {}


def test_a_submitted_sweep_survives_all_that_happens_to_its_jobs(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it changes a number. Seed 0 is requeued, then killed; seed 1 reaches its limit.

    Seed 2 is first trained and stopped in a shell in a job, whose job it does not become; its own job is cancelled.
    """
    seeds = ("seed=0,1,2", "hydra.launcher.array_parallelism=2", *NOTICE)
    requeued, late, cancelled = cluster.runs(3)
    sleeps = ("--partition=both", f"--nodelist={NODES[1]}", "--output=/dev/null", "--wrap=sleep 1000")
    shell = cluster.slurm.run("sbatch", "--parsable", *sleeps).stdout.strip()
    cluster.environment["SLURM_JOB_ID"] = shell
    monkeypatch.setenv("SLURM_JOB_ID", shell)
    stop = StopRequest(signal.SIGINT)
    stop.signal = signal.SIGINT
    with pytest.raises(Interrupted):
        train_run(compose([*RUN, "seed=2", f"paths.results={cluster.folder}/results"]), stop)
    monkeypatch.delenv("SLURM_JOB_ID")

    said = ended(cluster.sweep(*seeds, "hydra.launcher.wait=false"), 0)
    assert re.search(r"submitted as SLURM job \d+: 3; resnet-ablations status shows", said)
    until(under_way(requeued))
    until(under_way(late))
    said = ended(cluster.start("status"), 0)
    assert all(run.key in said for run in (requeued, late, cancelled))
    assert (said.count("running"), said.count("queued")) == (2, 1)
    cluster.shorten(late)

    # The same command again submits nothing and waits.
    sweep = cluster.sweep(*seeds, "sweep.retries=0")
    until(lambda: sweep.said.count("\n") >= 2)
    first, second, *_ = sweep.said.splitlines()
    assert first.startswith("sweep: 3 runs, 0 finished, 3 to train")
    assert second == "nothing to submit; running or queued already: 3"
    # At most two jobs run: the third begins in the place of the requeued one, which begins again when it is cancelled.
    cluster.slurm.run("scontrol", "requeue", cluster.job_of(requeued))
    until(under_way(cancelled))
    cluster.slurm.run("scancel", cluster.job_of(cancelled))
    until(lambda: len(starts(requeued)) > 1)
    until(under_way(requeued))
    os.kill(json.loads((requeued.path / "claim.json").read_text())["pid"], signal.SIGKILL)
    until(lambda: len(starts(late)) > 1)
    cluster.brake.unlink()
    references = [undisturbed(tmp_path, seed) for seed in (0, 1)]
    said = ended(sweep, 1)
    assert "sweep: 1 failed, 1 finished, 1 interrupted" in said
    assert f"{requeued.key}: failed: " in said
    assert str(requeued.log.relative_to(cluster.folder)) in said

    # A killed job is a failed run, and the others go on; the same command finishes it.
    said = ended(cluster.sweep(*seeds), 0)
    assert "sweep: 2 finished" in said
    assert cancelled.result() is not None
    for run, reference in zip((requeued, late), references, strict=True):
        assert_same(run, reference)
        assert [step > 0 for step in starts(run)] == [False] + [True] * (len(starts(run)) - 1)
    assert shell in cluster.slurm.queue()


@pytest.mark.long
def test_a_large_sweep_is_several_arrays_and_a_stop_while_it_is_submitted_leaves_nothing(cluster: Cluster) -> None:
    cluster.brake.unlink()
    four = ("seed=0,1,2,3", "schedule.iterations=20", "hydra.launcher.array_parallelism=2")
    programs = cluster.folder / "bin"
    programs.mkdir()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        (programs / "sbatch").write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@"\nkill -{int(number)} $PPID\n')
        (programs / "sbatch").chmod(0o755)
        cluster.environment["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
        assert "nothing is submitted" in ended(cluster.sweep(*four), 128 + number)
        assert cluster.slurm.queue() == {}
        assert ended(cluster.start("status"), 0).count("missing") == 4
    (programs / "sbatch").write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@"\nkill -KILL $PPID\n')
    killed = cluster.sweep(*four)
    until(lambda: killed.code is not None)
    held = {job.partition("_")[0] for job in cluster.slurm.queue()}
    assert len(held) == 1
    cluster.environment["PATH"] = os.environ["PATH"]
    said = ended(cluster.sweep(*four), 0)
    assert f"cancelled, since the command that submitted them was killed: {', '.join(held)}\n" in said
    assert "this cluster takes at most 3 jobs in a job array: 2 arrays\n" in said
    assert re.search(r"submitted as SLURM jobs \d+, \d+: 4\n", said)
    assert "sweep: 4 finished" in said


@pytest.mark.long
def test_a_cancelled_sweep_is_finished_by_the_same_command(cluster: Cluster, tmp_path: Path) -> None:
    seeds, runs = ("seed=0,1", "hydra.launcher.array_parallelism=1"), cluster.runs(2)
    sweep = cluster.sweep(*seeds)
    until(under_way(runs[0]))
    array = cluster.job_of(runs[0]).partition("_")[0]
    cluster.slurm.run("scancel", array)
    said = ended(sweep, 1)
    assert "sweep: 2 interrupted" in said
    assert "left the queue before the run began" in said

    # Ctrl-C cancels the jobs too, and says so by its exit code.
    sweep = cluster.sweep(*seeds)
    until(under_way(runs[0], 5))
    sweep.send(signal.SIGINT)
    said = ended(sweep, 130)
    assert "2 interrupted" in said
    assert cluster.slurm.queue() == {}

    cluster.brake.unlink()
    assert "sweep: 2 finished" in ended(cluster.sweep(*seeds[:1]), 0)
    assert_same(runs[0], undisturbed(tmp_path, 0))


@pytest.mark.long
def test_the_stock_launcher_of_submitit(cluster: Cluster) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    cluster.brake.unlink()
    cluster.environment = {name: value for name, value in cluster.environment.items() if name not in SHELL}
    launcher = ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=5", "hydra.launcher.mem_gb=null")
    said = ended(cluster.start("train", "-m", *RUN, *launcher, "seed=0"), 0)
    assert "sweep: 1 finished" in said


@pytest.mark.long
def test_sixteen_runs_packed_four_a_task(cluster: Cluster, tmp_path: Path) -> None:
    """One run is killed, which leaves the others of its task; another task is requeued. No number changes."""
    short = "schedule.iterations=60"
    seeds = ("seed=" + ",".join(map(str, range(16))), short)
    packed = ("hydra.launcher.runs_per_device=4", "hydra.launcher.array_parallelism=2", *NOTICE)
    said = ended(cluster.start("plan", *merged(RUN, JOBS, (*seeds, *packed))), 0)
    assert "SLURM: 4 jobs, at most 2 at a time, with 4 runs at the same time in each\n" in said
    sweep = cluster.sweep(*seeds, *packed, "trainer.checkpoint_iterations=1")
    runs = cluster.runs(16, short)
    first, other = runs[:4], runs[8:12]  # the first tasks of two arrays
    for run in first + other:
        wait_until(under_way(run), seconds=600)
    assert len({cluster.job_of(run) for run in runs}) == 4
    cluster.slurm.run("scontrol", "requeue", cluster.job_of(other[0]))
    os.kill(json.loads((first[0].path / "claim.json").read_text())["pid"], signal.SIGKILL)
    until(lambda: f"{first[0].key}: failed" in sweep.said)
    assert all(under_way(run)() for run in first[1:])
    said = ended(cluster.start("status"), 0)
    assert all(run.key in said for run in runs)
    assert f"{first[0].key}: killed by signal 9" in said
    cluster.brake.unlink()
    wait_until(lambda: f"retrying 1 killed runs: {first[0].key}" in sweep.said, seconds=900)
    assert "sweep: 16 finished" in ended(sweep, 0)
    for run in first[1:]:
        assert starts(run) == [0]
    for run in other:
        assert 0 == starts(run)[0] < starts(run)[1]
    for seed, run in enumerate(runs):
        assert_same(run, undisturbed(tmp_path, seed, short))


@pytest.mark.long
def test_packed_runs_at_the_limit_of_their_job(cluster: Cluster, tmp_path: Path) -> None:
    """Without srun; one of them has failed, and is not begun again."""
    seeds = ("seed=0,1,2", "hydra.launcher.runs_per_device=3", "hydra.launcher.use_srun=false", *NOTICE)
    cluster.sweep(*seeds, "hydra.launcher.wait=false")
    runs = cluster.runs(3)
    for run in runs:
        until(under_way(run))
    os.kill(json.loads((runs[2].path / "claim.json").read_text())["pid"], signal.SIGKILL)
    cluster.shorten(runs[0])
    until(lambda: all(len(starts(run)) == 2 for run in runs[:2]))
    cluster.slurm.run("scontrol", "update", f"JobId={cluster.job_of(runs[0])}", "TimeLimit=60")
    cluster.brake.unlink()
    until(lambda: not cluster.slurm.queue())
    for seed, run in enumerate(runs[:2]):
        assert_same(run, undisturbed(tmp_path, seed))
    assert len(starts(runs[2])) == 1
    assert "sweep: 3 runs, 2 finished" in ended(cluster.sweep(*seeds), 0)


def test_jobs_that_the_cluster_cannot_run_are_forgotten(cluster: Cluster) -> None:
    said = ended(cluster.sweep("seed=0", "hydra.launcher.cpus_per_task=640"), 2)
    reason = "Requested partition configuration not available now"
    assert re.fullmatch(f"error: hydra/launcher=slurm: SLURM rejects the jobs: .*{reason}.*", said.splitlines()[-1])
    assert cluster.slurm.queue() == {}
    (run,) = cluster.runs(1)
    assert run.status() is None, "so the corrected command submits it"


def test_without_a_slurm_nothing_starts(cluster: Cluster) -> None:
    cluster.environment["PATH"] = str(cluster.folder)
    said = ended(cluster.sweep("seed=0"), 2)
    assert said.splitlines()[-1].startswith("error: hydra/launcher=slurm: squeue does not answer")
