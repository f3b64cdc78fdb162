"""logger=wandb with a listening server: one run here is one run there, however often it is started."""

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_wandb import FakeWandb
from observing import wait_until
from trained import STEPS, crashed, forked, happening_at, interrupted, points, processes_of

from resnet_ablations.config import RunConfig
from resnet_ablations.training.run import train_run

# Groups come first: a process forked after a backward pass on another device than the CPU (meta) cannot train.
pytestmark = pytest.mark.xdist_group("forks")

Config = Callable[..., RunConfig]


def test_a_run_that_is_interrupted_and_goes_on_has_each_point_once(
    config: Config, monkeypatch: pytest.MonkeyPatch, server: FakeWandb
) -> None:
    run = config("logger=wandb", *STEPS)
    interrupted(monkeypatch, run, 3)
    there = server.runs[run.key]
    assert [point["iteration"] for point in there.points] == [1, 2, 3, 4]
    assert (there.exit_codes, there.summary["outcome"]) == ([255], "interrupted")
    crashed(monkeypatch, run, 5)
    assert (there.exit_codes, there.summary["reason"]) == ([255, 1], "RuntimeError: out of memory")
    result = train_run(run)
    assert set(server.runs) == {run.key}
    assert there.points == points(run.folder)
    assert [row["_step"] for row in there.history] == [1, 2, 3, 4, 5, 6, 7]
    assert (there.exit_codes, there.summary["outcome"], there.summary["reason"]) == ([255, 1, 0], "finished", "")
    assert there.summary["test_error"] == result.test_error
    assert any(name.startswith("media/images/error_curve") for name in there.files)


def test_a_run_that_is_killed_is_marked_failed_by_its_mirror_which_then_ends(
    config: Config, monkeypatch: pytest.MonkeyPatch, server: FakeWandb
) -> None:
    """wandb has all rows that the run had written before it ended."""
    run = config("logger=wandb", *STEPS)

    def killed() -> None:
        wait_until(lambda: processes_of(run.folder.path))
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patched:
        happening_at(patched, 4, killed)
        (process,) = forked(run)
        process.join()
    assert process.exitcode == -signal.SIGKILL
    wait_until(lambda: run.key in server.runs and server.runs[run.key].exit_codes)
    there = server.runs[run.key]
    assert there.exit_codes == [1]
    assert (there.summary["outcome"], there.summary["reason"]) == (
        "failed",
        "its process was killed",
    )
    assert [point["iteration"] for point in there.points] == [1, 2, 3, 4]
    wait_until(lambda: not processes_of(run.folder.path))
    train_run(run)
    assert there.points == points(run.folder)
    assert there.exit_codes == [1, 0]


def test_parallel_runs_are_as_many_runs_each_with_its_own_points(config: Config, server: FakeWandb) -> None:
    sweep = ("logger=wandb", "logger.group=shortcuts", "logger.job_type=quick", *STEPS)
    runs = [config(*sweep, f"shortcut={shortcut}") for shortcut in ("identity", "dropout")]
    for process in forked(*runs):
        process.join()
    assert set(server.runs) == {run.key for run in runs}
    for run in runs:
        there = server.runs[run.key]
        assert there.points == points(run.folder)
        assert (there.said("groupName"), there.said("jobType")) == ("shortcuts", "quick")
        assert there.said("tags") == ["resnet8", run.key.split("-")[1], "original", "digits"]
        assert there.summary["weights"] == getattr(run.folder.result(), "weights", None)
    assert len({str(there.points) for there in server.runs.values()}) == 2


def test_another_run_of_the_same_name_there_is_not_mixed_with_this_one(
    config: Config, server: FakeWandb, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the numbers are equal, nothing is sent twice; if they differ, nothing is sent."""
    first, again, elsewhere = (config("logger=wandb", *STEPS, f"paths.results={tmp_path}/{place}") for place in "abc")
    train_run(first)
    there = server.runs[first.key]
    history = list(there.history)
    train_run(again)
    assert there.history == history
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    there.summary["train_loss"] *= 1.001
    train_run(elsewhere)
    assert there.history == history
    (warning,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert "wandb has another run of this name" in warning
    assert there.exit_codes[-1] == 0, "it stays as it was"
