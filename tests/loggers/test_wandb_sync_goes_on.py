"""`make wandb-sync` beside others: one run that is not taken, or is being sent, keeps no other back."""

import fcntl
from pathlib import Path

import pytest

from resnet_ablations.errors import UserError
from resnet_ablations.loggers import wandb_uploads
from resnet_ablations.results.run_folder import RunFolder


def test_a_run_that_fails_and_one_that_is_being_sent_keep_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused, under_way, good = (RunFolder(tmp_path, name) for name in ("refused", "under_way", "good"))
    for folder in (refused, under_way, good):
        (folder.path / "wandb").mkdir(parents=True)
        (folder.path / "wandb" / "lock").touch()

    def uploaded(server: object, folder: RunFolder) -> str:
        if folder is refused:
            raise UserError(f"{folder.key}: wandb has another run of this name")
        return "finished, uploaded"

    monkeypatch.setattr(wandb_uploads, "_Server", object)
    monkeypatch.setattr(wandb_uploads, "_uploaded", uploaded)
    monkeypatch.setenv("WANDB_MODE", "offline")
    with (under_way.path / "wandb" / "lock").open("wb") as mirror:
        fcntl.flock(mirror, fcntl.LOCK_EX)
        with pytest.raises(UserError) as failed:
            wandb_uploads.upload([refused, under_way, good])

    assert failed.value.messages == (
        "refused: wandb has another run of this name",
        "under_way: it is being sent by another process; try again when that has ended",
    )
    said = capsys.readouterr().out
    assert "[1/3] refused: not sent" in said
    assert "[2/3] under_way: not sent" in said
    assert "[3/3] good: finished, uploaded" in said
