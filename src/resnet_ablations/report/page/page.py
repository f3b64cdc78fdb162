"""The page: everything that the report says, in one file that needs nothing else."""

import base64
import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resnet_ablations.report.anchors import anchor, run_anchor, runs_link
from resnet_ablations.report.claims.verdicts import Verdict
from resnet_ablations.report.contents import SweepReport
from resnet_ablations.report.figures.chart import Chart, NumbersRow
from resnet_ablations.report.frame import CellId, ReportData, is_error
from resnet_ablations.report.page.answer import RANK, answer
from resnet_ablations.report.page.runs import runs_of_page
from resnet_ablations.report.tables.table import Table

TEMPLATES = Path(__file__).with_name("templates")
FIRST = "shortcuts"
"""The experiment whose tables lead the page: v2's Table 1."""
MEANING = {
    "paper": "the paper’s own setting",
    "small": "CIFAR with a short schedule, hours on a CPU",
    "quick": "small networks on embedded images, minutes on a laptop",
    "early": "the paper’s own setting, stopped early",
}
"""The scales, those that say most about the paper first."""


@dataclass(frozen=True)
class Entry:
    """A text of a table; `to` is the address of its runs and `title` their name."""

    text: str
    right: bool
    is_best: bool
    to: str
    title: str


@dataclass(frozen=True)
class PageTable:
    """A table whose rows are grouped where they share the text of the first column."""

    anchor: str
    table: Table
    groups: tuple[tuple[tuple[Entry, ...], ...], ...]


@dataclass(frozen=True)
class PageChart:
    """A figure of the page."""

    anchor: str
    title: str
    chart: Chart
    panels: tuple[Markup, ...]


@dataclass(frozen=True)
class PageVerdict:
    """A verdict with the runs that it rests on: by cell, each with its address and its result."""

    anchor: str
    verdict: Verdict
    bases: dict[str, list[tuple[str, str]]]

    @property
    def count(self) -> int:
        """The number of runs."""
        return len({to for runs in self.bases.values() for to, _ in runs})


@dataclass(frozen=True)
class Section:
    """A sweep's part of the page."""

    anchor: str
    report: SweepReport
    answer: str
    finished: int
    planned: int
    comparison: PageTable
    faithfulness: PageTable | None
    charts: tuple[PageChart, ...]
    verdicts: tuple[PageVerdict, ...]
    runs: tuple[NumbersRow, ...]
    files: dict[str, str]

    @property
    def outcomes(self) -> dict[str, int]:
        """The number of verdicts of each outcome that there is."""
        return _outcomes([made.verdict for made in self.verdicts])


