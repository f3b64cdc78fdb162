"""`python -m resnet_ablations.plan` and `.status`: what would run, and how far each run is; nothing is written."""

import errno
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from finished import finish_run, write_checkpoint

from resnet_ablations import experiments, plan, status
from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.provenance import SOURCE
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.sweep import estimates
from resnet_ablations.sweep.counts import counted
from resnet_ablations.sweep.slots import Slots
from resnet_ablations.training.timing import StepSeconds

TINY = ("network.depth=8", "schedule.iterations=6")


@pytest.fixture
def says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """Runs one of the two in `tmp_path`, on a wide terminal, and returns what it said on stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(estimates, "step_seconds", lambda *_: StepSeconds(iteration=0.5, test_image=0.0))

    def run(main: Callable[[], None], *arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        before = sorted(tmp_path.rglob("*"))
        main()
        assert sorted(tmp_path.rglob("*")) == before
        return capsys.readouterr()

    return run


def line(text: str, part: str) -> str:
    (found,) = (line for line in text.splitlines() if part in line)
    return found


def test_a_plan_lists_its_runs_and_how_far_they_are(says: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    identity, dropout = (compose([*TINY, f"shortcut={name}"]) for name in ("identity", "dropout"))
    finish_run(identity)
    folder = RunFolder("results", dropout.key)
    folder.freeze(dropout.as_dict())
    folder.set_status(Status(outcome="failed", iteration=3, iterations=6, reason="OSError: disk"))
    write_checkpoint(folder, 2)
    said, _ = says(plan.main, *TINY, "shortcut=identity,dropout,conv1x1")
    assert "finished" in line(said, identity.key)
    assert "failed, resumable from step 2" in line(said, dropout.key)
    assert "missing" in line(said, "conv1x1")
    assert "3 runs, 1 finished, 2 to train" in said


def test_a_plan_says_what_the_missing_runs_cost(
    says: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_ablations.sweep.slots.usable_cores", lambda: 2)
    settings = ("network.depth=8", "schedule.iterations=810")
    runs = [compose([*settings, f"seed={seed}"]) for seed in (0, 1, 2)]
    finish_run(runs[0])
    runs[1].folder.freeze(runs[1].as_dict())
    write_checkpoint(runs[1].folder, 10)
    said, told = says(plan.main, *settings, "seed=0,1,2")
    # Forward and twice as much backward, batches of 32; 800 iterations are left of one run, 810 of the other.
    multiply_adds = counted(runs[0]).multiply_adds * 3 * 32 * (800 + 810)
    exponent = len(str(multiply_adds)) - 1
    assert f" {multiply_adds / 10**exponent:.1f}e{exponent} multiply-adds" in line(said, "to train: 2 runs")
    assert "GPU-hours at 5 TFLOP/s, assumed" in line(said, "to train: 2 runs")
    here = line(said, "on this machine")
    assert "about 6.8 min, 2 runs at once (from a few timed steps of each of 1 networks" in here
    assert f"disk: up to {estimates.disk_bytes(runs[1:], 2) / 1e6:.1f} MB" in said
    assert told == "", "it was quick"
    for run in runs[1:]:
        finish_run(run)
    said, _ = says(plan.main, *settings, "seed=0,1,2")
    assert said.splitlines()[-1] == "3 runs, 3 finished, 0 to train"


def test_a_plan_follows_the_launchers_setting(
    says: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_ablations.sweep.slots.usable_cores", lambda: 8)
    settings = (*TINY, "trainer=auto", "seed=0,1,2,3")
    said, _ = says(plan.main, *settings)
    assert "about 3 s, 4 runs at once" in line(said, "on this machine")
    said, _ = says(plan.main, *settings, "hydra.launcher.runs_per_device=1")
    assert "about 12 s, 1 runs at once" in line(said, "on this machine")
    assert "as alone" not in said
    assert "SLURM" not in said
    said, _ = says(plan.main, *settings, "hydra/launcher=slurm", "hydra.launcher.runs_per_device=3")
    assert line(said, "SLURM") == "SLURM: 2 jobs, at most 16 at a time, with 3 runs at the same time in each"
    said, _ = says(plan.main, *settings, "hydra/launcher=slurm", "hydra.launcher.runs_per_device=4")
    assert line(said, "SLURM") == "SLURM: 1 job, with 4 runs at the same time in it"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    said, _ = says(plan.main, *settings, "hydra.launcher.runs_per_device=2")
    assert "about 3 s, 4 runs at once" in line(said, "on this machine")
    assert "it assumes that a run is alone on its GPU, but 2 runs share it" in said
    monkeypatch.setattr(plan, "slots_for", lambda runs, given: Slots(4, 1, ("0", "1"), slowdown=1.5))
    said, _ = says(plan.main, *settings)
    assert "about 4.5 s, 4 runs at once" in line(said, "on this machine")
    assert "as alone" not in said, "it was measured"


@pytest.mark.parametrize(
    "wrong",
    [
        "hydra.launcher.runs_per_device=0",
        "hydra.launcher.processes=2",
        "hydra.launcher.runs_per_device.x=1",
        "hydra/launcher=slurm hydra.launcher.use_srun=maybe",
    ],
)
def test_a_plan_for_a_launcher_that_a_sweep_refuses(
    says: Callable[..., tuple[str, str]], capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        says(plan.main, *TINY, *wrong.split())
    assert ended.value.code == 2
    assert wrong.split()[-1] in capsys.readouterr().err


def test_a_plan_goes_on_where_a_network_cannot_be_timed(
    says: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step_seconds(run: RunConfig, *_: int) -> StepSeconds:
        if run.network.depth == 14:
            raise MemoryError
        return StepSeconds(1.0, 0.0)

    monkeypatch.setattr(estimates, "step_seconds", step_seconds)
    said, _ = says(plan.main, "schedule.iterations=6", "network.depth=8,14")
    assert "about 6 s" in line(said, "on this machine")
    assert line(said, "too little memory").startswith("resnet14-")
    said, _ = says(plan.main, "schedule.iterations=6", "network.depth=14")
    assert "on this machine: about" not in said
    assert "too little memory" in said


def test_a_plan_for_a_gpu_that_is_elsewhere(
    says: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step_seconds(*_: object) -> StepSeconds:
        raise UserError("trainer.accelerator=gpu: there is no CUDA GPU here")

    monkeypatch.setattr(estimates, "step_seconds", step_seconds)
    said, _ = says(plan.main, *TINY, "trainer=gpu")
    assert "no CUDA GPU here" in line(said, "on this machine")
    assert "disk: up to" in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0.2 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (9000, "2.5 h"), (3e5, "3.5 days")],
)
def test_durations(seconds: float, said: str) -> None:
    assert plan.duration(seconds) == said


def test_a_plan_says_which_results_are_of_other_code(
    says: Callable[..., tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only runs of known code are marked."""
    runs = [compose([*TINY, f"seed={seed}"]) for seed in range(3)]
    known = {"1" * 40: True, "2" * 40: False, None: None}
    for run, commit in zip(runs, known, strict=True):
        finish_run(run, provenance={"commit": commit, "dirty": False})
    monkeypatch.setattr(plan, "same_code", lambda origin: known[origin["commit"]])
    said, _ = says(plan.main, *TINY, "seed=0,1,2")
    assert [line(said, run.key).split("6")[-1].strip() for run in runs[::2]] == ["finished", "finished"]
    assert "finished, of another code version (2222222)" in line(said, runs[1].key)


