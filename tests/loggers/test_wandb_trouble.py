"""Failures of wandb: training gives the same numbers, ends, and warns once that wandb lacks them."""

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_wandb import KEY, Disturbed, FakeWandb, hangs
from observing import numbers, wait_until
from trained import STEPS, happening_at, processes_of

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]

Same = Callable[..., str]


@pytest.fixture
def same(config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> Same:
    """Train a run with and without wandb, compare them, and return the only warning."""

    def trained(*overrides: str, in_the_middle: Callable[[], object] = lambda: None) -> str:
        undisturbed = config(*STEPS, f"paths.results={tmp_path}/undisturbed")
        expected = train_run(undisturbed)
        happening_at(monkeypatch, 4, in_the_middle)
        run = config(*STEPS, "logger=wandb", *overrides)
        assert numbers(train_run(run)) == numbers(expected)
        assert run.folder.curve.read_bytes() == undisturbed.folder.curve.read_bytes()
        wait_until(lambda: not processes_of(run.folder.path))
        (warning,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
        assert warning.startswith("WandbLogger: ")
        assert warning.endswith("; the run continues without this logger")
        assert "\n" not in warning
        return warning

    return trained


LATE = (
    "wandb did not receive the complete run within logger.wait_seconds=1; "
    "`resnet-ablations wandb-sync` uploads it later"
)


def status(code: int) -> Disturbed:
    return lambda path: code


def test_a_server_that_refuses_the_connection(same: Same, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert LATE in same("logger.wait_seconds=1")


@pytest.mark.parametrize("disturbed", [status(500), hangs])
def test_a_server_that_answers_500_or_not_at_all(same: Same, server: FakeWandb, disturbed: Disturbed) -> None:
    server.disturbed = disturbed
    assert LATE in same("logger.wait_seconds=1")


def test_a_server_that_stops_to_answer_in_the_middle_of_a_run(same: Same, server: FakeWandb) -> None:
    def break_down() -> None:
        wait_until(lambda: server.streamed)
        server.disturbed = hangs

    assert LATE in same("logger.wait_seconds=1", in_the_middle=break_down)


def test_a_mirror_that_is_killed_leaves_nothing_of_wandbs_behind(same: Same, server: FakeWandb, tmp_path: Path) -> None:
    its: list[int] = []

    def kill_it() -> None:
        wait_until(lambda: server.streamed)
        (folder,) = (tmp_path / "results" / "runs").iterdir()
        (mirror,) = processes_of(folder)
        its.extend(map(int, Path(f"/proc/{mirror}/task/{mirror}/children").read_text().split()))
        os.kill(mirror, signal.SIGKILL)

    assert "was killed by signal 9; `resnet-ablations wandb-sync` uploads the run later" in same(in_the_middle=kill_it)
    assert its
    wait_until(lambda: not any(is_alive(pid) for pid in its))


def is_alive(pid: int) -> bool:
    """Return whether the process exists and is no zombie."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def test_a_server_that_does_not_take_the_key(same: Same, server: FakeWandb) -> None:
    server.disturbed = status(401)
    assert "401" in same()


def test_a_wandb_that_breaks_at_once(same: Same, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is reported during training, and the end of the run waits for nothing."""
    monkeypatch.setenv("WANDB_API_KEY", "too short")
    assert "WANDB_API_KEY invalid" in same()


@pytest.mark.parametrize(
    ("name", "value"), [("WANDB_MODE", "offline"), ("WANDB_MODE", "disabled"), ("WANDB_API_KEY", KEY)]
)
def test_a_key_or_a_mode_is_enough(config: Config, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The server is not contacted: it may be down now, and up when the runs end."""
    monkeypatch.setenv(name, value)
    config("logger=wandb").logger.build().check()


def test_a_key_or_a_mode_in_wandbs_own_files_is_enough(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    logger = config("logger=wandb").logger.build()
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1:9\n  login user\n  password {KEY}\n")
    (tmp_path / "netrc").chmod(0o600)
    with monkeypatch.context() as patched:
        patched.setenv("NETRC", str(tmp_path / "netrc"))
        logger.check()
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nmode = offline\n")
    monkeypatch.chdir(tmp_path)
    logger.check()


def test_a_nonsensical_mode_or_key_is_a_mistake(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = config("logger=wandb").logger.build()
    monkeypatch.setenv("WANDB_API_KEY", "too short")
    with pytest.raises(UserError, match="logger=wandb: WANDB_API_KEY invalid"):
        logger.check()
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(UserError, match=r"^logger=wandb: WANDB_MODE=ofline: must be 'online', 'offline'"):
        logger.check()
    monkeypatch.setenv("WANDB_DISABLED", "true")
    for mode in ("online", "offline"):
        monkeypatch.setenv("WANDB_MODE", mode)
        with pytest.raises(UserError, match=r"^logger=wandb: WANDB_DISABLED=true: wandb no longer reads this"):
            logger.check()
    monkeypatch.setenv("WANDB_DISABLED", "false")
    logger.check()
    assert "WANDB_SERVICE" not in os.environ
