"""Everything that the report makes from a results folder."""

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure as Drawing
from rich.console import Console
from rich.text import Text

from resnet_ablations.errors import UserError
from resnet_ablations.experiments import SCALES
from resnet_ablations.report.cells.folder import load
from resnet_ablations.report.claims.claim_file import load_claims
from resnet_ablations.report.claims.verdict_table import pages, tidy, verdict_table
from resnet_ablations.report.claims.verdicts import Verdict, judge
from resnet_ablations.report.contents import SweepReport, sweep_report
from resnet_ablations.report.figures import layout
from resnet_ablations.report.figures.dots import draw_costs, draw_strip
from resnet_ablations.report.figures.files import figure_files
from resnet_ablations.report.figures.kinds import KINDS
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.report.page.page import page
from resnet_ablations.report.tables import formats
from resnet_ablations.results.atomic_write import remove_temporary_files, write_atomically
from resnet_ablations.results.locks import results_lock

PAGE = "index.html"
OWN_FILES = re.compile(
    rf"claims\.(md|tex|csv)|[\w-]+-({'|'.join(SCALES)})(-[0-9a-f]{{6}})?"
    r"(\.(md|tex|csv)|-(runs|faithfulness)\.csv|-(strip|cost|fig\d+)\.(pdf|svg|png))"
)
"""What the report calls its files, or has called them, but for the page."""


def build(results: Path, sweep: str | None, console: Console) -> list[str]:
    """Make and print what the report has on every sweep, or on that one; return what is damaged, in words.

    The verdicts on the papers' claims and the page, which are about all sweeps, are made with all of them. Raise
    `UserError` where there is no sweep at all, or none of that name.
    """
    data = read_report_data(results)
    damaged, names = list(data.damaged), [one.plan.name for one in data.sweeps]
    if sweep is not None and sweep not in names:
        raise UserError(f"--sweep={sweep}: no such sweep in {results}/sweeps; there: {', '.join(names) or 'none'}")
    found = load(results)
    reports = [sweep_report(one, data, found) for one in data.sweeps if sweep in (None, one.plan.name)]
    files: dict[str, str | bytes] = {}
    for report in reports:
        for table in report.tables:
            formats.terminal(table, console)
        files |= _files(report)
    if sweep is None:
        judged: list[Verdict] = []
        try:
            judged = judge(data.sweeps, data, load_claims())
        except UserError as error:
            damaged += error.messages
        if judged:
            files |= _claims(judged, console)
        files[PAGE] = page(reports, found.curves_by_run, results, damaged, judged)
    place = results / "report"
    place.mkdir(exist_ok=True)
    with results_lock(results):
        remove_temporary_files(place)
        for name, content in files.items():
            write_atomically(place / name, content)
        if sweep is None and not damaged:  # all that there is to say is said
            _remove_others(place, files)
    for name in files:
        console.print(Text(f"wrote {place / name}"), soft_wrap=True)
    return damaged


def _remove_others(place: Path, files: Collection[str]) -> None:
    """Of the report's own files, those that it makes no more, for the sweep or its runs are gone."""
    for path in place.iterdir():
        if OWN_FILES.fullmatch(path.name) and path.name not in files:
            path.unlink()


def _files(report: SweepReport) -> dict[str, str | bytes]:
    """One sweep's files by name, its Markdown first."""
    comparison, faithful, name = report.comparison, report.faithfulness, report.plan.name
    text = [f"## {comparison.title}\n", formats.markdown(comparison)]
    files: dict[str, str | bytes] = {f"{name}.tex": formats.latex(comparison)}
    files |= {f"{stem}.csv": formats.csv(frame) for stem, frame in report.tidy.items()}
    drawings = _drawings(report)
    files |= figure_files({stem: draw for stem, (_, draw) in drawings.items()})
    text += [f"![{report.experiment.title}: {shows}]({stem}.svg)\n" for stem, (shows, _) in drawings.items()]
    if faithful is not None:
        text += [f"### {faithful.title}\n", formats.markdown(faithful)]
    return {f"{name}.md": "\n".join(text), **files}


def _claims(judged: Sequence[Verdict], console: Console) -> dict[str, str | bytes]:
    """The files of the verdicts, and their table on the console."""
    shown = verdict_table(judged)
    formats.terminal(shown, console)
    return {
        f"{shown.name}.md": f"## {shown.title}\n\n{formats.markdown(shown)}",
        f"{shown.name}.tex": "\n".join(map(formats.latex, pages(shown))),
        f"{shown.name}.csv": formats.csv(tidy(judged)),
    }


def _drawings(report: SweepReport) -> dict[str, tuple[str, Callable[[], Drawing]]]:
    """One sweep's figures by the stem of their files: what they show, and how they are drawn."""
    name, title = report.plan.name, report.comparison.title
    drawings: dict[str, tuple[str, Callable[[], Drawing]]] = {}
    for figure in report.figures:
        shows = KINDS[figure.panels[0].kind].shows
        drawings[f"{name}-{figure.name}"] = (shows, partial(layout.draw, figure, report.plan))
    if report.strip:
        drawings[f"{name}-strip"] = ("final errors", partial(draw_strip, report.strip, title))
    if report.costs:
        drawings[f"{name}-cost"] = ("final errors and what they cost", partial(draw_costs, report.costs, title))
    return drawings
