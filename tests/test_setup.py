"""`make setup`: an environment belongs to the folder in which it was made."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import resnet_ablations as ra
from resnet_ablations import composition
from resnet_ablations.errors import UserError
from resnet_ablations.paths import PACKAGE, ROOT, default_results, mistaken_checkout

UV = """#!/bin/sh
echo "$@" >> asked
mkdir -p .venv/bin
test -e .venv/bin/torchrun || printf '#!%s/.venv/bin/python3\\nimport torch\\n' "$PWD" > .venv/bin/torchrun
"""
"""A stand-in for uv that writes down its arguments, and keeps the programs of packages that are installed."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the files that `make setup` reads, and the stand-in for uv."""
    folder = tmp_path / "first"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    (folder / "uv").write_text(UV, encoding="utf-8")
    (folder / "uv").chmod(0o755)
    return folder


def installs(folder: Path) -> int:
    """Run `make setup`; return how often it installed."""
    (folder / "asked").unlink(missing_ok=True)
    ended = subprocess.run(["make", "setup", "UV=./uv"], cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    asked = (folder / "asked").read_text(encoding="utf-8") if (folder / "asked").exists() else ""
    return asked.count("--editable .[dev]")


def test_a_copied_or_moved_environment_is_installed_again(checkout: Path, tmp_path: Path) -> None:
    assert [installs(checkout), installs(checkout)] == [1, 0]
    moved = checkout.rename(tmp_path / "moved")
    assert [installs(moved), installs(moved)] == [1, 0]
    copy = Path(shutil.copytree(moved, tmp_path / "a copy", symlinks=True))
    assert [installs(copy), installs(copy), installs(moved)] == [1, 0, 0]
    for folder in (moved, copy):
        program = (folder / ".venv" / "bin" / "torchrun").read_text(encoding="utf-8")
        assert program == f"#!{folder}/.venv/bin/python3\nimport torch\n"
    (tmp_path / "link").symlink_to(moved)
    assert installs(tmp_path / "link") == 0, "the same folder by another name"


def test_an_environment_of_an_earlier_version_is_installed_again(checkout: Path) -> None:
    installs(checkout)
    (checkout / ".venv" / "installed").write_text("", encoding="utf-8")
    assert installs(checkout) == 1


@pytest.mark.parametrize("version", ["3.10", "3.14", "3.15"])
def test_a_python_that_cannot_run_it_is_refused(checkout: Path, version: str) -> None:
    """Hydra 1.3 fails on Python 3.14."""
    python = checkout / "python"
    python.write_text(
        f'#!/bin/sh\nexec python3 -c "import sys; sys.version_info = ({version.replace(".", ", ")}, 0); $2"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    ended = subprocess.run(["make", "setup", "PYTHON=./python"], cwd=checkout, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "Python 3.11 to 3.13 is needed" in ended.stderr
    assert not (checkout / ".venv").exists()


def test_the_code_of_another_checkout_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest checkout around the current folder counts; symbolic links to the same code are the same code."""
    monkeypatch.chdir(tmp_path)
    assert mistaken_checkout() is None
    other, same = tmp_path / "other", tmp_path / "other" / "same"
    (code := other / "src" / PACKAGE.name).mkdir(parents=True)
    (code / "__main__.py").touch()
    (same / "src").mkdir(parents=True)
    (same / "src" / PACKAGE.name).symlink_to(PACKAGE)
    for folder in (other, other / "src"):
        monkeypatch.chdir(folder)
        assert (mistake := mistaken_checkout()) is not None
        assert f"run `make setup` in {other}," in mistake
        assert f"the code that runs is in {PACKAGE};" in mistake
    monkeypatch.chdir(same / "src")
    assert mistaken_checkout() is None


def test_the_environment_of_another_checkout_is_named_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/copy/.venv/bin/resnet-ablations`, `python -m` and `import` run the original's code from every folder."""
    monkeypatch.chdir(tmp_path)
    (code := tmp_path / "copy" / "src" / PACKAGE.name).mkdir(parents=True)
    (code / "__main__.py").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "copy" / ".venv"))
    named = f"the environment is in the checkout {tmp_path}/copy, but the code that runs is in {PACKAGE};"
    assert named in str(mistaken_checkout())
    composition._config_loader.cache_clear()
    with pytest.raises(UserError, match=re.escape(named)):
        ra.compose(["seed=4047"])  # which no test has parsed before
    composition._composed_by_hydra.cache_clear()
    composition._composed_groups.cache_clear()
    with pytest.raises(UserError, match=re.escape(named)):
        ra.compose([])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{PACKAGE.parent}")
    assert mistaken_checkout() is None


def test_the_command_of_a_copied_checkout_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first line names the original's Python, so the environment is the original's."""
    monkeypatch.chdir(tmp_path)
    (code := tmp_path / "copy" / "src" / PACKAGE.name).mkdir(parents=True)
    (code / "__main__.py").touch()
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "copy" / ".venv" / "bin" / "resnet-ablations"), "status"])
    mistake = str(mistaken_checkout())
    assert f"the command is in the checkout {tmp_path}/copy, but the code that runs is in {PACKAGE};" in mistake
    assert mistake.endswith(f"or use the command of {ROOT}")
    for program in ([str(tmp_path / "copy" / "analysis" / "my.py")], [], ["-c"]):
        monkeypatch.setattr(sys, "argv", program)
        assert mistaken_checkout() is None


def test_a_deleted_current_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert mistaken_checkout() == "the current folder no longer exists; change to another folder"


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make` reads it so, and every command reads it as `make` does."""
    for name in ("RESNET_ABLATIONS_RESULTS", "RESNET_ABLATIONS_DATA"):
        monkeypatch.setenv(name, "")
    paths = ra.compose([]).paths
    assert (paths.results, paths.data, default_results()) == ("results", "data", "results")
    monkeypatch.setenv("RESNET_ABLATIONS_RESULTS", "/x")
    assert (ra.compose([]).paths.results, default_results()) == ("/x", "/x")


def test_the_results_folder_is_that_of_the_variable(checkout: Path) -> None:
    """`make` and the commands read the same variable; RESULTS= on the command line of make wins."""
    installs(checkout)

    def asked(*arguments: str, **environment: str) -> str:
        shown = "--eval=shown: ; @echo $(RESULTS) $$RESNET_ABLATIONS_RESULTS"
        command = ["make", "--no-print-directory", shown, "shown", *arguments]
        environment = {"PATH": os.environ["PATH"]} | environment
        return subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert asked() == "results results"
    assert asked(RESNET_ABLATIONS_RESULTS="") == "results results"
    assert asked(RESNET_ABLATIONS_RESULTS="/x") == "/x /x"
    assert asked("RESULTS=/y", RESNET_ABLATIONS_RESULTS="/x") == "/y /y"


def test_make_reads_a_dollar_in_the_results_folder_as_it_is() -> None:
    command = ["make", "--silent", f"--directory={ROOT}", "--eval=show: ; @printenv RESNET_ABLATIONS_RESULTS", "show"]
    for name in ("/tmp/r$HOME x", "/tmp/$(shell false)"):
        environment = {k: v for k, v in os.environ.items() if k != "RESULTS"} | {"RESNET_ABLATIONS_RESULTS": name}
        assert (
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == f"{name}\n"
        )
