import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import declared
import pandas as pd
import pytest
from made_up import Declare, MadeUp
from pages import parsed, text_of, with_class

import resnet_ablations
from resnet_ablations import experiments
from resnet_ablations.declared import changes_since
from resnet_ablations.report import frame
from resnet_ablations.report.__main__ import main
from resnet_ablations.report.write_report import OWN_FILES

TEXTS = {f"shortcuts-quick{end}" for end in (".md", ".tex", ".csv", "-runs.csv")}
FILES = TEXTS | {f"shortcuts-quick-fig3.{form}" for form in ("pdf", "svg")}
COSTS = {f"shortcuts-quick-cost.{form}" for form in ("pdf", "svg")}
DEFICITS = {f"shortcuts-quick-deficits.{suffix}" for suffix in ("csv", "tex")}
FINALS = {f"shortcuts-quick-strip.{form}" for form in ("pdf", "svg")} | COSTS
"""Where there are runs."""
EARLY = {name.replace("quick", "early") for name in FILES} | {"shortcuts-early-faithfulness.csv"}
PAGE = {"index.html"}
CLAIMS = {f"claims{end}" for end in (".md", ".tex", ".csv")}
SOURCES = Path(resnet_ablations.__file__).parents[1]


def contents(results: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((results / "report").iterdir())}


