"""The folder of a run: its result counts if it is there and valid."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from finished import TINY, finish, owned_by_another, write_checkpoint, writing

from resnet_ablations.errors import UserError
from resnet_ablations.results.curve import HEADER
from resnet_ablations.results.run_folder import Result, RunFolder, Status
from resnet_ablations.results.states import state_of

KEY = "resnet8-identity-digits-1a2b3c4d-s3"
VALUES: dict[str, Any] = {
    "key": KEY,
    "configuration": KEY.removesuffix("-s3"),
    "seed": 3,
    "outcome": "finished",
    "iterations": 6,
    "train_loss": 0.1 + 0.2,
    "train_error": 12.5,
    "test_loss": 1 / 3,
    "test_error": 14.0,
    "parameters": 75_002,
    "seconds": 1.25,
    "images_per_second": 1500.0,
    "provenance": {"commit": None, "versions": {"torch": "2"}},
}
LOSSES = ("train_loss", "train_error", "test_loss", "test_error")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path, KEY)
    run.freeze(TINY)
    return run


def result_path(folder: RunFolder) -> Path:
    return folder.path / "result.json"


def test_a_result_comes_back_to_the_last_digit(folder: RunFolder) -> None:
    result = Result.model_validate(VALUES)
    finish(folder, result)
    assert folder.result() == result
    assert result_path(folder) == folder.path.parent.parent / "runs" / KEY / "result.json"


def test_a_diverged_result_has_nulls(folder: RunFolder) -> None:
    result = Result.model_validate(VALUES | {"outcome": "diverged"} | dict.fromkeys(LOSSES))
    finish(folder, result)
    assert json.loads(result_path(folder).read_text())["test_error"] is None
    assert folder.result() == result


def test_no_folder_no_result(tmp_path: Path) -> None:
    assert RunFolder(tmp_path, KEY).result() is None
    assert RunFolder(tmp_path, KEY).status() is None
    assert list(tmp_path.iterdir()) == [], "asking makes nothing"


WHOLE = json.dumps(VALUES)


@pytest.mark.parametrize(
    "content",
    [
        "",
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:-1],
        "null",
        "[]",
        "\x00" * 100,
        json.dumps(VALUES | {"outcome": "running"}),
        json.dumps({name: value for name, value in VALUES.items() if name != "seed"}),
        json.dumps(VALUES | {"iterations": "many"}),
    ],
)
def test_a_torn_or_invalid_result_is_none(folder: RunFolder, content: str) -> None:
    result_path(folder).write_text(content)
    assert folder.result() is None


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to(path.name)], ids=["folder", "loop"])
@pytest.mark.parametrize("name", ["result.json", "curve.csv"])
def test_a_folder_or_a_loop_in_place_of_a_file_is_damage(
    folder: RunFolder, name: str, make: Callable[[Path], None]
) -> None:
    finish(folder, Result.model_validate(VALUES))
    (folder.path / name).unlink()
    make(folder.path / name)
    assert folder.result() is None
    assert name in folder.damage()
    assert state_of(folder).outcome == "damaged"


def test_a_result_that_may_not_be_read_is_one_line(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be sound, so it does not count as damaged."""
    finish(folder, Result.model_validate(VALUES))
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(UserError, match=r"result.json: cannot be read: Permission denied"):
        folder.result()


def test_a_field_of_a_later_version_is_no_damage(folder: RunFolder) -> None:
    finish(folder, Result.model_validate(VALUES))
    result_path(folder).write_text(json.dumps(VALUES | {"more": 1}))
    assert folder.result() == Result.model_validate(VALUES)


def test_training_again_sets_a_damaged_result_aside_and_keeps_a_whole_one(folder: RunFolder) -> None:
    result_path(folder).write_text(WHOLE[:50])
    folder.log.write_text("of an earlier attempt")
    with writing(folder) as writer:
        writer.start(TINY)
    assert (folder.path / "result.json.damaged").read_text() == WHOLE[:50]
    assert not result_path(folder).exists()
    finish(folder, Result.model_validate(VALUES))
    with writing(folder) as writer:
        writer.start(TINY)
    assert folder.result() is not None


