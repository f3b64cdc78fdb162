import os
from pathlib import Path

import pytest

from resnet_ablations.overrides import compose
from resnet_ablations.results.claims import Owner
from resnet_ablations.sweep import processes
from resnet_ablations.sweep.processes import train_in_processes
from resnet_ablations.sweep.slots import Slots


def test_who_waits_for_another_sweep_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = compose(["network.depth=8", "trainer=cpu", f"paths.results={tmp_path}"])
    run.folder.path.mkdir(parents=True)
    claim = run.folder.path / "claim.json"
    claim.write_text(Owner.of(os.getppid()).model_dump_json())
    waits = []

    def wait(pool: object) -> None:
        waits.append(1)
        if len(waits) == 2:
            claim.unlink()
            raise TimeoutError

    monkeypatch.setattr(processes._Pool, "wait", wait)
    with pytest.raises(TimeoutError):
        train_in_processes([run], Slots(1, 1), fail_fast=False)
    assert capsys.readouterr().out.count("another sweep trains it; waiting for that") == 1


def test_the_folder_of_the_fork_servers_socket_is_no_other_processs_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is started later in the same environment would take it away when it ends."""
    run = compose(["network.depth=8", "trainer=cpu", "schedule.iterations=1", f"paths.results={tmp_path}"])
    train_in_processes([run], Slots(1, 1), fail_fast=False)
    assert run.folder.result() is not None
    assert processes.worker.SOCKETS not in os.environ