def test_a_whole_sweep_becomes_files_and_a_table(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    made_up.plan()
    made_up.all_runs({"original": 4.0})
    assert main([str(made_up.path)]) == 0
    out = capsys.readouterr().out
    assert set(contents(made_up.path)) == FILES | FINALS | PAGE | CLAIMS | DEFICITS
    assert "shortcut-only" in out
    assert "(6 of 6 configurations)" in contents(made_up.path)["shortcuts-quick.md"].decode()
    # In the terminal other columns may stand between the words of one that wraps.
    assert re.search(r"\(6\s[^()]*?of[^()]*?\s6\s[^()]*?configurations\)", out)
    assert all(f"wrote {made_up.path}/report/{name}" in out for name in FILES | FINALS | PAGE | CLAIMS)
    table = out.partition("wrote ")[0]
    assert max(map(len, table.splitlines())) <= 100
    assert "\x1b" not in out
    frame = pd.read_csv(made_up.path / "report" / "shortcuts-quick.csv")
    assert len(frame) == 16
    page = (made_up.path / "report" / "shortcuts-quick.md").read_text()
    assert "](shortcuts-quick-fig3.svg)" in page
    assert "![Shortcut connections (v2, Table 1): final errors](shortcuts-quick-strip.svg)" in page


def test_every_plan_or_only_one(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    made_up.plan("quick")
    made_up.plan("early")
    assert main([str(made_up.path), "--sweep", "shortcuts-quick"]) == 0
    assert set(contents(made_up.path)) == FILES
    out = capsys.readouterr().out
    assert "scale early" not in out
    assert "The papers’ claims" not in out
    assert main([str(made_up.path)]) == 0
    assert set(contents(made_up.path)) == FILES | EARLY | PAGE | CLAIMS
    out = capsys.readouterr().out
    assert "Faithfulness" in out
    assert "resnet-ablations sweep shortcuts scale=early seed=0" in out


def test_the_claims_stand_at_the_end(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    made_up.plan()
    made_up.run("dropout", 71.0)
    assert main([str(made_up.path)]) == 0
    out = capsys.readouterr().out
    assert out.index("Shortcut connections") < out.index("The papers’ claims") < out.index("wrote ")
    assert "The papers’ claims" in (made_up.path / "report" / "claims.md").read_text()
    frame = pd.read_csv(made_up.path / "report" / "claims.csv").set_index("claim")
    assert frame["outcome"]["dropout_fails"] == "not run"
    assert frame["statement"]["dropout_fails"].startswith("At this scale: ")
    assert frame["outcome"]["plain_110_hardly_learns"] == "not run"


def test_broken_claims_leave_the_tables(declare: Declare, capsys: pytest.CaptureFixture[str]) -> None:
    made_up = declare(declared.PLACEMENTS)
    made_up.plan()
    (experiments.EXPERIMENTS / "claims.yaml").write_text("claims: 1\n")
    assert main([str(made_up.path)]) == 1
    assert "claims.yaml: claims: " in capsys.readouterr().err
    assert "declared-quick.md" in contents(made_up.path)
    assert not CLAIMS & set(contents(made_up.path))


def test_no_sweep_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([str(tmp_path / "results")])
    assert exit_.value.code == 2
    assert "results: no such folder; start with: resnet-ablations sweep shortcuts" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
    (tmp_path / "results" / "sweeps").mkdir(parents=True)
    with pytest.raises(SystemExit) as exit_:
        main([str(tmp_path / "results")])
    assert exit_.value.code == 2
    assert "no sweep yet; start one with: resnet-ablations sweep shortcuts" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["report", "report/shortcuts-quick.md", ".lock"])
def test_something_else_in_the_place_of_the_report(
    wrong: str, made_up: MadeUp, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up.plan()
    place = made_up.path / wrong
    if wrong == "report":
        place.symlink_to("nothing")
    else:
        place.unlink(missing_ok=True)
        place.mkdir(parents=True)
    with pytest.raises(SystemExit) as exit_:
        main([str(made_up.path)])
    assert exit_.value.code == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"error: {place}: cannot be {'locked' if wrong == '.lock' else 'written'}: ")


def test_an_unknown_sweep(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    made_up.plan()
    with pytest.raises(SystemExit) as exit_:
        main([str(made_up.path), "--sweep", "shortcuts-small"])
    assert exit_.value.code == 2
    assert "shortcuts-small: no such sweep" in capsys.readouterr().err


def test_damage_is_named_after_the_rest_is_made(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    made_up.plan()
    made_up.plan("small")
    made_up.all_runs({"original": 4.0})
    damaged = made_up.run("dropout", 30.0)
    (damaged.path / "result.json").write_text("{")
    (made_up.path / "sweeps" / "shortcuts-small.json").write_text('{"name": 1}')
    assert main([str(made_up.path)]) == 1
    captured = capsys.readouterr()
    assert set(contents(made_up.path)) == FILES | FINALS | PAGE | CLAIMS | DEFICITS
    assert f"{damaged.path}: damaged result, left out" in captured.err
    assert "shortcuts-small.json: damaged plan: " in captured.err
    assert "Traceback" not in captured.err
    assert "missing" in captured.out
    assert "resnet-ablations sweep shortcuts scale=quick seed=0" in captured.out
    (warning,) = with_class(parsed((made_up.path / "report" / "index.html").read_text()), "warning")
    assert f"{damaged.key}: damaged result, left out" in text_of(warning)


def test_a_plan_of_an_experiment_that_is_gone(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    path = made_up.path / "sweeps" / "shortcuts-quick.json"
    made_up.plan()
    gone = path.read_text().replace('"shortcuts"', '"gone"').replace('"shortcuts-quick"', '"gone-quick"')
    path.with_name("gone-quick.json").write_text(gone)
    assert main([str(made_up.path)]) == 1
    assert "gone: no such experiment" in capsys.readouterr().err
    assert set(contents(made_up.path)) >= FILES


def test_a_plan_names_no_place_outside_the_report(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    path = made_up.path / "sweeps" / "shortcuts-quick.json"
    made_up.plan()
    path.with_name("shortcuts-small.json").write_text(path.read_text().replace('"shortcuts-quick"', '"../../outside"'))
    assert main([str(made_up.path)]) == 1
    assert "name: must be that of the file, shortcuts-small" in capsys.readouterr().err
    assert not list(made_up.path.parent.glob("outside*"))


def test_every_figure_of_an_experiment_has_its_file(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS + declared.FIGURE_6 + "  - {id: fig3a, title: Loss, cells: [d20/resnet]}\n")
    made_up.plan()
    made_up.run("d20/plain", 9.5)
    assert main([str(made_up.path)]) == 0
    images = {f"declared-quick-{name}.{form}" for name in ("fig3", "fig6") for form in ("pdf", "svg")}
    assert set(contents(made_up.path)) == PAGE | images | {
        f"declared-quick{end}" for end in (".md", ".tex", ".csv", "-runs.csv")
    }
    page = (made_up.path / "report" / "declared-quick.md").read_text()
    assert "![A title: training error and test error](declared-quick-fig6.svg)" in page
    assert "![A title: training loss and test error](declared-quick-fig3.svg)" in page


@pytest.fixture
def _as_declared_today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare the made-up configurations with `conf/`, as the report's own process does."""
    monkeypatch.setattr(frame, "changes_since", changes_since)


@pytest.mark.usefixtures("_as_declared_today")
def test_the_same_results_give_the_same_bytes_without_torch(made_up: MadeUp) -> None:
    made_up.plan("early", seeds=(0, 1))
    made_up.run("shortcut_only_gating_0", 60.0, scale="early", multiply_adds=300_000_000)
    for seed in (0, 1):
        made_up.run("original", 40.0 + seed, seed, scale="early", error_at=lambda iteration: 50.0)
        made_up.run("conv1x1", 70.0 + seed, seed, scale="paper", error_at=lambda iteration: 60.0)
    assert main([str(made_up.path)]) == 0
    assert {"shortcuts-early-strip.svg", "shortcuts-early-cost.svg"} <= set(contents(made_up.path))
    _built_again_is_the_same(made_up)


def test_a_cell_with_a_curve_that_the_scale_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as 68,000 iterations at the early scale: no configuration says how long the paper's curve is drawn."""
    monkeypatch.setattr(experiments, "OTHERS", "nothing.csv")
    interpretations = MadeUp(tmp_path, "interpretations")
    left_out = {row.id for row, _, cell in interpretations.experiment.cells() if cell.curve} & {"original_68k"}
    assert left_out, "the cell has a curve"
    interpretations.plan("early")
    interpretations.run("original_default", 40.0, scale="early")
    assert main([str(tmp_path)]) == 0


@pytest.mark.usefixtures("_as_declared_today")
@pytest.mark.parametrize("text", [declared.DEPTHS + declared.FIGURE_6, declared.RESPONSES])
def test_the_same_bytes_for_other_figures(declare: Declare, text: str) -> None:
    made_up = declare(text, {"v1_fig6left__plain20_test": {100: 20.0, 900: 9.0}, "fig7__plain20": {1: 2.0, 2: 1.0}})
    made_up.plan("paper", seeds=(0, 1))
    for seed in (0, 1):
        for row, column, _ in made_up.experiment.cells():
            made_up.run(f"{row.id}/{column.id}", 9.0 + seed, seed, scale="paper", every=2_000, responses=[1.0, seed])
    assert main([str(made_up.path)]) == 0
    _built_again_is_the_same(made_up)


def _built_again_is_the_same(made_up: MadeUp) -> None:
    """In a process of its own, with another hash seed, locale and a matplotlibrc in the way."""
    first = contents(made_up.path)
    shutil.rmtree(made_up.path / "report")
    (made_up.path.parent / "matplotlibrc").write_text("axes.facecolor: red\nfont.size: 20\n")
    code = (
        "import sys; from pathlib import Path; from resnet_ablations import experiments;"
        "experiments.EXPERIMENTS = Path(sys.argv[1]); experiments.OTHERS = sys.argv[2];"
        "from resnet_ablations.report.__main__ import main; code = main(sys.argv[3:]);"
        "heavy = {'torch', 'torchvision', 'pytorch_lightning', 'hydra', 'omegaconf'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(code)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(experiments.EXPERIMENTS), experiments.OTHERS, str(made_up.path)],
        env=os.environ
        | {"PYTHONPATH": str(SOURCES), "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "ascii", "TZ": "Asia/Tokyo"},
        cwd=made_up.path.parent,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    second = contents(made_up.path)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_the_report_removes_its_old_files(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    made_up.plan("quick")
    made_up.run("original", 5.0)
    place = made_up.path / "report"
    place.mkdir()
    own = ["notes.md", "shortcuts-quick-notes.md", "shortcuts-quick-talk.pdf", "my-early-figures.csv", "figure.svg"]
    gone = ["shortcuts-quick-fig3.png", "depth-small-0a1b2c.csv", "depth-small-0a1b2c-faithfulness.csv"]
    for name in (*own, *gone, *EARLY):  # the plan of the early sweep was deleted
        (place / name).write_text("")
    assert main([str(made_up.path), "--sweep", "shortcuts-quick"]) == 0
    assert set(contents(made_up.path)) >= EARLY, "a report on one sweep knows nothing of others"
    assert main([str(made_up.path)]) == 0
    assert set(contents(made_up.path)) == FILES | FINALS - COSTS | PAGE | CLAIMS | set(own), (
        "one run costs like no other"
    )


def test_the_report_removes_nothing_while_a_file_is_damaged(made_up: MadeUp) -> None:
    made_up.plan("quick")
    (made_up.path / "report").mkdir()
    for name in EARLY:
        (made_up.path / "report" / name).write_text("")
    (made_up.path / "sweeps" / "shortcuts-early.json").write_text("{")
    assert main([str(made_up.path)]) == 1
    assert set(contents(made_up.path)) == FILES | EARLY | PAGE | CLAIMS


def test_the_figures_of_every_experiment_are_the_reports_own() -> None:
    figures = [
        f"{name}-quick-{panel.whole}.svg"
        for name in experiments.experiment_names()
        for panel in experiments.load_experiment(name).figures
    ]
    assert figures
    assert [figure for figure in figures if not OWN_FILES.fullmatch(figure)] == []