LINE = "6,0.1,0.3,12.5,0.333333,14\n"
ROWS = "2,0.1,0.9,30,,\n4,0.1,0.7,20,,\n" + LINE


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (None, "curve.csv is missing"),
        ("", "curve.csv is damaged: it has no row"),
        (ROWS[: -len(LINE)], "its last row is of iteration 4"),
        (ROWS[:-1], "last line is incomplete"),
        (ROWS.replace("4,0.1,0.7,20,,\n", ""), "the row after iteration 2 is of iteration 6, not of 4"),
        (ROWS.replace("2,0.1,0.9,30,,\n", ""), "the row after iteration 0 is of iteration 4, not of 2"),
        (LINE, "the row after iteration 0 is of iteration 6, not of 2"),
        (ROWS.replace("4,0.1", "2,0.1"), "the row after iteration 2 is of iteration 2, not of 4"),
        (ROWS.replace("4,0.1", "5,0.1"), "the row after iteration 2 is of iteration 5, not of 4"),
        (ROWS.replace("0.7,20", "\0\0"), "damaged"),
        (ROWS + "8,0.1,0.4,9,,\n", "its last row is of iteration 8"),
        (ROWS.replace(",14\n", ",15\n"), "of another training"),
        (ROWS.replace("0.3,12.5", "0.4,12.5"), "of another training"),
        (ROWS.replace("0.3,12.5", "0.3,13"), "of another training"),
        (ROWS.replace("0.333333", "0.4"), "of another training"),
    ],
)
def test_a_result_without_its_whole_curve_does_not_count_and_is_not_written(
    folder: RunFolder, rows: str | None, told: str
) -> None:
    with writing(folder) as writer:
        writer.write_curve(HEADER + ROWS)
        writer.finish(Result.model_validate(VALUES))
    assert folder.damage() == ""
    assert state_of(folder).outcome == "finished"

    folder.curve.unlink()
    if rows is not None:
        folder.curve.write_text(HEADER + rows)
    assert folder.result() is None
    assert told in folder.damage()
    state = state_of(folder)
    assert (state.outcome, state.done, state.reason) == ("damaged", False, folder.damage())
    with writing(folder) as writer:
        writer.start(TINY)
        assert (folder.path / "result.json.damaged").exists()
        assert state_of(folder).outcome == "missing"
        with pytest.raises(ValueError, match=told):
            writer.finish(Result.model_validate(VALUES))
    assert not result_path(folder).exists()


def test_a_divergence_that_ends_with_finite_losses_does_not_count(folder: RunFolder) -> None:
    finish(folder, Result.model_validate(VALUES | {"outcome": "diverged", "iterations": 4} | dict.fromkeys(LOSSES)))
    assert folder.damage() == ""
    folder.curve.write_text(folder.curve.read_text().replace("nan", "0.5"))
    assert "of another training" in folder.damage()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "config.yaml is missing"),
        ("[", "config.yaml is no YAML: "),
        ("- a", "config.yaml is not the configuration of a run"),
        ("data: 1", "config.yaml is not the configuration of a run"),
        ("data: {}", "config.yaml: schedule: "),
        ("data: {}\nschedule: {iterations: 6, log_every: 0, evaluate_every: 6}", "config.yaml: schedule: log_every: "),
        (
            "data: {}\nschedule: {iterations: 9, log_every: 2, evaluate_every: 6}",
            "it ends after iteration 6, the schedule after 9",
        ),
    ],
)
def test_a_result_without_its_configuration_does_not_count(folder: RunFolder, text: str | None, told: str) -> None:
    """The report and `load_network` need the configuration, so it is damage for the sweep too."""
    finish(folder, Result.model_validate(VALUES))
    folder.config.unlink()
    if text is not None:
        folder.config.write_text(text)
    assert folder.result() is None
    assert told in folder.damage()
    assert state_of(folder).outcome == "damaged"


def test_the_result_of_another_run_is_none(folder: RunFolder) -> None:
    """A folder that was copied or renamed by hand."""
    result_path(folder).write_text(json.dumps(VALUES | {"key": KEY.replace("-s3", "-s4"), "seed": 4}))
    assert folder.result() is None


