"""One run from its configuration to its folder: finished, failed, diverged or stopped."""

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from resnet_ablations.build import build_network, meta_network
from resnet_ablations.config import RunConfig, validate
from resnet_ablations.errors import UserError
from resnet_ablations.network import resnet, shortcuts
from resnet_ablations.network.cost import cost
from resnet_ablations.network.masks import Mask
from resnet_ablations.network.recomputation import recomputed
from resnet_ablations.network.resnet import parameter_count
from resnet_ablations.results.locks import FileLocked, RunLost, file_lock
from resnet_ablations.results.owner import Owner
from resnet_ablations.results.provenance import provenance
from resnet_ablations.results.run_folder import Result, RunFolder, Status
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.training import run as training_run
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.run import load_batches, train_run
from resnet_ablations.training.stopping import SIGNALS, Interrupted

Config = Callable[..., RunConfig]

DROPOUT = ("shortcut=dropout", "schedule.log_every=1", "schedule.evaluate_every=2")


def folder(run: RunConfig) -> RunFolder:
    return RunFolder(run.paths.results, run.key)


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Call a function in the fourth iteration of training."""
    step = TrainingModule.training_step

    def arrange(happen: Callable[[], object]) -> None:
        def broken(self: TrainingModule, iteration: int) -> None:
            if iteration == 3:
                happen()
            step(self, iteration)

        monkeypatch.setattr(TrainingModule, "training_step", broken)

    return arrange


def test_a_finished_run(config: Config) -> None:
    run = config("shortcut=exclusive_gating", "seed=3")
    before = time.time()
    result = train_run(run)
    left = folder(run)
    files = {"config.yaml", "curve.csv", "layer_responses.csv", "log.txt", "result.json", "signals.csv", "weights.pt"}
    assert {path.name for path in left.path.iterdir()} - {"changes.diff"} == files
    assert left.result() == result
    assert (result.key, result.configuration, result.seed) == (run.key, run.configuration, 3)
    assert (result.outcome, result.iterations) == ("finished", 6)
    assert result.parameters == parameter_count(build_network(run))
    assert result.multiply_adds == cost(meta_network(run), (2, 1, 8, 8)).multiply_adds
    assert 0 < result.seconds < time.time() - before + 1
    assert result.images_per_second > 0
    assert set(result.provenance) == {"commit", "dirty", "source", "versions", "machine", "started", "finished"}
    assert result.provenance["machine"]["threads"] == 1
    assert result.provenance["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert validate(yaml.safe_load(left.config.read_text())).key == run.key
    assert run.key in result.summary()
    assert f"{result.test_error:.2f} %" in result.summary()


def test_a_finished_run_is_not_trained_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train_run(config())
    written = (folder(config()).path / "result.json").stat().st_mtime_ns
    monkeypatch.setattr(TrainingModule, "training_step", None)
    assert train_run(config()) == first
    assert (folder(config()).path / "result.json").stat().st_mtime_ns == written


def test_the_same_seed_gives_the_same_curve_byte_for_byte(config: Config, tmp_path: Path) -> None:
    curves = []
    for place in ("a", "b"):
        run = config(*DROPOUT, f"paths.results={tmp_path}/{place}")
        train_run(run)
        curves.append(folder(run).curve.read_bytes())
        torch.rand(5)
    assert curves[0] == curves[1]
    assert len(curves[0].splitlines()) == 7


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_recomputed_activations_give_the_same_run_byte_for_byte(
    config: Config, tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The curve and the layers' responses, also with dropout; the recorded calls show the recomputation."""
    calls: list[int] = []
    monkeypatch.setattr(resnet, "recomputed", lambda units, x: calls.append(len(units)) or recomputed(units, x))
    left = []
    for recompute in ("false", "true"):
        settings = (f"trainer.recompute={recompute}", f"paths.results={tmp_path}/{recompute}")
        run = config(*DROPOUT, f"precision={precision}", *settings)
        train_run(run)
        left.append((run.key, folder(run).curve.read_bytes(), folder(run).responses.read_bytes()))
        assert set(calls) == ({3} if recompute == "true" else set())
    assert left[0] == left[1]


