"""Resumed equals uninterrupted, bit for bit; a damaged checkpoint costs the steps since the one before."""

import hashlib
import io
import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from observing import numbers
from signalled import stopped_at

from resnet_ablations.config import RunConfig
from resnet_ablations.results.frames import load_results
from resnet_ablations.results.provenance import attempts, provenance, same_code
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.training import callbacks
from resnet_ablations.training import run as training_run
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.run import train_run
from resnet_ablations.training.stopping import Interrupted

Config = Callable[..., RunConfig]

# Ten steps of two micro-batches, the learning rate changing at 2 and 4, a row of the curve every three.
RUN = (
    "shortcut=dropout",
    "schedule.iterations=10",
    "schedule.batch_size=32",
    "bn_batch=16",
    "schedule.log_every=3",
    "schedule.evaluate_every=6",
    "trainer.checkpoint_iterations=2",
)


def folder(run: RunConfig) -> RunFolder:
    return RunFolder(run.paths.results, run.key)


FILES = ("data=imagenet", "data.root={photos}", "data.classes=3", "data.crop=16")
"""Images that are decoded during training."""
WARM_UP = ("schedule.warmup_iterations=10", "schedule.warmup_until_error=100")
"""A warm-up that the first row of the curve ends."""


@pytest.mark.parametrize(
    "overrides",
    [(), ("precision=bf16-mixed",), FILES, WARM_UP, ("bn_statistics=averaged",)],
    ids=str,
)
def test_resumed_equals_uninterrupted(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photos: Path, overrides: tuple[str, ...]
) -> None:
    straight = config(*RUN, *(override.format(photos=photos) for override in overrides))
    run = straight.model_copy(update={"paths": straight.paths.model_copy(update={"results": str(tmp_path / "b")})})
    expected = train_run(straight)

    # At 6 and 7 in the middle of step 4: once in its first, once in its second micro-batch.
    for micro_batch in (6, 11, 12):
        stopped_at(monkeypatch, run, micro_batch)
        assert folder(run).resumable_from() == micro_batch // 2 + 1
    result = train_run(run)

    assert numbers(result) == numbers(expected)
    assert result.weights is not None
    for name in ("curve", "responses", "weights", "signals"):
        assert getattr(folder(run), name).read_bytes() == getattr(folder(straight), name).read_bytes()
    assert {path.name for path in folder(run).path.iterdir()} == {path.name for path in folder(straight).path.iterdir()}


