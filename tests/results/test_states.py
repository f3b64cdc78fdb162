"""The state of a run, read from its folder while others write to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finished import TINY, finish, writing

from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.run_folder import Result, RunFolder, Status
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.results.states import State, state_of

KEY = "resnet8-identity-digits-1a2b3c4d-s3"
RESULT: dict[str, Any] = {
    "key": KEY,
    "configuration": KEY.removesuffix("-s3"),
    "seed": 3,
    "iterations": 6,
    "parameters": 1,
    "seconds": 1.0,
    "images_per_second": 1500.0,
    "provenance": {},
}
ERRORS = {"train_loss": 0.5, "train_error": 12.5, "test_loss": 0.7, "test_error": 14.0}
RUNNING = Status(outcome="running", iteration=4, iterations=6, images_per_second=99.0, seconds_left=2.0)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path, KEY)
    run.freeze(TINY)
    return run


@pytest.fixture
def owned(folder: RunFolder) -> Iterator[RunWriter]:
    with writing(folder) as writer:
        yield writer


def test_a_run_without_a_folder_is_missing(tmp_path: Path) -> None:
    assert state_of(RunFolder(tmp_path, KEY)) == State("missing")


def test_a_configuration_alone_is_missing_too(folder: RunFolder) -> None:
    assert state_of(folder) == State("missing")


def test_a_result_wins_over_a_status(folder: RunFolder) -> None:
    finish(folder, Result.model_validate(RESULT | ERRORS | {"outcome": "finished"}))
    with writing(folder) as writer:
        writer.set_status(RUNNING)
        state = state_of(folder)
    assert (state.outcome, state.done, state.iteration, state.test_error) == ("finished", True, 6, 14.0)


def test_a_divergence_is_done(folder: RunFolder) -> None:
    finish(folder, Result.model_validate(RESULT | dict.fromkeys(ERRORS) | {"outcome": "diverged"}))
    state = state_of(folder)
    assert (state.outcome, state.done, state.test_error) == ("diverged", True, None)


def test_a_run_with_a_live_owner_is_running(owned: RunWriter) -> None:
    owned.set_status(RUNNING)
    owned.write_checkpoint(3, b"weights")
    state = state_of(owned.folder)
    assert (state.outcome, state.killed, state.iteration, state.resumable_from) == ("running", False, 4, 3)
    assert (state.images_per_second, state.seconds_left) == (99.0, 2.0)


def test_a_running_status_without_an_owner_means_killed(folder: RunFolder) -> None:
    folder.set_status(RUNNING)
    state = state_of(folder)
    assert (state.outcome, state.killed, state.seconds_left) == ("failed", True, None)


@pytest.mark.parametrize("outcome", ["failed", "interrupted"])
def test_a_run_with_its_own_outcome_is_not_killed(folder: RunFolder, outcome: str) -> None:
    folder.set_status(RUNNING.model_copy(update={"outcome": outcome, "reason": "its own"}))
    state = state_of(folder)
    assert (state.outcome, state.killed, state.reason) == (outcome, False, "its own")


def test_a_status_of_an_earlier_version_is_read(folder: RunFolder) -> None:
    (folder.path / "status.json").write_text('{"outcome": "failed", "iteration": 4, "iterations": 6, "died": true}')
    assert state_of(folder).killed


@pytest.mark.parametrize(
    ("said", "queue", "outcome", "killed"),
    [
        ("queued", ["7_1"], "queued", False),
        ("queued", [], "interrupted", False),
        ("queued", None, "queued", False),
        ("interrupted", ["7_1"], "queued", False),  # its time was up: the same job goes on with it
        ("interrupted", ["7_2"], "interrupted", False),
        ("running", ["7_1"], "queued", False),  # its node was lost, the job was put back
        ("running", [], "failed", True),
        ("failed", ["7_1"], "failed", False),
    ],
)
def test_the_state_of_a_slurm_run(
    folder: RunFolder, said: str, queue: list[str] | None, outcome: str, killed: bool
) -> None:
    folder.set_status(RUNNING.model_copy(update={"outcome": said, "job": "7_1"}))
    state = state_of(folder, queue)
    assert (state.outcome, state.killed, state.job) == (outcome, killed, "7_1")


def test_a_run_that_ends_while_it_is_looked_at_is_not_dead(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a look at its status and one at its owner it says that it is interrupted, and goes."""
    folder.set_status(RUNNING)
    owner = RunLock.owner

    def ends(self: RunLock, jobs: object = None) -> object:
        monkeypatch.setattr(RunLock, "owner", owner)
        folder.set_status(RUNNING.model_copy(update={"outcome": "interrupted"}))
        return None

    monkeypatch.setattr(RunLock, "owner", ends)
    assert state_of(folder).outcome == "interrupted"
