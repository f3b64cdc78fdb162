"""Every command in the documentation is composed and planned, as a person would type it; nothing is trained."""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT
from planned import planned

from resnet_ablations.__main__ import COMMANDS, main
from resnet_ablations.data.image_folder import ImageFolder
from resnet_ablations.data.imagenet import ImageNet
from resnet_ablations.overrides import check_options, compose
from resnet_ablations.sweep.planning import plan
from resnet_ablations.sweep.slurm_settings import checked_settings

pytestmark = pytest.mark.xdist_group("plans")

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = ("make ", "resnet-ablations ", "python -m resnet_ablations", "torchrun ")


def documented() -> list[str]:
    """Return the commands in the blocks and lines of the pages, each once, without those that leave a name open."""
    found: list[str] = []
    for page in PAGES:
        text = page.read_text()
        blocks = "".join(re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
        found += re.findall(r"^\$ (.*)", blocks, re.MULTILINE)
        found += [
            f"resnet-ablations sweep shortcuts hydra/launcher=slurm {given}" for given in _launcher_settings(text)
        ]
        if page.name != "extending.md":  # whose commands need the reader's files
            found += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    ours = (command for command in found if re.sub(r"^(\w+=\S+ )+", "", command).startswith(OURS))
    return [command for command in dict.fromkeys(ours) if not re.search("NAME|COMMAND|FOLDER|…", command)]


def _launcher_settings(text: str) -> list[str]:
    """Return the settings of the SLURM launcher that a page gives, as a person types them in a shell."""
    return [
        given for given in re.findall(r"`([^`\n]+=[^`\n]+)`", text) if given.lstrip("'\"").startswith("hydra.launcher.")
    ]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], list[str]]:
    """Return a function that gives a command line to the package, and returns that of the module that it starts."""
    seen: list[list[str]] = []
    for command in ("train", "plan"):
        monkeypatch.setattr(f"resnet_ablations.{COMMANDS[command][0]}.main", lambda: seen.append(sys.argv[1:]))

    def start(arguments: list[str]) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["resnet-ablations", *arguments])
        assert main() is None
        return seen[-1]

    return start


def check_sweep(overrides: list[str]) -> None:
    """Plan a sweep; take the plan that other tests share if nothing but its rows, columns and seeds is chosen."""
    launcher = check_options(overrides)
    chosen = dict(line.split("=", 1) for line in overrides if not line.startswith("hydra"))
    trainer = [f"{key}={value}" for key, value in chosen.items() if key.startswith("trainer")]
    if chosen.keys() <= {"experiment", "scale", "rows", "columns", "seed"} and "experiment" in chosen:
        record = planned(chosen["experiment"], chosen.get("scale", "quick"))
        columns = {column for row in record.cells.values() for column in row}
        assert set(chosen.get("rows", "").split(",")) <= {*record.cells, ""}
        assert set(chosen.get("columns", "").split(",")) <= {*columns, ""}
    else:
        plan([f"{key}={value}" for key, value in chosen.items()])
    if launcher["_target_"].endswith("SlurmLauncher"):
        run = compose(["bn_batch=4", *trainer])
        checked_settings([run], {name: value for name, value in launcher.items() if name != "wait"})


def typed(command: str) -> list[str]:
    """Return the arguments of `resnet-ablations` for a documented command; [] if it is not one of the package."""
    words = shlex.split(command, comments=True)
    while re.match(r"\w+=", words[0]):
        del words[0]
    if words[0] == "make":
        done = subprocess.run([*words, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True)
        words = shlex.split(done.stdout.splitlines()[-1]) if "-m resnet_ablations" in done.stdout else []
    if words[:1] == ["resnet-ablations"]:
        return words[1:]
    if "-m" not in words:
        return []
    module, *arguments = words[words.index("-m") + 1 :]
    return arguments if module == "resnet_ablations" else [module.removeprefix("resnet_ablations."), *arguments]


class ParsedError(Exception):
    """The command has accepted its arguments."""


def check_options_of(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the command's own parser takes the arguments; the command itself does nothing."""
    parse = argparse.ArgumentParser.parse_args

    def parsed(parser: argparse.ArgumentParser, *given: Any, **options: Any) -> None:
        parse(parser, *given, **options)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr(sys, "argv", ["resnet-ablations", *arguments])
    with pytest.raises(ParsedError):
        main()


def test_an_option_that_a_command_does_not_have_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        check_options_of(["clean", "--nope"], monkeypatch)


@pytest.mark.parametrize("command", documented())
def test_a_documented_command_is_accepted(
    command: str, given: Callable[[list[str]], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for source in (ImageFolder, ImageNet):
        monkeypatch.setattr(source, "check", lambda self: None)
        monkeypatch.setattr(source, "fingerprint", lambda self: None)
    arguments = typed(command)
    monkeypatch.chdir(tmp_path)
    if "KEY" in command:
        for home in ("results", "results/reference"):
            run = compose(["trainer=cpu", f"paths.results={home}"])
            run.folder.freeze(run.as_dict())
        arguments = [word.replace("KEY", run.key) for word in arguments]
    if arguments[:1] not in (["train"], ["sweep"], ["plan"]):
        assert not arguments or arguments[0] in COMMANDS
        if len(arguments) > 1:
            check_options_of(arguments, monkeypatch)
        return
    overrides = given(arguments)
    if arguments[0] == "train" and "-m" not in arguments:
        compose(overrides)
        return
    check_sweep([line for line in overrides if line != "-m"])


def test_the_documentation_has_commands() -> None:
    commands = documented()
    assert len(commands) > 40
    assert any("additional_parameters={reservation: name}" in command for command in commands)
