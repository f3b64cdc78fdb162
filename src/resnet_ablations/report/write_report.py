"""The report on a results folder: printed, and written to `RESULTS/report`."""

import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

from resnet_ablations.console import WIDTH
from resnet_ablations.errors import UserError, reason_of
from resnet_ablations.experiments import SCALES
from resnet_ablations.report.claims.claim_file import load_claims
from resnet_ablations.report.claims.verdict_table import pages, verdict_frame, verdict_table
from resnet_ablations.report.claims.verdicts import Verdict, judge
from resnet_ablations.report.contents import sweep_report
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.report.page.page import page
from resnet_ablations.report.tables import formats
from resnet_ablations.results.atomic_write import remove_temporary_files, reporting_full_disk, write_atomically
from resnet_ablations.results.locks import file_lock

OWN_FILES = re.compile(
    rf"claims\.(md|tex|csv)|[\w-]+-({'|'.join(SCALES)})(-[0-9a-f]{{6}})?"
    r"(\.(md|tex|csv)|-(runs|others|faithfulness|signals|deficits|lesions)\.csv"
    r"|-(propagation|residuals|gates|deficits|lesions)\.tex"
    r"|-(strip|cost|curves|(fig|readings|warmup)\d+|propagation|responses|(residuals|gates)(-training)?|lesions-\w+|paths)\.(pdf|svg|png))"
)
"""The pattern of the file names that this version or an earlier one writes, except the page's."""


def write_report(results: Path, sweep: str | None, console: Console) -> list[str]:
    """Write and print the report on all sweeps, or only on `sweep`; return one message for each damaged file.

    Verdicts on the papers' claims and the page are written only in a report on all sweeps. Raise `UserError` if there
    is no sweep, or none named `sweep`.
    """
    data = read_report_data(results)
    reports = [sweep_report(one, data) for one in data.sweeps if sweep in (None, one.plan.name)]
    if sweep is not None and not reports:
        names = ", ".join(one.plan.name for one in data.sweeps) or "none"
        raise UserError(f"--sweep={sweep}: no such sweep in {results}/sweeps; there: {names}")
    damaged = list(data.damaged)
    tables = [table for report in reports for table in report.tables]
    files = {name: content for report in reports for name, content in report.files.items()}
    if sweep is None:
        verdicts: list[Verdict] = []
        try:
            verdicts = judge(data.sweeps, data, load_claims())
        except UserError as error:
            damaged += error.messages
        if verdicts:
            table = verdict_table(verdicts)
            tables.append(table)
            files[f"{table.name}.md"] = f"## {table.title}\n\n{formats.markdown(table)}"
            files[f"{table.name}.tex"] = "\n".join(map(formats.latex, pages(table)))
            files[f"{table.name}.csv"] = formats.csv(verdict_frame(verdicts))
        files["index.html"] = page(reports, data, verdicts, damaged)
    for table in tables:
        formats.terminal(table, console)
    for report in reports:
        for table in (measured.table for measured in report.measurements):
            text = Text.assemble((f"{report.sweep.plan.name}, {table.title}: ", "bold"), *table.notes)
            console.print(text, width=min(WIDTH, console.width))
    place = results / "report"
    try:
        with reporting_full_disk(results):
            _write(place, files, remove_others=sweep is None and not damaged)
    except OSError as error:
        wrong = error.filename2 or error.filename or place
        raise UserError(f"{wrong}: cannot be written: {reason_of(error)}; move it, and make the report again") from None
    for name in files:
        console.print(Text(f"wrote {place / name}"), soft_wrap=True)
    return damaged


def _write(place: Path, files: dict[str, str | bytes], *, remove_others: bool) -> None:
    """Write the report's files; if `remove_others`, remove the files of reports on sweeps that were deleted since."""
    place.mkdir(exist_ok=True)
    with file_lock(place.parent / ".lock"):
        remove_temporary_files(place)
        for name, content in files.items():
            write_atomically(place / name, content)
        for path in place.iterdir() if remove_others else ():
            if OWN_FILES.fullmatch(path.name) and path.name not in files and not path.is_dir():
                path.unlink()