def test_a_signal_just_before_the_first_step_stops_after_it(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning handles SIGTERM at that time, and would stop after half a step, without a checkpoint."""
    begin = TrainingModule.on_train_start

    def signalled(module: TrainingModule) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        begin(module)

    monkeypatch.setattr(TrainingModule, "on_train_start", signalled)
    with pytest.raises(Interrupted):
        train_run(run := config(*RUN))
    assert folder(run).resumable_from() == 1


def test_a_killed_process_leaves_a_curve_that_is_cut_back_to_its_checkpoint(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    straight = config(*RUN)
    run = straight.model_copy(update={"paths": straight.paths.model_copy(update={"results": str(tmp_path / "b")})})
    expected = train_run(straight)
    stopped_at(monkeypatch, run, 7)
    with folder(run).curve.open("a") as curve:
        curve.write("6,0.1,1.0,50.0,,\n6,0.1,1.0,50.0,,\n9,0.01,0.")
    (folder(run).path / ".result.json.0a1b2c3d").write_bytes(b"half")

    assert numbers(train_run(run)) == numbers(expected)
    assert folder(run).curve.read_bytes() == folder(straight).curve.read_bytes()
    assert not list(folder(run).path.glob(".*"))


def test_the_provenance_of_a_resumed_run_is_that_of_every_attempt(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Three attempts: of other code with changes, of that code without them on another machine, and of today's code."""
    run = config(*RUN)
    today = provenance("cpu", 1, {})
    dirty = {"commit": "a" * 40, "dirty": True, "source": "1" * 64}
    clean = {"commit": "b" * 40, "dirty": False, "machine": {"device": "H100"}, "source": "1" * 64}
    unchanged = {"commit": "c" * 40, "dirty": False}
    monkeypatch.setattr(training_run, "uncommitted_changes", lambda: "+ a line\n")
    for number, (attempt, stop) in enumerate([(dirty, 7), (clean, 11), (unchanged, None)]):
        monkeypatch.setattr(training_run, "provenance", lambda *_, attempt=attempt: today | attempt)
        caplog.clear()
        if stop is not None:
            stopped_at(monkeypatch, run, stop)
        else:
            result = train_run(run)
        assert len([record for record in caplog.records if record.levelname == "WARNING"]) == (number == 2)
    assert "goes on from step 6 with other code than before (before: source 11111111, commit bbbbbbb" in caplog.text

    assert result is not None
    known = [(a["from_iteration"], a["commit"], a["machine"]["device"]) for a in attempts(result.provenance)]
    assert known == [(0, "a" * 40, "cpu"), (4, "b" * 40, "H100"), (6, "c" * 40, "cpu")]
    assert run.folder.changes.read_text() == "+ a line\nFrom iteration 4 on:\nno uncommitted changes\n"
    (row,) = load_results(run.paths.results).to_dict("records")
    assert row["commit"] == "; ".join(letter * 40 for letter in "abc")
    assert (row["dirty"], row["machine"].split("; ")[1]) == (True, "H100")
    assert same_code(result.provenance) is False
    assert same_code({**result.provenance, "earlier_attempts": []}) is True


def test_a_checkpoint_of_an_earlier_version_names_no_attempts(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    save = callbacks.save_checkpoint
    monkeypatch.setattr(callbacks, "save_checkpoint", lambda to, state: save(to, replace(state, attempts=[])))
    stopped_at(monkeypatch, run := config(*RUN), 7)
    result = train_run(run)
    assert result is not None
    assert attempts(result.provenance)[0] == {"commit": None, "dirty": None, "from_iteration": 0}
    assert same_code(result.provenance) is None


def test_the_two_newest_checkpoints_are_kept_until_the_run_is_finished(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = config(*RUN)
    stopped_at(monkeypatch, run, 13)

    kept = sorted(path.name for path in folder(run).path.glob("checkpoint*"))
    assert [name.split("-")[1] for name in kept] == ["00000006", "00000007"]
    train_run(run)
    assert not list(folder(run).path.glob("checkpoint*"))


def newest(run: RunConfig) -> Path:
    return max(folder(run).path.glob("checkpoint-*.pt"))


def renamed(path: Path, content: bytes) -> None:
    """Write other content under a name with its correct digest."""
    path.unlink()
    start = path.name.rpartition("-")[0]
    path.with_name(f"{start}-{hashlib.sha256(content).hexdigest()[:16]}.pt").write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def bit_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def another_runs(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    buffer = io.BytesIO()
    torch.save(state | {"key": "resnet20-identity-digits-00000000-s0"}, buffer)
    renamed(path, buffer.getvalue())


class Malicious:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, ("executed",)


def malicious(path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"key": Malicious()}, buffer)
    renamed(path, buffer.getvalue())


def malicious_pickle(path: Path) -> None:
    renamed(path, pickle.dumps(Malicious()))


@pytest.mark.parametrize(
    "damage", [truncated, emptied, bit_flipped, another_runs, malicious, malicious_pickle], ids=lambda d: d.__name__
)
def test_a_damaged_checkpoint_is_set_aside_and_the_older_one_used(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    straight = config(*RUN)
    run = straight.model_copy(update={"paths": straight.paths.model_copy(update={"results": str(tmp_path / "b")})})
    expected = train_run(straight)
    stopped_at(monkeypatch, run, 13)
    monkeypatch.chdir(tmp_path)
    damage(newest(run))

    result = train_run(run)

    assert numbers(result) == numbers(expected)
    assert not (tmp_path / "executed").exists()
    assert len(list(folder(run).path.glob("checkpoint-00000007-*.damaged"))) == 1
    log = folder(run).log.read_text()
    assert "not used" in log
    assert "from step 6" in log


def test_without_a_sound_checkpoint_a_run_starts_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    run = config(*RUN)
    stopped_at(monkeypatch, run, 13)
    for path in folder(run).path.glob("checkpoint*"):
        emptied(path)

    assert train_run(run).outcome == "finished"
    assert folder(run).log.read_text().count("from step 0") == 2


@pytest.mark.parametrize(("minutes", "expected"), [("1e-9", [1, 2, 3, 4, 5]), ("10", [])])
def test_checkpoints_come_by_the_clock_too(
    config: Config, monkeypatch: pytest.MonkeyPatch, minutes: str, expected: list[int]
) -> None:
    run = config(f"trainer.checkpoint_minutes={minutes}")
    written: list[int] = []
    monkeypatch.setattr(RunWriter, "write_checkpoint", lambda self, iteration, content: written.append(iteration))

    train_run(run)

    assert written == expected, "at the end there is a result"