def test_the_result_is_written_last(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash while it is written leaves a run that is not done and still says so."""
    finish(folder, Result.model_validate(VALUES))
    folder.result_file.unlink()
    folder.set_status(Status(outcome="running", iteration=5, iterations=6))

    def crash(*_: object) -> None:
        raise OSError("no space left")

    with writing(folder) as writer, monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(OSError, match="no space"):
            writer.finish(Result.model_validate(VALUES))
    assert folder.result() is None
    status = folder.status()
    assert status is not None
    assert status.iteration == 5
    assert {path.name for path in folder.path.iterdir()} == {"config.yaml", "curve.csv", "status.json"}
    finish(folder, Result.model_validate(VALUES))
    assert folder.status() is None
    assert {path.name for path in folder.path.iterdir()} == {"config.yaml", "curve.csv", "result.json"}


def test_two_writers_of_a_status_do_not_share_a_temporary_file(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes between the first one's write and its rename."""
    names, write = [], Path.write_text

    def interrupted(path: Path, *arguments: Any, **keywords: Any) -> int:
        names.append(path.name)
        written = write(path, *arguments, **keywords)
        if len(names) == 1:
            folder.set_status(Status(outcome="running", iteration=2, iterations=6))
        return written

    monkeypatch.setattr(Path, "write_text", interrupted)
    folder.set_status(Status(outcome="running", iteration=1, iterations=6))
    status = folder.status()
    assert status is not None
    assert status.iteration == 1
    assert len(set(names)) == 2
    assert {path.name for path in folder.path.iterdir()} == {"config.yaml", "status.json"}


def test_a_torn_status_is_none(folder: RunFolder) -> None:
    folder.set_status(Status(outcome="running", iteration=5, iterations=6))
    path = folder.path / "status.json"
    path.write_text(path.read_text()[:20])
    assert folder.status() is None


def test_on_a_full_disk_a_status_is_written_over_the_one_before(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = Status(outcome="running", iteration=5, iterations=6, reason="x" * 300)
    folder.set_status(long)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    folder.set_status(Status(outcome="failed", iteration=5, iterations=6))
    status = folder.status()
    assert status is not None
    assert status.outcome == "failed"
    assert {path.name for path in folder.path.iterdir()} == {"config.yaml", "status.json"}


def test_a_full_disk_without_a_status_is_an_error(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        folder.set_status(Status(outcome="running", iteration=0, iterations=6))


def test_a_run_that_starts_again_removes_its_earlier_responses(folder: RunFolder) -> None:
    with writing(folder) as writer:
        writer.write_responses([("stem", 1.0)])
        assert folder.responses.exists()
        writer.start(TINY)
    assert not folder.responses.exists()


def test_temporary_files_of_a_locked_run_are_kept(folder: RunFolder) -> None:
    """Two sweeps started at the same moment: the second may have looked before the first had its lock."""
    half_written = folder.path / ".checkpoint-00000002-0123.pt.0a1b2c3d"
    half_written.write_bytes(b"half")
    configuration = folder.config.read_text()
    with owned_by_another(folder):
        folder.freeze(TINY | {"seed": 4})
        assert half_written.exists()
        assert folder.config.read_text() == configuration
    folder.freeze(TINY | {"seed": 4})
    assert not half_written.exists()
    assert folder.config.read_text() != configuration


def test_a_file_that_is_only_named_like_a_checkpoint_is_none(folder: RunFolder) -> None:
    (folder.path / "checkpoint-best.pt").touch()
    assert (folder.checkpoints(), folder.resumable_from()) == ([], None)
    write_checkpoint(folder, 4)
    assert folder.resumable_from() == 4
    folder.clear()
    assert (folder.path / "checkpoint-best.pt").exists()


def test_a_run_whose_result_may_not_be_read_has_failed(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that cannot be read hides no other run."""
    finish(folder, Result.model_validate(VALUES))
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    state = state_of(folder)
    assert state.outcome == "failed"
    assert "result.json: cannot be read: Permission denied" in state.reason
