"""Random damage to the files of a results folder: named in lines, or harmless; a frozen file is never another run."""

import os
import random
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch
from cases import LONG, SHORT, mistake_in, run_cases
from drawn_overrides import TEXTS

import resnet_ablations as ra
from resnet_ablations import clean, status
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.paths import ROOT
from resnet_ablations.report import __main__ as report
from resnet_ablations.results import signals
from resnet_ablations.results.lesions import Lesion, PathGradient, lesions_text, path_gradients_text
from resnet_ablations.results.signals import UnitSignals
from resnet_ablations.training.run import train_run

FROZEN = {"short": range(150), "long": range(10_000, 20_000)}
FOLDERS = {"short": range(30), "long": range(10_000, 11_000)}
REPORTS = range(20_000, 20_060)
WEIGHTS = {"short": range(40), "long": range(30_000, 32_000)}
BESIDE = (
    [],
    [],
    ["trainer.threads=2"],
    ["trainer=cpu"],
    ["logger=csv"],
    ["logger.mode=x"],
    ["paths.data=/x"],
    ["data.root=/x"],
)
"""Overrides beside a frozen file."""
READERS = (
    *(ra.load_results, ra.load_curves, ra.load_responses, ra.load_signals, ra.load_lesions, ra.load_path_gradients),
    ra.load_cells,
)
PLAN = "shortcuts-quick"


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_random_frozen_files(length: str, tmp_path: Path) -> None:
    run = compose([f"paths.results={tmp_path}", "shortcut=exclusive_gating", "trainer=cpu"])
    run.folder.freeze(run.as_dict())
    file = run.folder.config
    sound = file.read_bytes()
    outcomes = set()

    def case(draw: random.Random) -> str | None:
        content = sound
        for _ in range(draw.choice((1, 1, 2, 4))):
            content = damaged(draw, content)
        file.write_bytes(content)
        try:
            again = compose([f"frozen={file}", *draw.choice(BESIDE)])
        except UserError as error:
            outcomes.add("refused")
            return mistake_in(error)
        outcomes.add("composed")
        return None if again.scientific == run.scientific and again.key == run.key else f"another run: {content!r}"

    run_cases(FROZEN[length], case)
    assert outcomes == {"refused", "composed"}


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Return a file's content with one change: of a bit, a value, a line, or its end."""
    lines = content.splitlines(keepends=True) or [b"\n"]
    place, at = draw.randrange(len(lines)), draw.randrange(len(content) + 1)
    key = lines[place].partition(b":")[0]
    return draw.choice(
        (
            lambda: content[:at],
            lambda: content[:at] + draw.randbytes(3) + content[at:],
            lambda: content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :],
            lambda: b"".join(lines[:place] + lines[place + 1 :]),
            lambda: b"".join([*lines[:place], lines[place], *lines[place:]]),
            lambda: b"".join(draw.sample(lines, len(lines))),
            lambda: b"".join([*lines[:place], key + b": " + value(draw) + b"\n", *lines[place + 1 :]]),
            lambda: content.replace(b"0", b"1", 1),
            lambda: content + draw.choice((b"\n", b"\n...\n", b"\n---\n{}", b"\x00", b"# more", b"\n\xff", b"x: y")),
        )
    )()


