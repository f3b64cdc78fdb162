"""`resnet-ablations COMMAND` runs the command's module with its arguments, and every `--help` starts nothing."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_ablations.__main__ import COMMANDS, main

Python = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., int | None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return a function that gives the command line to `main`, in an empty folder, and returns the exit code."""
    monkeypatch.chdir(tmp_path)

    def given(*arguments: str) -> int | None:
        monkeypatch.setattr(sys, "argv", ["resnet-ablations", *arguments])
        try:
            return main()
        except SystemExit as end:
            return end.code  # type: ignore[return-value]

    return given


def test_the_list_of_commands_needs_no_library(python: Python, tmp_path: Path) -> None:
    code = """
import sys
from resnet_ablations.__main__ import main
main()
assert not {"torch", "hydra", "pandas", "numpy", "pydantic"} & set(sys.modules)
"""
    ended = python("-c", code, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(f"\n  {name} " in ended.stdout for name in COMMANDS)
    assert python("-m", "resnet_ablations", "--help", cwd=tmp_path).stdout == ended.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_and_starts_nothing(
    command: str, run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(command, "--help") in (0, None)
    told, _ = capsys.readouterr()
    assert told.startswith(f"usage: resnet-ablations {command} ")
    assert f"resnet-ablations {command}" in told[told.index("example") :]
    assert "_cifar" not in told, "files that are no options"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("swep", "error: swep: no such command; did you mean sweep?\n"),
        ("fit", f"error: fit: no such command; allowed: {', '.join(COMMANDS)}\n"),
    ],
)
def test_an_unknown_command(command: str, message: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "shortcuts") == 2
    assert capsys.readouterr() == ("", message)


def test_a_sweep_of_nothing(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("sweep") == 2
    assert "shortcuts, state_of_the_art" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["train", "seed=1"], ["seed=1"]),
        (["train", "-m", "seed=0,1"], ["-m", "seed=0,1"]),
        (["sweep", "shortcuts", "scale=paper"], ["-m", "experiment=shortcuts", "scale=paper"]),
        (["sweep", "seed=0,1", "~logger"], ["-m", "seed=0,1", "~logger"]),
    ],
)
def test_a_command_line_is_that_of_the_module(
    arguments: list[str], given: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("resnet_ablations.train.main", lambda: seen.append(sys.argv))
    assert run(*arguments) is None
    assert seen == [[f"resnet-ablations {arguments[0]}", *given]]


@pytest.mark.parametrize("command", ["train", "sweep", "report"])
def test_the_code_of_another_checkout_is_refused(
    command: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An environment copied with its checkout runs the code of the first checkout."""
    (tmp_path / "src" / "resnet_ablations").mkdir(parents=True)
    (tmp_path / "src" / "resnet_ablations" / "__main__.py").touch()
    assert run(command, "seed=1") == 2
    output, errors = capsys.readouterr()
    assert (output, errors.count("\n")) == ("", 1)
    assert f"the current folder is in the checkout {tmp_path}, but the code that runs is in" in errors


def test_a_plan_names_its_experiment(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "shortcutz") == 2
    assert "experiment=shortcutz: no such experiment" in capsys.readouterr().err


def test_the_exit_code_is_the_commands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_ablations.report.__main__.main", lambda: 1)
    assert run("report") == 1

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resnet_ablations.train.main", interrupted)
    assert run("train") == 130


@pytest.mark.parametrize("command", ["status", "report", "publish", "clean", "wandb-sync"])
def test_every_command_reads_the_same_results(
    command: str, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os._exit", sys.exit)
    runs = ["*"] if command == "clean" else []
    assert run(command, *runs) == 2
    assert "results" in capsys.readouterr().err
    monkeypatch.setenv("RESNET_ABLATIONS_RESULTS", "elsewhere")
    assert run(command, *runs) == 2
    assert "elsewhere" in capsys.readouterr().err


def test_a_reader_that_ends_changes_nothing(tmp_path: Path) -> None:
    """After `| head -1`, the command goes on to its end, exits with 0 and prints nothing about the pipe."""
    code = """
import sys
from resnet_ablations.output import survive_lost_output
survive_lost_output()
for line in range(50_000):
    print(line)
sys.stdout.flush()
print("trained", file=open("end", "w"))
"""
    for lost in ("stdout", "stderr"):
        started = subprocess.Popen(
            [sys.executable, "-c", code.replace("print(line)", f"print(line, file=sys.{lost})")],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        pipes = {"stdout": started.stdout, "stderr": started.stderr}
        pipe, other = pipes.pop(lost), *pipes.values()
        assert pipe is not None
        assert other is not None
        assert pipe.readline() == "0\n"
        pipe.close()
        assert other.read() == ""
        assert started.wait() == 0
        assert (tmp_path / "end").read_text() == "trained\n"
        (tmp_path / "end").unlink()


def test_a_message_that_cannot_be_printed_changes_nothing(tmp_path: Path) -> None:
    """To a full disk, in an encoding without the character, to a pipe that another program has set to non-blocking."""
    code = """
import os, sys
from resnet_ablations.output import survive_lost_output
survive_lost_output()
os.set_blocking(1, False)
print("é" * 100_000, flush=True)
print("trained", file=open("end", "w"))
"""
    python = f"{sys.executable} -c '{code}'"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for reader in ("> /dev/full", "> said.txt", "| (sleep 0.1; cat > piped.txt)"):
        ended = subprocess.run(
            ["sh", "-c", f"{python} {reader}"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert (ended.returncode, ended.stderr) == (0, ""), reader
        assert (tmp_path / "end").read_text() == "trained\n"
        (tmp_path / "end").unlink()
    for name in ("said.txt", "piped.txt"):
        assert (tmp_path / name).read_text() == "\\xe9" * 100_000 + "\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_outputs(closed: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m resnet_ablations --help {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path).returncode == 0


def test_processes_of_a_command_with_a_closed_output_have_one(tmp_path: Path) -> None:
    """The fork server of a sweep that was started with `2>&-` is such a process."""
    code = """
import subprocess, sys
from resnet_ablations.output import survive_lost_output
survive_lost_output()
subprocess.run([sys.executable, "-c", "import sys; assert None not in (sys.stdout, sys.stderr)"], check=True)
"""
    for closed in ("1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&-"):
        subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code], cwd=tmp_path, check=True)
