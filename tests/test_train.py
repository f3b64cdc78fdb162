"""`python -m resnet_ablations.train` as a person calls it: exit codes, what it prints and what it leaves."""

import gc
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from torch import Tensor

from resnet_ablations.config import RunConfig
from resnet_ablations.data.listing import Listing
from resnet_ablations.overrides import compose
from resnet_ablations.results.owner import Owner
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.train import main
from resnet_ablations.training.module import TrainingModule

Python = Callable[..., subprocess.CompletedProcess[str]]

TRAIN = ("-m", "resnet_ablations.train")
TINY = ("network.depth=8", "schedule.iterations=2", "trainer=cpu")


def test_mistakes_are_lines_on_stderr_and_exit_code_2(python: Python, tmp_path: Path) -> None:
    wrong = ("shortcut=dropout", "shortcut.rate=1.5", "network.depth=57", "data=image_folder", "data.root=/nowhere")
    named = ("shortcut.rate=1.5: must be less than 1", "network.depth=57: must be 6n+2", "data.root=/nowhere: ")
    ended = python(*TRAIN, *wrong, cwd=tmp_path)
    assert ended.returncode == 2
    assert all(part in ended.stderr for part in named), ended.stderr
    assert all(line.startswith("error: ") for line in ended.stderr.splitlines())
    assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == [], "nothing is written"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["experiment=shortcuts"], ["add -m"]),
        (["scale=quick"], ["add -m"]),
        (
            ["--config-dir=/nowhere", "--config-name=mine"],
            ["--config-dir: the configuration is conf/ alone", "--config-name"],
        ),
        (["--experimental-rerun", "x.pickle"], ["--experimental-rerun: a run is trained again with frozen="]),
        (["--cfg=job", "-m", "seed=0,1"], ["--cfg --multirun: each of them"]),
        (["--resolve", "--cfg=hydra"], ["--resolve: it resolves what --cfg job shows"]),
        (["--shell-completion", "install=bash"], ["--shell-completion: there is none"]),
        (["hydra.searchpath=[file:///x]"], ["hydra.searchpath: the configuration is conf/ alone"]),
        (["-m", "+hydra.job.env_set.A=1"], ["hydra.job.env_set.A: the processes of runs have the environment of this"]),
        (["paths.results=${hydra:runtime.cwd}/x"], ["cwd}/x: runs are checked and keyed without Hydra's own values"]),
        (["-m", "seed=0,1", "hydra/launcher=nowhere"], ["hydra/launcher=nowhere"]),
        (["-m", "paths.results=a=[b"], ["quote the value for Hydra and the whole for the shell: \"KEY='VALUE'\""]),
        (["-m", "scale=quick"], ["scale: needs an experiment; name it first: sweep NAME, or experiment=NAME"]),
        (["-m", "bn_batch=16", "trainer=cpu", "trainer.nodes=2"], ["trainer.nodes=2: only SLURM"]),
        (["bn_batch=16", "-m", "trainer=cpu", "trainer.nodes=2"], ["trainer.nodes=2: only SLURM"]),
        (
            ["-m", "experiment=shortcuts", "scale=quick", "schedule.batch_size=0", "shortcutt=identity", "seed=0,-1"],
            ["schedule.batch_size=0: must be greater", "shortcutt=identity: no such key here; did you mean shortcut?"],
        ),
    ],
    ids=[
        *("experiment alone", "scale alone", "folders", "again", "modes", "resolve", "shell"),
        *("search path", "environment", "values of Hydra", "launcher", "unquoted"),
        *("scale of a sweep", "nodes", "-m in the middle", "runs of a sweep"),
    ],
)
def test_mistakes_that_hydra_reports_badly_or_not_at_all(
    arguments: list[str],
    named: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resnet_ablations.sweep.planning.PROGRESS_SECONDS", math.inf)  # on a slow machine
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr()
    assert all(part in said.err for part in named), said.err
    assert all(line.startswith("error: ") for line in said.err.splitlines())
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_training_run_keeps_no_list_of_images_from_the_checks(
    photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ImageNet's takes 200 MB, in every rank that torchrun starts."""
    left: list[int] = []

    def training(run: RunConfig) -> None:
        images = run.data.load()
        gc.collect()
        left.append(sum(type(each) is Listing for each in gc.get_objects()))
        assert len(images.train) == 27

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resnet_ablations.training.run.train_run", training)
    data = ("data=imagenet", f"data.root={photos}", "data.classes=3", "data.crop=8", "network=imagenet_resnet18")
    monkeypatch.setattr(sys, "argv", ["train", *data, "trainer=cpu"])
    gc.collect()
    others = sum(type(each) is Listing for each in gc.get_objects())
    main()
    assert left == [others]


@pytest.mark.parametrize("several", [[], ["-m"]], ids=["one run", "sweep"])
def test_locations_beside_a_frozen_run_that_its_data_have_and_the_default_data_lack(
    several: list[str], photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    trained: list[RunConfig] = []
    monkeypatch.setattr("resnet_ablations.training.run.train_run", trained.append)
    monkeypatch.setattr(
        "resnet_ablations.sweep.processes.train_in_processes", lambda runs, slots, **_: trained.extend(runs)
    )
    data = ("data=imagenet", f"data.root={photos}", "data.classes=3", "data.crop=8", "network=imagenet_resnet18")
    run = compose([*data, "trainer=cpu"])
    run.folder.freeze(run.as_dict())
    beside = [f"frozen={run.folder.config}", f"data.root={photos}/../{photos.name}", "data.cache=null"]
    monkeypatch.setattr(sys, "argv", ["train", *several, *beside])
    with suppress(SystemExit):  # 1 after a sweep, since nothing was trained
        main()
    (again, *_) = trained
    assert again.key == run.key
    assert (again.data.root, again.data.cache) == (f"{photos}/../{photos.name}", None)  # type: ignore[attr-defined]


def test_the_lock_of_a_job_that_is_over_is_removed_before_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The job was killed on another machine, whose heartbeats this command would await for five minutes."""
    monkeypatch.chdir(tmp_path)
    folder = compose([*TINY, "seed=0"]).folder
    folder.freeze({})
    folder.set_status(Status(outcome="running", iteration=1, iterations=6, job="7"))
    killed = Owner.this_process().model_copy(update={"boot": "another", "job": "7"})
    (folder.path / "claim.json").write_text(killed.model_dump_json())
    monkeypatch.setattr("resnet_ablations.sweep.squeue.jobs_in_queue", dict)
    locked: list[bool] = []
    monkeypatch.setattr(
        "resnet_ablations.training.run.train_run", lambda run: locked.append((folder.path / "claim.json").exists())
    )
    monkeypatch.setattr(sys, "argv", ["train", *TINY, "seed=0"])
    main()
    assert locked == [False]


def test_a_process_that_torchrun_started_begins_no_sweep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """All of them would."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["train", "-m", *TINY, "seed=0,1"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: -m under torchrun: ")
    assert list(tmp_path.iterdir()) == []
    for one in ("", "1"):
        monkeypatch.setenv("WORLD_SIZE", one)
        monkeypatch.setattr(sys, "argv", ["train", "-m", *TINY, "seed=-1"])
        with pytest.raises(SystemExit):
            main()
        assert capsys.readouterr().err.startswith("error: seed=-1: ")


@pytest.mark.long
def test_one_run_on_two_devices_whoever_starts_its_processes(python: Python, tmp_path: Path) -> None:
    two = ("network.depth=8", "schedule.iterations=10", "schedule.log_every=1", "bn_batch=16", "trainer=ddp")
    devices = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.threads=1")
    by_torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
    alone = python(*TRAIN, *two, *devices, "paths.results=alone", cwd=tmp_path)
    started = python(*by_torchrun, *TRAIN, *two, *devices, "paths.results=started", cwd=tmp_path)
    assert (alone.returncode, started.returncode) == (0, 0), alone.stderr + started.stderr
    (own,), (theirs,) = (list((tmp_path / name / "runs").iterdir()) for name in ("alone", "started"))
    assert (own / "curve.csv").read_bytes() == (theirs / "curve.csv").read_bytes()
    assert (theirs / "result.json").exists()
    assert started.stdout.count("on 2 × cpu") == started.stdout.count("test error") == 1, "the others say nothing"
    assert "test error" in started.stdout.splitlines()[-1]


def test_one_run(python: Python, tmp_path: Path) -> None:
    ended = python(*TRAIN, *TINY, "seed=5", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    (path,) = (tmp_path / "results" / "runs").iterdir()
    result = RunFolder(tmp_path / "results", path.name).result()
    assert result is not None
    assert ended.stdout.splitlines()[-1] == result.summary()
    assert path.name.endswith("-s5")
    assert ended.stderr == "", "no warnings"
    assert {p.name for p in tmp_path.iterdir()} == {"results"}
    files = {"config.yaml", "curve.csv", "layer_responses.csv", "log.txt", "result.json", "signals.csv", "weights.pt"}
    assert {p.name for p in path.iterdir()} - {"changes.diff"} == files
    assert "2/2" in (path / "log.txt").read_text()


def test_a_run_that_is_stopped_does_not_exit_as_if_it_were_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Lightning by itself ends a SIGTERM'd training with exit code 0."""
    step = TrainingModule.training_step

    def signalled(module: TrainingModule, number: int) -> Tensor:
        if number == 10:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(module, number)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TrainingModule, "training_step", signalled)
    settings = ("network.depth=8", "schedule.iterations=1000000", "trainer=cpu", "trainer.threads=1")
    monkeypatch.setattr(sys, "argv", ["train", *settings])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 143
    (path,) = (tmp_path / "results" / "runs").iterdir()
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{path.name}: interrupted after step 11; ")
    folder = RunFolder(tmp_path / "results", path.name)
    status = folder.status()
    assert status is not None
    assert status.outcome == "interrupted"
    assert folder.result() is None
