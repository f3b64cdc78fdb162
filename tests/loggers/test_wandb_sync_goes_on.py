"""`make wandb-sync`: a refused run, or one that another process is sending, does not stop the others."""

import fcntl
import subprocess
from collections.abc import Callable
from pathlib import Path

from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.wandb_sync import _mirrored

SENDS_ALL_BUT_ONE = """
from resnet_ablations.errors import UserError, exit_on_user_error
from resnet_ablations.loggers import wandb_uploads
from resnet_ablations.results.run_folder import RunFolder

def upload_run(server, folder):
    if folder.key == "refused":
        raise UserError("refused: wandb has another run of this name")
    return "finished, uploaded"

wandb_uploads._Server, wandb_uploads._upload_run = object, upload_run
with exit_on_user_error():
    wandb_uploads.upload([RunFolder("results", name) for name in ("refused", "under_way", "good")])
"""


def test_a_refused_run_and_a_locked_run_do_not_stop_the_other_uploads(
    python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    locks = [tmp_path / "results" / "runs" / name / "wandb" / "lock" for name in ("refused", "under_way", "good")]
    for lock in locks:
        lock.parent.mkdir(parents=True)
        lock.touch()
    with locks[1].open("wb") as mirror:
        fcntl.flock(mirror, fcntl.LOCK_EX)
        ended = python("-c", SENDS_ALL_BUT_ONE, cwd=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "error: refused: wandb has another run of this name",
        "error: under_way: another process is sending this run; try again when that process has ended",
    ]
    assert ended.stdout.splitlines() == [
        "[1/3] refused: not sent",
        "[2/3] under_way: not sent",
        "[3/3] good: finished, uploaded",
    ]


def test_a_damaged_configuration_does_not_stop_the_other_uploads(tmp_path: Path) -> None:
    for name, content in (("damaged-s0", b"\xff"), ("good-s0", b"logger: WandbLogger")):
        folder = RunFolder(tmp_path, name)
        folder.path.mkdir(parents=True)
        folder.config.write_bytes(content)
    assert [folder.key for folder in _mirrored(tmp_path)] == ["good-s0"]
