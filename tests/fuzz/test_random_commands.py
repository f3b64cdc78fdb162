"""Random command lines through `main`, in this process: refused in lines, or exactly what was asked is trained."""

import logging
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cases import LONG, SHORT, run_cases
from drawn_overrides import overrides, settings_of

from resnet_ablations import train
from resnet_ablations.__main__ import main
from resnet_ablations.composition import group_options
from resnet_ablations.config import RunConfig
from resnet_ablations.overrides import compose
from resnet_ablations.sweep import estimates, run_sweep
from resnet_ablations.sweep.planning import Plan
from resnet_ablations.training import run as training

SEEDS = {"short": range(25), "long": range(10_000, 14_000)}

COMMANDS = (*["train"] * 6, *["sweep"] * 3, "train -m", "plan", "status", "report", "clean")
ARGUMENTS = (
    *("-m", "--multirun", "--run", "--cfg", "--cfg=job", "--cfg=hydra", "--info", "--resolve", "--package=x", "-x"),
    *("--config-dir=/nope", "--config-name=x", "-cn", "--hydra-help", "--help", "-h", "--shell-completion", "-sc"),
    *("--experimental-rerun", "x.pickle", "--results", "--sweep", "--sweep=x", "results", "/nope", "/dev/null", "--"),
    *("shortcuts", "depth", "nope", "experiment=shortcuts", "experiment=../x", "scale=quick", "scale=nope", "job"),
    *("rows=original", "rows=[original]", "rows=", "columns=x", "seed=0,1", "seed=0,0", "shortcut=identity,dropout"),
    *("network=resnet20", "hydra/launcher=local", "hydra/launcher=slurm", "hydra/launcher=nope", "hydra.x=1", "\udc80"),
    *("hydra.launcher.wait=1", "hydra.mode=MULTIRUN", "hydra.job.env_set.A=1", "hydra.sweep.dir=x", "logger=wandb"),
    *("sweep.retries=x", "sweep.retries=1", "sweep.fail_fast=2", "frozen=/nope", "frozen=.", "frozen=''"),
    *("paths.results=r", "trainer.devices=2", "trainer=ddp"),
)


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_random_command_lines(
    length: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    trained: list[RunConfig] = []
    planned: list[Plan] = []
    monkeypatch.setattr(training, "train_run", trained.append)
    monkeypatch.setattr(run_sweep, "run_sweep", lambda plan, *_: planned.append(plan))
    monkeypatch.setattr(train, "_report", lambda plan: None)
    monkeypatch.setattr(estimates, "step_seconds", lambda *_: estimates.StepSeconds(iteration=0.5, test_image=0.0))
    for stream in (sys.stdout, sys.stderr):  # as Python's own stderr
        stream.reconfigure(errors="backslashreplace")
    settings, groups = list(settings_of(type(compose([])))), list(group_options())
    codes = set()
    logs, root = logging.getLogger(), (logging.getLogger().level, list(logging.getLogger().handlers))

    def case(draw: random.Random) -> str | None:
        logs.level, logs.handlers[:] = root[0], root[1]  # hydra.verbose and --cfg=hydra set them for the process
        trained.clear()
        planned.clear()
        command = draw.choice(COMMANDS).split()
        arguments = [
            overrides(draw, settings, groups, 1)[0].line if draw.random() < 0.5 else draw.choice(ARGUMENTS)
            for _ in range(draw.choice((0, 1, 1, 2, 2, 3)))
        ]
        monkeypatch.setattr(sys, "argv", ["resnet-ablations", *command, *arguments])
        code = exit_code(main)
        codes.add(code)
        printed = capsys.readouterr()
        wrong = bad_end(code, printed.out, printed.err) or other_runs(command, arguments, code, trained, planned)
        return f"{[*command, *arguments]}: {wrong}" if wrong else None

    run_cases(SEEDS[length], case)
    assert {0, 2} <= codes


def exit_code(main: Callable[[], Any]) -> int:
    try:
        code = main()
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, int) else 0


def bad_end(code: int, out: str, err: str) -> str | None:
    """Return what is wrong with the end of a command; None if a person can go on from it."""
    if code not in (0, 1, 2) or "Traceback" in out + err:
        return f"exit code {code}: {err[-1_000:]}"
    lines = err.splitlines()
    if code == 2 and not (lines or out.startswith("usage: ")):
        return f"exit code 2 without a line: {out[:1_000]!r}"
    if code == 2 and not err.startswith("usage: ") and not all(line.startswith("error: ") for line in lines):
        return f"exit code 2: {err}"
    return f"exit code 1 without a reason: {out}" if code == 1 and not (err + out).strip() else None


def other_runs(
    command: list[str], arguments: list[str], code: int, trained: list[RunConfig], planned: list[Plan]
) -> str | None:
    """Return what is wrong with what a command trains: nothing after a mistake, else what `compose` makes of it."""
    if code == 2 and (trained or planned):
        return "something is trained after a mistake"
    if command == ["train"] and trained and not planned:
        expected = compose([argument for argument in arguments if not argument.startswith("-")]).as_dict()
        if [run.as_dict() for run in trained] != [expected]:
            return "another run than compose makes of it"
    for job in planned[0].jobs if planned else ():
        if compose(job.overrides).key != job.config.key:
            return f"another run than {job.overrides}"
    return None
