"""The page: the whole report in one file that needs no other file."""

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import Element

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from resnet_ablations.experiments import SCALES
from resnet_ablations.report.anchors import anchor, run_anchor, runs_link
from resnet_ablations.report.claims.verdicts import Verdict
from resnet_ablations.report.contents import SweepReport
from resnet_ablations.report.figures.chart import NumbersRow
from resnet_ablations.report.figures.svg import definitions
from resnet_ablations.report.frame import ReportData, Sweep, is_error
from resnet_ablations.report.page.answer import SIGNS, answer
from resnet_ablations.report.page.runs import runs_of_page
from resnet_ablations.report.tables.summary import written
from resnet_ablations.report.tables.table import MISSING, Table

TEMPLATES = Path(__file__).with_name("templates")
FIRST = "shortcuts"
"""The experiment whose tables lead the page: v2's Table 1."""
ORDER = ("paper", "small", "quick", "early")
"""The order of the scales on the page: the most like the paper first, and last the one whose runs stop early."""


def page(reports: Sequence[SweepReport], data: ReportData, verdicts: Sequence[Verdict], damaged: Sequence[str]) -> str:
    """Return the page on all sweeps of a results folder; it names the files that were left out as damaged."""
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    shared: dict[str, Element] = {}
    scales = {report.sweep.plan.scale for report in reports}
    text = (
        _environment()
        .get_template("page.html")
        .render(
            style=Markup(style),
            script=Markup(script),
            policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:",
            reports=sorted(reports, key=_rank),
            experiments={report.sweep.plan.experiment: report.sweep.experiment.title for report in reports},
            scales={scale: SCALES[scale] for scale in ORDER if scale in scales},
            verdicts=[verdict for verdict in verdicts if verdict.scale != "early"],
            runs=runs_of_page(reports, data, shared),
            damaged=damaged,
            shared=shared,
        )
    )
    # HTML closes these elements without their end tags, which are a twentieth of the page.
    return re.sub(r"</(?:t[dhr]|d[dt]|li)>\n*", "", text)


@cache
def _environment() -> Environment:
    """Return Jinja's environment, which keeps the compiled templates."""
    environment = Environment(
        loader=PackageLoader("resnet_ablations.report.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    functions = (anchor, answer, bases, definitions, files, groups, seed_runs, statement)
    environment.globals |= {one.__name__: one for one in functions} | {"signs": SIGNS, "missing": MISSING}
    return environment


def _rank(report: SweepReport) -> tuple[bool, str, int, str]:
    plan = report.sweep.plan
    return plan.experiment != FIRST, plan.experiment, ORDER.index(plan.scale), plan.name


def _digest(text: str) -> str:
    """Return the hash of a style or script; the page's policy allows only those with a listed hash."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def files(report: SweepReport) -> dict[str, str]:
    """Return the addresses of a sweep's files."""
    name = report.sweep.plan.name
    names = {"Markdown": f"{name}.md", "LaTeX": f"{name}.tex"}
    names |= {f"{stem.removeprefix(name).strip('-')} CSV".strip(): f"{stem}.csv" for stem in report.frames}
    names |= {f"{chart.name} PDF": f"{name}-{chart.name}.pdf" for chart in report.charts}
    return {what: quote(file) for what, file in names.items()}


def groups(table: Table, sweep: Sweep) -> list[list[list[tuple[str, tuple[str, str], bool]]]]:
    """Return the rows of a table in groups that share the text of the first column.

    An entry is a text, the address and the name of its runs, and whether it is the best of its column.
    """
    found: list[list[list[tuple[str, tuple[str, str], bool]]]] = []
    for number, texts in enumerate(table.rows):
        shown = [(text, table.cells.get((number, place))) for place, text in enumerate(texts)]
        found += [[]] if texts[0] or not found else []
        found[-1].append(
            [
                (text, runs_link(sweep.cell("/".join(one.cell))), one.is_best)
                if one and any(map(str.isdigit, text))
                else (text, ("", ""), False)
                for text, one in shown
            ]
        )
    return found


def statement(verdict: Verdict, sweep: Sweep | None) -> Markup:
    """Return a verdict's sentence; the number after a cell's name links to the cell's runs."""
    text = str(escape(verdict.finding.statement))
    for rows in [sweep.cell("/".join(cell)) for cell in verdict.cells] if sweep else []:
        to, runs = runs_link(rows)
        name = re.escape(str(escape(f"“{rows['label'].iloc[0]}”")))
        found = re.split(rf"({name}(?: \([^)]*configurations\))?: )([^,;]+)", text, maxsplit=1)
        if to and len(found) > 1:
            before, label, number, after = found
            link = Markup('<a href="{}" title="{}">').format(to, runs)
            text = f"{before}{label}{link}{number}</a>{after}"
    return Markup(text)


def bases(verdict: Verdict, sweep: Sweep | None) -> dict[str, list[tuple[str, str, str]]]:
    """Return the runs that a verdict is based on, by cell."""
    cells = [sweep.cell("/".join(cell)) for cell in verdict.cells] if sweep else []
    return {rows["label"].iloc[0]: runs for rows in cells if (runs := _results(rows))}


def seed_runs(sweep: Sweep) -> list[NumbersRow]:
    """Return a row for each run of each cell; the first row of a cell has the cell's id."""
    return [
        NumbersRow(first["label"], to, (text, key), "" if number else anchor("cell", sweep.plan.name, *cell))
        for cell, first in sweep.first_rows.items()
        for number, (key, to, text) in enumerate(_results(sweep.cell("/".join(cell))))
    ]


def _results(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return the key, the address and the result of each run of a cell."""
    metric = rows["metric"].iloc[0]
    unit, write = " %" if is_error(metric) else "", written(metric)
    found = rows[rows["key"] != ""].drop_duplicates("key")
    return [
        (key, f"#{run_anchor(key)}", f"{write(value)}{unit}" if pd.notna(value) else outcome.replace("finished", "–"))
        for key, value, outcome in zip(found["key"], found["value"], found["outcome"], strict=True)
    ]
