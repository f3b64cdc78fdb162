"""`signals.csv`: what a run records of its units, and that recording changes nothing else."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from comparing import check_alike
from signalled import stopped_at

import resnet_ablations as ra
from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.probe.signals import unit_signals
from resnet_ablations.results.signals import lines
from resnet_ablations.settings import ScheduleSettings
from resnet_ablations.training.compute import in_memory_format
from resnet_ablations.training.run import load_batches, train_run

Config = Callable[..., RunConfig]
SHORT = ("bn_batch=16", "schedule.batch_size=32")


def test_the_start_and_each_evaluation_have_a_row_for_each_unit(config: Config, tmp_path: Path) -> None:
    run = config("shortcut=exclusive_gating", *SHORT)
    train_run(run)
    signals = ra.load_signals(tmp_path / "results")
    assert list(signals[["iteration", "unit"]].itertuples(index=False, name=None)) == [
        (iteration, unit) for iteration in (0, 4, 6) for unit in (1, 2, 3, 4)
    ]
    assert set(signals["key"]) == {run.key}
    ends = signals[signals["unit"] == 4]
    assert ends[["signal", "gradient", "direct"]].notna().all(axis=None)
    assert ends[["residual", "negative", "scale", "gate_mean", "gate_open", "gate_bias"]].isna().all(axis=None)
    first = signals[signals["iteration"] == 0]
    assert first["gate_bias"].dropna().eq(-6).all()
    assert not first["signal"].equals(signals[signals["iteration"] == 6]["signal"])


def test_the_first_rows_are_those_of_the_first_micro_batch(config: Config) -> None:
    run = config("shortcut=dropout", "shortcut.inverted=true", "activation=full_preactivation", *SHORT)
    train_run(run)
    network = in_memory_format(build_network(run), channels_last=True)
    images, labels = load_batches(run).train(0, 0, 2)
    assert len(images) == 16
    expected = pd.DataFrame([line.split(",") for line in lines(0, unit_signals(network, images, labels)).splitlines()])
    recorded = pd.DataFrame([line.split(",") for line in run.folder.signals.read_text().splitlines()[1:5]])
    # The masks of a run are not drawn here: only what the first unit gets does not depend on them.
    assert recorded.iloc[0, :3].equals(expected.iloc[0, :3])
    assert recorded.iloc[0, 5] == expected.iloc[0, 5]


def test_signals_do_not_depend_on_the_micro_batches_of_a_pass(config: Config, tmp_path: Path) -> None:
    """The first micro-batch is measured, with its own statistics and masks, however the iteration is computed."""
    settings = ("shortcut=dropout", *SHORT)
    runs = config(*settings), config(*settings, "trainer.micro_batches_per_pass=2", f"paths.results={tmp_path}/other")
    assert runs[0].key == runs[1].key
    for run in runs:
        train_run(run)
    check_alike(tmp_path / "results", tmp_path / "other")


SAME = (
    ("shortcut=dropout", *SHORT),
    ("precision=bf16-mixed", "shortcut=shortcut_only_gating", *SHORT),
    ("bn_statistics=averaged", "activation=bn_after_addition", *SHORT),
    ("activation=full_preactivation", "network.dimension_change=projection", "shortcut=stochastic_depth"),
)


@pytest.mark.parametrize("overrides", SAME, ids=[row[0] for row in SAME])
def test_recording_changes_nothing_else(config: Config, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    with_signals = config(*overrides)
    without = config(*overrides, "trainer.signals=false", f"paths.results={tmp_path}/other")
    first, second = train_run(with_signals), train_run(without)
    assert first is not None
    assert second is not None
    assert (first.key, first.weights, first.metrics) == (second.key, second.weights, second.metrics)
    for name in ("curve", "responses"):
        assert getattr(with_signals.folder, name).read_bytes() == getattr(without.folder, name).read_bytes()
    assert with_signals.folder.signals.exists()
    assert not without.folder.signals.exists()


def test_recomputation_excludes_signals(config: Config) -> None:
    """A recomputed unit would call the hooks twice, and keeping its tensors needs the memory that it saves."""
    run = config("trainer.recompute=true")
    train_run(run)
    assert not run.folder.signals.exists()


def test_a_run_that_diverges_after_a_resume_keeps_its_rows(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    run = config("schedule.milestones=[]")
    stopped_at(monkeypatch, run, 2)
    before = run.folder.signals.read_text()
    monkeypatch.setattr(ScheduleSettings, "learning_rate_at", lambda self, iteration, **_: 1e30)
    result = train_run(run)
    assert result is not None
    assert result.outcome == "diverged"
    assert run.folder.signals.read_text() == before
    assert set(ra.load_signals(run.paths.results)["iteration"]) == {0}


def test_a_diverged_run_has_its_start(config: Config, tmp_path: Path) -> None:
    result = train_run(config("schedule.learning_rate=1e30", "schedule.warmup_learning_rate=1e30"))
    assert result is not None
    assert result.outcome == "diverged"
    assert set(ra.load_signals(tmp_path / "results")["iteration"]) == {0}
