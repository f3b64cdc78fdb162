"""The LaTeX of every table compiles as it is, where there is a LaTeX: texlive-latex-recommended has all it takes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from made_up import MadeUp

from resnet_ablations.report.cells.folder import load
from resnet_ablations.report.cells.plans import load_plans
from resnet_ablations.report.cells.published import PUBLISHED
from resnet_ablations.report.contents import sweep_report
from resnet_ablations.report.tables.render import latex
from resnet_ablations.report.tables.table import Column, Table

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


def test_every_published_table_compiles_and_fits_its_page(tmp_path: Path) -> None:
    plans, _ = load_plans(PUBLISHED)
    found = load(PUBLISHED)
    reports = [sweep_report(plan, found, PUBLISHED, published=found) for plan in plans]
    claims = (PUBLISHED / "report" / "claims.tex").read_text(encoding="utf-8")
    log = compile_([*(latex(table) for report in reports for table in report.tables), claims], tmp_path)
    assert len(reports) > 10
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
        (Column(names[1]), Column(names[4], width=9)),
        tuple((name, name) for name in names),
        (names[1],),
        "make x ARGS='a\n\\undefined'",
        best=frozenset({(0, 0), (4, 1)}),
    )
    log = compile_([latex(nasty)], tmp_path)
    assert "(/etc/passwd" not in log
