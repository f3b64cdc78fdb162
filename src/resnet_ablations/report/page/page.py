"""The page: everything that the report says, in one file that needs nothing else."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resnet_ablations.report.cells.cell import Cell, runs_in
from resnet_ablations.report.cells.labels import cell_label
from resnet_ablations.report.claims.verdicts import Verdict
from resnet_ablations.report.contents import SweepReport
from resnet_ablations.report.figures.kinds import KINDS, Kind
from resnet_ablations.report.figures.lines import Figure
from resnet_ablations.report.page.dots import HOLDERS, TRACK, CostFigure, StripPlot, cost_figure, strip_plot
from resnet_ablations.report.page.links import anchor, cell_anchor, link_to, run_anchor, runs_behind
from resnet_ablations.report.page.plots import CANVAS, COLOURS, MARKERS, Plot, plot
from resnet_ablations.report.page.runs import runs_in as runs_of_page
from resnet_ablations.report.page.verdicts import by_claim
from resnet_ablations.report.tables.table import Table

TEMPLATES = Path(__file__).with_name("templates")
SCALES = {
    "quick": "small networks on embedded images, minutes on a laptop",
    "small": "CIFAR with a short schedule, hours on a CPU",
    "early": "the paper’s own setting, stopped early",
    "paper": "the paper’s own setting",
}
OUTCOMES = ("reproduced", "contradicted", "inconclusive", "not run")


@dataclass(frozen=True)
class Entry:
    """A text of a table, and where its runs are."""

    text: str
    right: bool
    to: str = ""
    title: str = ""
    is_best: bool = False
    """Of its column."""


@dataclass(frozen=True)
class SeedRun:
    """A run in the list of all that a table's numbers are made of; `anchor` where it is the first of its cell."""

    anchor: str
    label: str
    key: str
    to: str
    value: str


@dataclass(frozen=True)
class DrawnFigure:
    """A figure with its panels as the page draws them; `strokes` are dashed or not, by name."""

    name: str
    shows: str
    strokes: dict[str, bool]
    has_paper: bool
    has_band: bool
    plots: tuple[Plot, ...]


@dataclass(frozen=True)
class PageTable:
    """A table whose rows are put together where they share the text of the first column."""

    anchor: str
    table: Table
    groups: tuple[tuple[tuple[Entry, ...], ...], ...]


@dataclass(frozen=True)
class Section:
    """A sweep's part of the page."""

    anchor: str
    report: SweepReport
    finished: int
    planned: int
    comparison: PageTable
    faithfulness: PageTable | None
    figures: tuple[DrawnFigure, ...]
    strip: StripPlot | None
    costs: CostFigure | None
    runs: tuple[SeedRun, ...]
    files: dict[str, str]