def test_another_seed_gives_other_weights_batches_and_masks(config: Config) -> None:
    runs = [config(*DROPOUT, f"seed={seed}") for seed in (0, 1)]
    networks = [build_network(run) for run in runs]
    assert not torch.equal(*(next(network.parameters()) for network in networks))
    assert not torch.equal(*(load_batches(run).train(0)[1] for run in runs))
    for run in runs:
        train_run(run)
    first, second = (folder(run).curve.read_text().splitlines() for run in runs)
    assert not set(first[1:]) & set(second[1:])


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Tensor]]:
    """Trains a run, and returns the masks of each iteration: units × images × elements, padded to equal lengths."""
    forward = Mask.forward

    def trained(run: RunConfig, *, disturbed: bool = False) -> list[Tensor]:
        seen: list[Tensor] = []

        def spying(self: Mask, images: Tensor) -> Tensor:
            torch.rand(100 * disturbed)
            mask = forward(self, images)
            seen.append(F.pad(mask.flatten(1).int(), (0, 1024 - mask[0].numel())))
            return mask

        monkeypatch.setattr(Mask, "forward", spying)
        # Recording signals would pass the network once more.
        train_run(run.model_copy(update={"trainer": run.trainer.model_copy(update={"signals": False})}))
        passes = [torch.stack(seen[first : first + 3]) for first in range(0, len(seen), 3)]
        count = len(passes) // run.schedule.iterations
        return [torch.cat(passes[first : first + count], dim=1) for first in range(0, len(passes), count)]

    return trained


def test_masks_differ_between_images_units_iterations_and_seeds(
    config: Config, masks: Callable[..., list[Tensor]]
) -> None:
    """For every valid seed."""
    everything = [mask for seed in (0, 1, 2**31) for mask in masks(config("shortcut=dropout", f"seed={seed}"))]
    of_images = {tuple(image.tolist()) for iteration in everything for unit in iteration for image in unit}
    assert len(of_images) == 3 * 6 * 3 * 32


@pytest.mark.parametrize(
    "setting",
    [
        ("bn_batch=8",),
        ("bn_batch=8", "trainer.micro_batches_per_pass=2"),
        ("bn_batch=16", "trainer.channels_last=false"),
        ("trainer.threads=2",),
    ],
)
def test_masks_do_not_depend_on_passes_memory_order_or_threads(
    config: Config, masks: Callable[..., list[Tensor]], tmp_path: Path, setting: tuple[str, ...]
) -> None:
    whole = masks(config("shortcut=dropout"))
    split = masks(config("shortcut=dropout", f"paths.results={tmp_path}/split", *setting))
    assert all(map(torch.equal, split, whole))