def value(draw: random.Random) -> bytes:
    return draw.choice((*TEXTS, "!!python/name:os.system", "*a", "&a [*a]", "2026-01-01")).encode(
        errors="surrogateescape"
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder with a sweep and three of its runs."""
    reference, folder = ROOT / "results" / "reference", tmp_path_factory.mktemp("sound")
    (folder / "sweeps").mkdir()
    shutil.copy(reference / "sweeps" / f"{PLAN}.json", folder / "sweeps")
    text = (folder / "sweeps" / f"{PLAN}.json").read_text(encoding="utf-8")
    runs = [path for path in sorted((reference / "runs").iterdir()) if path.name.rpartition("-s")[0] in text]
    for path in runs[:3]:
        shutil.copytree(path, folder / "runs" / path.name)
        units = [UnitSignals(unit, 1.0, 0.5, 0.25, 0.1, 0.5, 1.0) for unit in range(1, 29)]
        (folder / "runs" / path.name / "signals.csv").write_text(signals.HEADER + signals.lines(0, units))
        deleted = [(Lesion("none", 0, None, (), None), 10.0), (Lesion("deleted", 2, 1, (3, 5), None), 20.5)]
        (folder / "runs" / path.name / "lesions.csv").write_text(lesions_text(deleted))
        lengths = [PathGradient(length, 28**length, 0.5, 2.0) for length in range(4)]
        (folder / "runs" / path.name / "path_gradients.csv").write_text(path_gradients_text(lengths))
    return folder


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str | None]:
    """Return a function that calls a command, and returns what is wrong with its end; None if nothing is."""

    def run(main: Callable[[], int | None], *arguments: str) -> str | None:
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        monkeypatch.setattr("builtins.input", lambda question: "n")
        try:
            code = main()
        except SystemExit as end:
            code = end.code  # type: ignore[assignment]
        printed = capsys.readouterr()
        if code not in (None, 0, 1, 2) or "Traceback" in printed.out + printed.err:
            return f"{main.__module__}: exit code {code}: {printed.err[-500:]}"
        return f"{main.__module__}: exit code {code} without a reason" if code and not printed.err.strip() else None

    return run


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_random_results_folders(
    length: str, sound: Path, tmp_path: Path, call: Callable[..., str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(ra.load_results(sound)["key"])

    def case(draw: random.Random) -> str | None:
        readers = READERS if length == "long" or draw.random() < 0.05 else READERS[:-1]  # the last one is slow
        results = damaged_folder(draw, sound, Path(mkdtemp(dir=tmp_path)))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for read in readers:
                try:
                    frame = read(results)
                except UserError as error:
                    if wrong := mistake_in(error):
                        return wrong
                else:
                    if read is ra.load_results and (new := set(frame["key"]) - before):
                        return f"runs that are not there: {new}"
        if wrong := next((str(one.message) for one in warned if "\n" in str(one.message)), None):
            return f"not one line: {wrong!r}"
        wrong = call(status.main, str(results)) or call(clean.main, "--results", str(results), "*")
        shutil.rmtree(results)
        return wrong

    run_cases(FOLDERS[length], case)


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_random_damage_to_a_run_with_weights(length: str, tmp_path: Path) -> None:
    """A network that is loaded computes what the trained one did."""
    small = ("network.depth=8", "network.widths=[4,4,8]", "network.stem.width=4", "schedule.iterations=2")
    scaling = ("shortcut=constant_scaling", "shortcut.shortcut_scale=0.5", "shortcut.residual_scale=0.5")
    run = compose([*small, *scaling, f"paths.results={tmp_path}/results", "trainer=cpu", "trainer.threads=1"])
    train_run(run)
    files = [run.folder.config, run.folder.weights, run.folder.curve, run.folder.path / "result.json"]
    sound, images = {file: file.read_bytes() for file in files}, torch.linspace(-1, 1, 128).view(2, 1, 8, 8)
    expected = ra.load_network(run.folder.path)(images)
    outcomes = set()

    def case(draw: random.Random) -> str | None:
        for file, content in sound.items():
            file.write_bytes(content)
        for _ in range(draw.choice((1, 1, 2))):
            file = draw.choice(files)
            file.write_bytes(damaged(draw, file.read_bytes()))
        try:
            logits = ra.load_network(run.folder.path)(images)
        except UserError as error:
            outcomes.add("refused")
            return mistake_in(error)
        outcomes.add("loaded")
        return None if torch.equal(logits, expected) else f"another network after damage to {file.name}"

    run_cases(WEIGHTS[length], case)
    assert outcomes == {"refused", "loaded"}


@pytest.mark.long
def test_random_reports(sound: Path, tmp_path: Path, call: Callable[..., str | None]) -> None:
    def case(draw: random.Random) -> str | None:
        results = damaged_folder(draw, sound, Path(mkdtemp(dir=tmp_path)))
        return call(report.main, str(results), "--sweep", PLAN)

    run_cases(REPORTS, case)


def damaged_folder(draw: random.Random, sound: Path, home: Path) -> Path:
    """Return a copy of a results folder in which some files are damaged, missing, or something else."""
    results = home / draw.choice(("results", "é", "a b", "-x", "%s", "'q'", "[x]"))
    shutil.copytree(sound, results)
    for _ in range(draw.choice((1, 1, 2, 3))):
        files = sorted(path for path in results.rglob("*") if path.is_file() and not path.is_symlink())
        _damage(draw, results, draw.choice(files) if files else results / "runs" / "x")
    return results


def _damage(draw: random.Random, results: Path, path: Path) -> None:
    kind = draw.choice(("content", "content", "content", "content", "missing", "folder", "link", "more"))
    if kind == "content" and path.is_file():
        path.write_bytes(damaged(draw, path.read_bytes()))
    elif kind == "more":
        folder = results / draw.choice(("", "runs", "sweeps", "report", path.parent.relative_to(results)))
        folder.mkdir(exist_ok=True)
        name = draw.choice(
            (".DS_Store", "._x.json", "x.json", "é.json", "notes.txt", "a.tmp", os.fsdecode(b"\xe9.json"), "x y")
        )
        (folder / name).write_bytes(draw.choice((b"", b"{}", b"[]", b"null", draw.randbytes(50), b"[" * 100_000)))
    else:
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True, parents=True)
        if kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to(draw.choice(("nowhere", "..", path.name, "/dev/null")))
