"""The LaTeX of every table compiles as it is, where there is a LaTeX: texlive-latex-recommended has all it takes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from made_up import MadeUp

from resnet_ablations.report import frame
from resnet_ablations.report.figures.chart import paper_style
from resnet_ablations.report.frame import PUBLISHED, read_report_data
from resnet_ablations.report.tables.comparison import comparison
from resnet_ablations.report.tables.faithfulness import faithfulness, faithfulness_table
from resnet_ablations.report.tables.formats import latex
from resnet_ablations.report.tables.table import ShownCell, Table, TableColumn
from resnet_ablations.report.theory.measured import measurements

ENGINE = next(filter(shutil.which, ("pdflatex", "lualatex", "xelatex")), None)

pytestmark = pytest.mark.skipif(ENGINE is None, reason="no LaTeX: apt-get install texlive-latex-recommended")


def compile_(tables: list[str], folder: Path) -> str:
    """The log; the tables are a document of nothing but booktabs."""
    assert ENGINE is not None
    for number, text in enumerate(tables):
        (folder / f"table{number}.tex").write_text(text, encoding="utf-8")
    inputs = "".join(f"\\input{{table{number}}}\\clearpage\n" for number in range(len(tables)))
    preamble = "\\documentclass{article}\n\\usepackage{booktabs}\n"
    (folder / "all.tex").write_text(f"{preamble}\\begin{{document}}\n{inputs}\\end{{document}}\n")
    command = [ENGINE, "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "-file-line-error", "all.tex"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    assert run.returncode == 0, run.stdout[-2_000:]
    assert len(re.findall(r"\[\d+", run.stdout)) >= len(tables)
    return run.stdout


def test_every_published_table_compiles_and_fits_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A copy, so that the published runs are a reference, too.
    shutil.copytree(PUBLISHED / "runs", tmp_path / "published" / "runs")
    monkeypatch.setattr(frame, "PUBLISHED", tmp_path / "published")
    data = read_report_data(PUBLISHED)
    tables = [comparison(sweep, PUBLISHED) for sweep in data.sweeps]
    assert len(tables) > 10
    assert all("reference" in " ".join(column.heading for column in table.columns) for table in tables)
    compared = [(sweep, faithfulness(sweep, data)) for sweep in data.sweeps]
    tables += [faithfulness_table(sweep, found) for sweep, found in compared if len(found)]
    with paper_style():
        measured = [latex(one.table) for sweep in data.sweeps for one in measurements(sweep, data)]
    assert len(measured) > 3
    texts = [*map(latex, tables), *measured, (PUBLISHED / "report" / "claims.tex").read_text(encoding="utf-8")]
    assert "{[}U+" not in "".join(texts), "every sign has its LaTeX"
    log = compile_(texts, tmp_path)
    assert "Missing character" not in log
    assert not re.findall(r"Overfull \\hbox \(\d\d+\.\d+pt", log), "notes and captions stay within the text"


def test_a_table_of_nasty_names_compiles(made_up: MadeUp, tmp_path: Path) -> None:
    names = [
        r"\input{/etc/passwd}",
        "^^41 % # $x$ & ~ _ {",
        '=HYPERLINK("x")',
        "<script>alert(1)</script>",
        "日本 Ωé ß\x00\x1b",
    ]
    nasty = Table(
        "ta_b le",
        "t",
        names[0],
        (TableColumn(names[1]), TableColumn(names[4])),
        tuple((name, name) for name in names),
        (names[1],),
        "make x ARGS='a\n\\undefined'",
        cells={place: ShownCell(("a", "b"), is_best=True) for place in ((0, 0), (4, 1))},
    )
    log = compile_([latex(nasty)], tmp_path)
    assert "(/etc/passwd" not in log