def page(
    reports: Sequence[SweepReport],
    curves: Mapping[str, pd.DataFrame],
    results: Path,
    damaged: Sequence[str] = (),
    verdicts: Sequence[Verdict] = (),
) -> str:
    """The page on all sweeps of a results folder, whose `curves` are given by run, and what was left out as damaged."""
    environment = Environment(
        loader=PackageLoader("resnet_ablations.report.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.globals |= {"anchor": anchor, "canvas": CANVAS, "markers": MARKERS, "colours": COLOURS}
    environment.globals |= {"track": TRACK, "holders": HOLDERS}
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    early = sorted({verdict.sweep for verdict in verdicts if verdict.scale == "early"})
    shown = [verdict for verdict in verdicts if verdict.scale != "early"]
    scales = [scale for scale in SCALES if any(report.plan.scale == scale for report in reports)]
    return environment.get_template("page.html").render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:",
        sections=[_section(report) for report in reports],
        experiments={report.plan.experiment: report.experiment.title for report in reports},
        scales={scale: SCALES[scale] for scale in scales},
        claims=by_claim(shown, {report.plan.name: report for report in reports}),
        outcomes={outcome: sum(verdict.outcome == outcome for verdict in shown) for outcome in OUTCOMES},
        early=early,
        sweeps={report.plan.name for report in reports},
        runs=runs_of_page(reports, curves, results),
        damaged=damaged,
    )


def _digest(text: str) -> str:
    """By which the page's policy tells its own style and script from anything that found its way in."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _section(report: SweepReport) -> Section:
    name = report.plan.name
    finished, planned = runs_in(report.cells)
    files = {"Markdown": f"{name}.md", "LaTeX": f"{name}.tex"}
    files |= {f"{stem.removeprefix(name).strip('-')} CSV".strip(): f"{stem}.csv" for stem in report.tidy}
    drawn = [figure.name for figure in report.figures]
    drawn += ["strip"] * bool(report.strip) + ["cost"] * bool(report.costs)
    files |= {f"{figure} PDF": f"{name}-{figure}.pdf" for figure in drawn}
    return Section(
        anchor("sweep", name),
        report,
        finished,
        planned,
        _table(report.comparison, report),
        _table(report.faithfulness, report) if report.faithfulness else None,
        figures=tuple(_figure(figure, report) for figure in report.figures),
        strip=strip_plot(anchor("strip", name), report.strip) if report.strip else None,
        costs=cost_figure(anchor("cost", name), name, report.costs) if report.costs else None,
        runs=tuple(run for cell in report.cells for run in _seed_runs(cell, report)),
        files={what: quote(file) for what, file in files.items()},
    )


def _table(table: Table, report: SweepReport) -> PageTable:
    groups: list[list[tuple[Entry, ...]]] = []
    by_id = {(cell.row.id, cell.column.id): cell for cell in report.cells}
    of_rows = table.cells or [(None,) * len(table.columns)] * len(table.rows)
    for number, (texts, cells) in enumerate(zip(table.rows, of_rows, strict=True)):
        row = tuple(
            replace(
                _entry(text, column.right, by_id[cell] if cell else None, report), is_best=(number, place) in table.best
            )
            for place, (text, column, cell) in enumerate(zip(texts, table.columns, cells, strict=True))
        )
        if texts[0] or not groups:
            groups.append([])
        groups[-1].append(row)
    return PageTable(anchor("table", table.name), table, tuple(map(tuple, groups)))


def _entry(text: str, right: bool, cell: Cell | None, report: SweepReport) -> Entry:
    """A number leads to its run, or to the list of them if there are several."""
    runs = list(runs_behind(cell)) if cell else []
    if cell is None or not runs or not any(map(str.isdigit, text)):
        return Entry(text, right)
    link = link_to(runs, report.plan.name, cell)
    return Entry(text, right, link.to, link.text)


def _seed_runs(cell: Cell, report: SweepReport) -> list[SeedRun]:
    label, first = cell_label(cell, report.experiment), cell_anchor(report.plan.name, cell)
    return [
        SeedRun("" if number else first, label, key, f"#{run_anchor(key)}", value)
        for number, (key, value) in enumerate(runs_behind(cell).items())
    ]


def _figure(figure: Figure, report: SweepReport) -> DrawnFigure:
    kind: Kind = KINDS[figure.panels[0].kind]
    lines = [line for of_panel in figure.lines for line in of_panel]
    axes, most = kind.axes_of(lines, report.plan.scale == "paper"), max(map(len, figure.lines))
    plots = []
    for number, (panel, of_panel) in enumerate(zip(figure.panels, figure.lines, strict=True)):
        letter = f"({chr(ord('a') + number)}) " if len(figure.panels) > 1 else ""
        name = anchor("panel", report.plan.name, panel.id)
        plots.append(plot(name, f"{letter}{panel.title}", kind, axes, of_panel, most))
    return DrawnFigure(
        figure.name,
        kind.shows,
        {stroke.name: stroke.style == "--" for stroke in kind.strokes.values()},
        has_paper=any(line.paper.keys() & kind.strokes.keys() for line in lines),
        has_band=any(curve.band for drawn in plots for curve in drawn.curves),
        plots=tuple(plots),
    )
