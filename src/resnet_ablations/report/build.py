"""Everything that the report makes from a results folder."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from resnet_ablations.errors import UserError
from resnet_ablations.experiments import SCALES
from resnet_ablations.report.claims.claim_file import load_claims
from resnet_ablations.report.claims.verdict_table import pages, tidy, verdict_table
from resnet_ablations.report.claims.verdicts import Verdict, judge
from resnet_ablations.report.contents import SweepReport, sweep_report
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.report.page.page import page
from resnet_ablations.report.tables import formats
from resnet_ablations.results.atomic_write import remove_temporary_files, write_atomically
from resnet_ablations.results.locks import results_lock

PAGE = "index.html"
OWN_FILES = re.compile(
    rf"claims\.(md|tex|csv)|[\w-]+-({'|'.join(SCALES)})(-[0-9a-f]{{6}})?"
    r"(\.(md|tex|csv)|-(runs|faithfulness)\.csv|-(strip|cost|curves|fig\d+)\.(pdf|svg|png))"
)
"""The names of the report's files, present and former, without the page."""


def build(results: Path, sweep: str | None, console: Console) -> list[str]:
    """Make and print the report on every sweep, or on one; return one message for each damaged file.

    The verdicts on the papers' claims and the page are about all sweeps, and are made with all of them. Raise
    `UserError` where no sweep was begun, or none of that name.
    """
    data = read_report_data(results)
    damaged = list(data.damaged)
    sweeps = data.sweeps
    if sweep is not None:
        sweeps = tuple(one for one in sweeps if one.plan.name == sweep)
        if not sweeps:
            names = ", ".join(one.plan.name for one in data.sweeps) or "none"
            raise UserError(f"--sweep={sweep}: no such sweep in {results}/sweeps; there: {names}")
    reports = [sweep_report(one, data) for one in sweeps]
    files: dict[str, str | bytes] = {}
    for report in reports:
        for table in report.tables:
            formats.terminal(table, console)
        files |= _files(report)
    if sweep is None:
        verdicts: list[Verdict] = []
        try:
            verdicts = judge(sweeps, data, load_claims())
        except UserError as error:
            damaged += error.messages
        if verdicts:
            files |= _claims(verdicts, console)
        files[PAGE] = page(reports, data, verdicts, damaged)
    place = results / "report"
    place.mkdir(exist_ok=True)
    with results_lock(results):
        remove_temporary_files(place)
        for name, content in files.items():
            write_atomically(place / name, content)
        if sweep is None and not damaged:  # only then are the files complete
            _remove_others(place, files)
    for name in files:
        console.print(Text(f"wrote {place / name}"), soft_wrap=True)
    return damaged


def _remove_others(place: Path, files: Collection[str]) -> None:
    """Remove the files of sweeps and runs that are gone."""
    for path in place.iterdir():
        if OWN_FILES.fullmatch(path.name) and path.name not in files:
            path.unlink()


def _files(report: SweepReport) -> dict[str, str | bytes]:
    """Return one sweep's files by name, its Markdown first."""
    comparison, faithful, name = report.comparison, report.faithfulness, report.sweep.plan.name
    text = [f"## {comparison.title}\n", formats.markdown(comparison)]
    files: dict[str, str | bytes] = {f"{name}.tex": formats.latex(comparison)}
    files |= {f"{stem}.csv": formats.csv(frame) for stem, frame in report.tidy.items()}
    for chart in report.figures:
        files |= {f"{name}-{chart.name}.{suffix}": content for suffix, content in chart.files.items()}
        text.append(f"![{report.sweep.experiment.title}: {chart.shows}]({name}-{chart.name}.svg)\n")
    if faithful is not None:
        text += [f"### {faithful.title}\n", formats.markdown(faithful)]
    return {f"{name}.md": "\n".join(text), **files}


def _claims(verdicts: Sequence[Verdict], console: Console) -> dict[str, str | bytes]:
    """Print the table of the verdicts, and return its files."""
    table = verdict_table(verdicts)
    formats.terminal(table, console)
    return {
        f"{table.name}.md": f"## {table.title}\n\n{formats.markdown(table)}",
        f"{table.name}.tex": "\n".join(map(formats.latex, pages(table))),
        f"{table.name}.csv": formats.csv(tidy(verdicts)),
    }