def page(reports: Sequence[SweepReport], data: ReportData, verdicts: Sequence[Verdict], damaged: Sequence[str]) -> str:
    """Return the page on all sweeps of a results folder; it names the files that were left out as damaged."""
    environment = Environment(
        loader=PackageLoader("resnet_ablations.report.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    numbers = itertools.count()
    sections = [_section(report, numbers) for report in sorted(reports, key=_rank)]
    shown = [verdict for verdict in verdicts if verdict.scale != "early"]
    scales = {report.sweep.plan.scale for report in reports}
    return environment.get_template("page.html").render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:",
        sections=sections,
        experiments={
            section.report.sweep.plan.experiment: section.report.sweep.experiment.title for section in sections
        },
        scales={scale: meaning for scale, meaning in MEANING.items() if scale in scales},
        outcomes=_outcomes(shown),
        unjudged=[PageVerdict("", verdict, {}) for verdict in shown if not verdict.sweep],
        runs=runs_of_page(reports, data),
        damaged=damaged,
    )


def _rank(report: SweepReport) -> tuple[bool, str, int, str]:
    plan = report.sweep.plan
    return plan.experiment != FIRST, plan.experiment, list(MEANING).index(plan.scale), plan.name


def _digest(text: str) -> str:
    """Return the hash by which the page's policy admits its own style and script, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _outcomes(verdicts: Sequence[Verdict]) -> dict[str, int]:
    counts = Counter[str](verdict.outcome for verdict in verdicts)
    return {outcome: counts[outcome] for outcome in RANK if counts[outcome]}


def _section(report: SweepReport, numbers: "itertools.count[int]") -> Section:
    sweep, name = report.sweep, report.sweep.plan.name
    cells: dict[CellId, pd.DataFrame] = dict(iter(sweep.cells.groupby(["row", "column"], sort=False)))  # type: ignore[arg-type]
    planned = sweep.cells[sweep.cells["configuration"] != ""]
    finished = planned["value"].notna().groupby([planned["configuration"], planned["seed"]]).all()
    files = {"Markdown": f"{name}.md", "LaTeX": f"{name}.tex"}
    files |= {f"{stem.removeprefix(name).strip('-')} CSV".strip(): f"{stem}.csv" for stem in report.tidy}
    files |= {f"{chart.name} PDF": f"{name}-{chart.name}.pdf" for chart in report.figures}
    return Section(
        anchor("sweep", name),
        report,
        answer(sweep, report.agrees, [verdict.outcome for verdict in report.verdicts]),
        int(finished.sum()),
        len(finished),
        comparison=_table(report.comparison, cells),
        faithfulness=_table(report.faithfulness, cells) if report.faithfulness else None,
        charts=tuple(_chart(chart, name, next(numbers)) for chart in report.figures),
        verdicts=tuple(_verdict(verdict, cells) for verdict in report.verdicts),
        runs=tuple(run for rows in cells.values() for run in _seed_runs(rows)),
        files={what: quote(file) for what, file in files.items()},
    )


def _chart(chart: Chart, sweep: str, number: int) -> PageChart:
    like = f" (as {chart.name.replace('fig', 'Fig. ')})" if chart.name.startswith("fig") else ""
    title = f"{chart.shows[0].upper()}{chart.shows[1:]}{like}"
    return PageChart(anchor("chart", sweep, chart.name), title, chart, tuple(chart.panels(f"f{number}-")))


def _table(table: Table, cells: Mapping[CellId, pd.DataFrame]) -> PageTable:
    leading = {place: runs_link(rows) for place, rows in cells.items()}
    groups: list[list[tuple[Entry, ...]]] = []
    behind = table.cells or [(None,) * len(table.columns)] * len(table.rows)
    for number, (texts, places) in enumerate(zip(table.rows, behind, strict=True)):
        entries = []
        for place, (text, column, cell) in enumerate(zip(texts, table.columns, places, strict=True)):
            # A number leads to its run, or to the list of them if there are several.
            to, title = leading[cell] if cell and any(map(str.isdigit, text)) else ("", "")
            entries.append(Entry(text, column.right, (number, place) in table.best, to, title))
        if texts[0] or not groups:
            groups.append([])
        groups[-1].append(tuple(entries))
    return PageTable(anchor("table", table.name), table, tuple(map(tuple, groups)))


def _verdict(verdict: Verdict, cells: Mapping[CellId, pd.DataFrame]) -> PageVerdict:
    bases = {}
    for cell in verdict.cells:
        rows = cells[cell]
        if runs := [(to, text) for _, to, text in _results(rows)]:
            bases[rows["label"].iloc[0]] = runs
    return PageVerdict(anchor("basis", verdict.claim.id, verdict.sweep), verdict, bases)


def _seed_runs(rows: pd.DataFrame) -> list[NumbersRow]:
    first = rows.iloc[0]
    name = anchor("cell", first["sweep"], first["row"], first["column"])
    return [
        NumbersRow(first["label"], to, (text, key), "" if number else name)
        for number, (key, to, text) in enumerate(_results(rows))
    ]


def _results(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return the key, the address and the result of each run of a cell."""
    unit = " %" if is_error(rows["metric"].iloc[0]) else ""
    found = rows[rows["key"] != ""].drop_duplicates("key")
    texts = [
        f"{value:.2f}{unit}" if pd.notna(value) else "diverged" if outcome == "diverged" else "–"
        for value, outcome in zip(found["value"], found["outcome"], strict=True)
    ]
    return [(key, f"#{run_anchor(key)}", text) for key, text in zip(found["key"], texts, strict=True)]