def test_a_plan_of_an_experiment_names_the_rows(says: Callable[..., tuple[str, str]]) -> None:
    said, _ = says(plan.main, "experiment=shortcuts", "scale=quick", "rows=original,dropout", "schedule.iterations=700")
    assert "2 runs, 0 finished, 2 to train" in said
    assert "claims: 0 of 35 can be decided with 1 seed at this scale" in said
    assert "700" in line(said, "original")
    assert "missing" in line(said, "dropout")
    assert line(said, "identity").split()[0] == "original", "a sole column need not be named"


def test_a_plan_of_several_columns_names_the_cells(
    says: Callable[..., tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan names all cells that a run serves, not only the chosen ones."""
    monkeypatch.setattr(experiments, "EXPERIMENTS", tmp_path)
    shallow, deep = "[network.depth=8]", "[network.depth=20]"
    (tmp_path / "tiny.yaml").write_text(
        f"""
title: Tiny
source: nowhere
caption: nothing
headings: [case]
columns:
  - {{id: test, overrides: {shallow}}}
  - {{id: train, overrides: {shallow}, metric: train_error}}
  - {{id: deep, overrides: {deep}}}
scales: {{quick: {{seeds: [0], replacements: {{shortcut=dropout: [shortcut=identity], shortcut=conv1x1: null}}}}}}
rows:
  - {{id: first, labels: [a], configurations: [[shortcut=identity]], cells: {{test: {{}}, train: {{}}, deep: {{}}}}}}
  - {{id: second, labels: [b], configurations: [[shortcut=dropout]], cells: {{test: {{}}}}}}
  - {{id: third, labels: [c], configurations: [[shortcut=conv1x1]], cells: {{deep: {{}}}}}}
""",
        encoding="utf-8",
    )
    said, _ = says(plan.main, "experiment=tiny")
    assert line(said, "resnet8").split("  ")[0].strip() == "first/test, first/train, second/test"
    assert line(said, "resnet20").split()[0] == "first/deep"
    assert "2 runs, 0 finished, 2 to train" in said
    assert "third" not in said
    said, _ = says(plan.main, "experiment=tiny", "columns=train")
    assert line(said, "resnet8").split("  ")[0].strip() == "first/test, first/train, second/test"
    assert "1 runs, 0 finished, 1 to train" in said


def test_mistakes_of_a_plan(says: Callable[..., tuple[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        says(plan.main, "experiment=shortcuts", "network.depth=57")
    assert end.value.code == 2
    assert "network.depth=57" in capsys.readouterr().err


def test_status(says: Callable[..., tuple[str, str]], config: Callable[..., RunConfig], tmp_path: Path) -> None:
    finished, running, failed, gone = (config(f"seed={seed}") for seed in range(4))
    finish_run(finished)
    under_way = Status(outcome="running", iteration=3, iterations=6, images_per_second=99.0, seconds_left=65)
    for run, state in (
        (running, under_way),
        (failed, Status(outcome="failed", iteration=4, iterations=6, reason="OSError: disk")),
        (gone, under_way),
    ):
        RunFolder(tmp_path / "results", run.key).freeze(run.as_dict())
        RunFolder(tmp_path / "results", run.key).set_status(state)
    others = (".ipynb_checkpoints", ".Trash-0", "@eaDir", "lost+found", "__pycache__", "System Volume Information")
    for other in others:
        shutil.copytree(finished.folder.path, finished.folder.path.with_name(other))
    with RunLock(running.folder.path):
        said, _ = says(status.main)
    assert not any(other in said for other in others)
    table = said[: said.index("\n\n")]
    for key, parts in (
        (finished.key, ["finished", "1,234", "12.5"]),
        (running.key, ["running", "3/6", "99", "1:05"]),
        (failed.key, ["failed", "4/6"]),
        (gone.key, ["failed", "3/6"]),
    ):
        assert all(part in line(table, key) for part in parts), said
    assert f"{failed.key}: OSError: disk\n" in said
    assert f"{gone.key}: its process was killed\n" in said
    assert "results/runs/RUN/log.txt" in said


def test_a_finished_run_without_its_whole_curve_is_damaged(
    says: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    run = compose([*TINY, "seed=0"])
    finish_run(run)
    RunFolder(tmp_path / "results", run.key).curve.unlink()
    said, _ = says(status.main)
    assert line(said, f"{run.key} ").split()[1] == "damaged"
    assert f"{run.key}: curve.csv is missing" in said
    said, _ = says(plan.main, *TINY, "seed=0")
    assert "damaged, trained again: curve.csv is missing" in said
    assert "1 runs, 0 finished, 1 to train" in said


def test_status_fits_80_columns(says: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    """The longest name there is, at the paper's length."""
    key = "resnet110-shortcut_only_gating-relu_only_preactivation-fashion_mnist-1a2b3c4d-s12"
    folder = RunFolder(tmp_path / "results", key)
    folder.freeze({})
    folder.set_status(
        Status(outcome="running", iteration=63_999, iterations=64_000, images_per_second=12_345, seconds_left=90_000)
    )
    with RunLock(folder.path):
        said, _ = says(status.main)
    assert max(map(len, said.splitlines())) <= 80
    assert all(part in said for part in ("63999/64000", "12,345", "1 day, 1:00:00"))


def test_status_counts_the_results_of_other_code(says: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    for seed, source in enumerate((SOURCE, "0" * 64, None)):
        finish_run(compose([*TINY, f"seed={seed}"]), provenance={"source": source})
    said, _ = says(status.main)
    assert "1 of 3 results are of another code version" in said


def test_status_of_nothing(says: Callable[..., tuple[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        says(status.main, "nowhere")
    assert end.value.code == 2
    assert "nowhere: no such folder; start with: resnet-ablations sweep shortcuts" in capsys.readouterr().err


def test_a_run_that_may_not_be_read_hides_no_other(
    says: Callable[..., tuple[str, str]], failing_reads: Callable[[Callable[[Path], bool], int], None]
) -> None:
    sound, locked = (compose([*TINY, f"shortcut={name}"]) for name in ("identity", "dropout"))
    for run in (sound, locked):
        finish_run(run)
    failing_reads(lambda path: path.parent.name == locked.key and path.name == "result.json", errno.EACCES)
    said, _ = says(status.main, "results")
    assert "finished" in line(said, f"{sound.key} ")
    assert f"{locked.key}/result.json: cannot be read: Permission denied; make it readable" in " ".join(said.split())