def test_one_number_for_all_images_of_an_iteration(
    config: Config, masks: Callable[..., list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over several passes."""
    monkeypatch.setattr(shortcuts, "Mask", partial(Mask, one_for_all=True))
    seen = masks(config("shortcut=dropout", "bn_batch=8"))
    assert all((mask == mask[:, :1]).all() for mask in seen)
    assert len({tuple(unit[0].tolist()) for mask in seen for unit in mask}) == 6 * 3


def test_the_masks_of_a_step_do_not_depend_on_what_was_drawn_before(
    config: Config, masks: Callable[..., list[Tensor]], tmp_path: Path
) -> None:
    quiet = masks(config("shortcut=dropout"))
    again = masks(config("shortcut=dropout", f"paths.results={tmp_path}/again"), disturbed=True)
    assert all(map(torch.equal, again, quiet))


def test_a_shorter_run_is_the_beginning_of_a_longer_one(config: Config) -> None:
    runs = [config(*DROPOUT, f"schedule.iterations={iterations}") for iterations in (4, 8)]
    for run in runs:
        train_run(run)
    short, long = (folder(run).curve.read_bytes() for run in runs)
    assert long.startswith(short)
    assert len(short.splitlines()) == 5


def test_a_non_finite_loss_ends_the_run_as_diverged(config: Config) -> None:
    run = config("schedule.iterations=500", "schedule.warmup_learning_rate=1e30")
    result = train_run(run)
    assert result.outcome == "diverged"
    assert 0 < result.iterations <= 4
    assert (result.train_loss, result.train_error, result.test_loss, result.test_error) == (None,) * 4
    written = json.loads((folder(run).path / "result.json").read_text(), parse_constant=pytest.fail)
    assert written["test_error"] is None
    assert Result.model_validate(written) == folder(run).result() == result
    assert folder(run).status() is None
    assert folder(run).curve.read_text().count("\n") <= 3
    assert (result.metrics, folder(run).responses.exists()) == ({}, False), "nothing more is measured"
    assert "diverged" in result.summary()
    assert train_run(run) == result, "a divergence is a result: it is not trained again"


def test_a_divergence_in_the_last_iterations_is_seen(config: Config) -> None:
    """The last update may break the weights after its own loss was finite; the test loss shows it."""
    run = config("schedule.iterations=1", "schedule.warmup_learning_rate=1e38")
    result = train_run(run)
    assert (result.outcome, result.train_loss, result.test_error) == ("diverged", None, None)
    assert (result.metrics, folder(run).responses.exists()) == ({}, False)


def test_a_run_that_breaks_says_why_and_has_no_result(
    config: Config, breaking: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def happen() -> None:
        raise RuntimeError("no space left\nmore about it")

    breaking(happen)
    run = config("schedule.log_every=1")
    with pytest.raises(RuntimeError, match="no space left"):
        train_run(run)
    left = folder(run)
    status = left.status()
    assert status is not None
    assert (status.outcome, status.reason, status.iterations) == ("failed", "RuntimeError: no space left", 6)
    assert not (left.path / "result.json").exists()
    assert left.result() is None
    log = left.log.read_text()
    assert "Traceback" in log
    assert "more about it" in log
    monkeypatch.undo()
    assert train_run(run).outcome == "finished"
    assert left.status() is None
    assert len(left.curve.read_text().splitlines()) == 7, "the curve is begun anew"


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def lost_terminal() -> None:
    """The kernel sends SIGHUP, and then the shell does."""
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)


def ended_session() -> None:
    """A session that ends sends SIGTERM after SIGHUP."""
    lost_terminal()
    sigterm()


ENDINGS = {
    ctrl_c: signal.SIGINT,
    sigterm: signal.SIGTERM,
    lost_terminal: signal.SIGHUP,
    ended_session: signal.SIGHUP,
}


@pytest.mark.parametrize("happen", ENDINGS)
def test_a_run_that_is_stopped_is_interrupted_not_failed_and_not_finished(
    config: Config, breaking: Callable[[Callable[[], object]], None], happen: Callable[[], None]
) -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    breaking(happen)
    run = config()
    with pytest.raises(Interrupted) as interrupted:
        train_run(run)
    left = folder(run)
    status = left.status()
    assert interrupted.value.signal == ENDINGS[happen]
    assert status is not None
    assert (status.outcome, status.iteration) == ("interrupted", 4)
    assert left.result() is None
    assert left.resumable_from() == 4
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_stop_whose_status_cannot_be_written_is_a_stop(
    config: Config, breaking: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM requeues a run by the number of its signal."""

    def full(self: RunFolder, status: Status, real: Any = RunFolder.set_status) -> None:
        if status.outcome == "interrupted" or status.iteration == 4:  # the stop came in that iteration
            raise OSError(errno.EIO, "Input/output error")
        real(self, status)

    breaking(sigterm)
    monkeypatch.setattr(RunFolder, "set_status", full)
    run = config()
    with pytest.raises(Interrupted) as interrupted:
        train_run(run)
    assert interrupted.value.signal == signal.SIGTERM
    assert folder(run).resumable_from() == 4


def test_under_nohup_a_lost_terminal_stops_nothing(
    config: Config, breaking: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        breaking(lost_terminal)
        assert train_run(config()).outcome == "finished"
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def take_over(run: RunConfig) -> dict[str, bytes]:
    """Name another owner in the lock, and leave its files; return all files of the run."""
    (path,) = folder(run).path.glob("claim.json")
    path.write_text(Owner.this_process().model_copy(update={"boot": "another", "pid": 1}).model_dump_json())
    folder(run).curve.unlink()  # as another process does, which then writes its own
    folder(run).curve.write_text("begun by another process\n")
    return left_by(run)


def left_by(run: RunConfig) -> dict[str, bytes]:
    """Return the files of a run except its log."""
    return {path.name: path.read_bytes() for path in folder(run).path.iterdir() if path.name != "log.txt"}


@pytest.mark.parametrize("write", ["start", "begin_curve", "write_signals", "finish"])
def test_a_run_that_another_process_has_finished_changes_no_file_of_it(
    config: Config, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    """The owner was suspended just before it wrote a file; the other process has released the lock."""
    run, write_file = config(), getattr(RunWriter, write)
    theirs = dict.fromkeys(("config.yaml", "curve.csv", "signals.csv", "weights.pt", "result.json"), b"theirs")

    def suspended(self: RunWriter, *arguments: Any) -> Any:
        for path in self.folder.path.iterdir():
            if path.name != "log.txt":
                path.unlink()
        for name, content in theirs.items():
            (self.folder.path / name).write_bytes(content)
        return write_file(self, *arguments)

    monkeypatch.setattr(RunWriter, write, suspended)
    with pytest.raises(RunLost, match="another process has taken the run over, or its lock was removed; this"):
        train_run(run)
    assert left_by(run) == theirs


def test_every_write_of_a_run_holds_its_lock(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Except new rows of the curve, which go to the file that the run has begun, and its log."""
    run = config("trainer.checkpoint_iterations=1")
    unprotected: list[str] = []
    written: set[str] = set()
    hears = True

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal hears
        if not hears or event not in ("open", "os.rename", "os.remove", "os.truncate"):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        path = Path(os.fsdecode(arguments[0])) if not isinstance(arguments[0], int) else Path()
        if path.parent != run.folder.path or path.name in ("claim.json", "log.txt"):
            return
        hears = False
        written.add(path.name.lstrip(".").partition(".")[0].partition("-")[0])
        try:
            with file_lock(run.folder.path / "claim.json", seconds=0):
                unprotected.append(f"{event} {path.name}")
        except FileLocked:
            pass
        hears = True

    sys.addaudithook(hear)
    try:
        train_run(run)
    finally:
        hears = False  # a hook cannot be removed
    assert unprotected == []
    assert written >= {"config", "status", "curve", "checkpoint", "signals", "weights", "layer_responses", "result"}


def test_a_stop_after_the_last_step_loses_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is written, and then the signal is reported."""
    run = config()

    def stopped(self: RunWriter, result: Result, finish: Any = RunWriter.finish) -> None:
        sigterm()
        finish(self, result)

    monkeypatch.setattr(RunWriter, "finish", stopped)
    with pytest.raises(Interrupted) as interrupted:
        train_run(run)
    assert interrupted.value.signal == signal.SIGTERM
    assert run.folder.result() is not None
    assert run.folder.status() is None


@pytest.mark.parametrize("ending", ["the next checkpoint", "the result", "a failure", "a stop"])
def test_a_run_that_another_process_has_taken_over_writes_nothing_more(
    config: Config, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """The owner was suspended in the fourth iteration."""
    run = config("trainer.checkpoint_iterations=" + ("1" if ending == "the next checkpoint" else "3"))
    files: dict[str, bytes] = {}
    step = TrainingModule.training_step

    def suspended(self: TrainingModule, iteration: int) -> None:
        if iteration == 3:
            files.update(take_over(run))
            if ending == "a stop":
                sigterm()
            if ending == "a failure":
                raise RuntimeError("no space left")
        step(self, iteration)

    monkeypatch.setattr(TrainingModule, "training_step", suspended)
    with pytest.raises(RunLost, match=r"process 1 on .* has taken the run over; this process stops"):
        train_run(run)
    assert left_by(run) == files


def test_a_result_is_written_with_its_whole_curve_whatever_the_file_holds(
    config: Config, breaking: Callable[[Callable[[], object]], None], tmp_path: Path
) -> None:
    """The file was deleted, or replaced by a process that had owned the run, had been suspended and went on."""
    run, whole = config("schedule.log_every=1"), config("schedule.log_every=1", f"paths.results={tmp_path}/whole")
    train_run(whole)
    breaking(lambda: folder(run).curve.unlink())
    assert train_run(run).outcome == "finished"
    assert folder(run).curve.read_bytes() == folder(whole).curve.read_bytes()


def test_bf16_is_another_run_near_the_same_curve(config: Config) -> None:
    runs = [config(f"precision={precision}", "schedule.log_every=1") for precision in ("32-true", "bf16-mixed")]
    full, half = (train_run(run) for run in runs)
    assert full.key != half.key
    curves = [folder(run).curve.read_text() for run in runs]
    assert curves[0] != curves[1]
    first = [[float(line.split(",")[2]) for line in text.splitlines()[1:4]] for text in curves]
    assert first[0] == pytest.approx(first[1], rel=0.02)
    assert half.outcome == "finished"


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = config("trainer=gpu")
    with pytest.raises(UserError, match=r"trainer\.accelerator=gpu"):
        train_run(run)
    assert not folder(run).path.exists()
    assert train_run(config("trainer=auto", "trainer.threads=1")).provenance["machine"]["device"] == "cpu"


def test_the_log_tells_of_the_run(config: Config) -> None:
    """Also without logging set up, as in the processes of a sweep."""
    run = config()
    train_run(run)
    log = folder(run).log.read_text()
    assert run.key in log
    assert "6/6" in log


@pytest.mark.parametrize("seed", [2**31, 2**32 - 1])
def test_large_seeds_train(config: Config, seed: int) -> None:
    assert train_run(config(f"seed={seed}", "schedule.iterations=1")).seed == seed


def test_uncommitted_changes_of_the_code_are_kept_with_the_run(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = config()

    def dirty(*given: Any) -> dict[str, Any]:
        return provenance(*given) | {"dirty": True}

    monkeypatch.setattr(training_run, "provenance", dirty)
    monkeypatch.setattr(training_run, "uncommitted_changes", lambda: "+ a line\n")
    train_run(changed)
    assert changed.folder.changes.read_text() == "+ a line\n"
    monkeypatch.setattr(training_run, "provenance", lambda *given: dirty(*given) | {"dirty": False})
    changed.folder.result_file.unlink()
    train_run(changed)
    assert not changed.folder.changes.exists()


def test_a_high_error_is_a_value(config: Config) -> None:
    """Only a loss that is no number is an outcome of its own; the paper's "fail" is an error above 20 %."""
    result = train_run(config())
    assert result is not None
    assert result.outcome == "finished"
    assert result.test_error > 20


def test_the_files_of_a_group_follow_the_umask(config: Config, tmp_path: Path) -> None:
    """Every member of the group can go on with a run in a folder whose files belong to the group (setgid)."""
    run = config("logger=csv")
    results = tmp_path / "results"
    results.mkdir()
    results.chmod(0o2775)
    before = os.umask(0o002)
    try:
        train_run(run)
    finally:
        os.umask(before)
    modes = {path.relative_to(results): path.stat().st_mode & 0o7777 for path in results.rglob("*")}
    assert {path.name for path in modes} >= {"result.json", "config.yaml", "curve.csv", "log.txt"}
    wrong = {path for path, mode in modes.items() if mode != (0o2775 if (results / path).is_dir() else 0o664)}
    assert wrong == set()
