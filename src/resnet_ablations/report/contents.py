"""The report on one sweep: its tables and figures, made once, and its files in every format."""

from dataclasses import dataclass

import pandas as pd

from resnet_ablations.report.figures.chart import Chart, paper_style
from resnet_ablations.report.figures.finals import costs, strip
from resnet_ablations.report.figures.panels import curve_figures
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.tables import formats
from resnet_ablations.report.tables.comparison import comparison
from resnet_ablations.report.tables.faithfulness import faithfulness, faithfulness_table
from resnet_ablations.report.tables.summary import orderings, run_table, summary
from resnet_ablations.report.tables.table import Table


@dataclass(frozen=True)
class SweepReport:
    """A sweep's tables and figures; `frames` holds the data frames of its CSV files, by file stem."""

    sweep: Sweep
    comparison: Table
    faithfulness: Table | None
    frames: dict[str, pd.DataFrame]
    figures: tuple[Chart, ...]
    agrees: tuple[bool, ...]
    """True for each cell that differs from its baseline as in the paper, False for each that does not."""

    @property
    def tables(self) -> list[Table]:
        """Return the comparison and, if there is one, the table of faithfulness."""
        return [self.comparison] if self.faithfulness is None else [self.comparison, self.faithfulness]

    @property
    def files(self) -> dict[str, str | bytes]:
        """Return the contents of the files by name, the Markdown first."""
        name, title = self.sweep.plan.name, self.sweep.experiment.title
        text = [f"## {self.comparison.title}\n", formats.markdown(self.comparison)]
        text += [f"![{title}: {chart.shows}]({name}-{chart.name}.svg)\n" for chart in self.figures]
        for table in self.tables[1:]:
            text += [f"### {table.title}\n", formats.markdown(table)]
        found: dict[str, str | bytes] = {f"{name}.md": "\n".join(text), f"{name}.tex": formats.latex(self.comparison)}
        found |= {f"{stem}.csv": formats.csv(frame) for stem, frame in self.frames.items()}
        charts = ((chart.name, suffix, content) for chart in self.figures for suffix, content in chart.files.items())
        return found | {f"{name}-{chart}.{suffix}": content for chart, suffix, content in charts}


def sweep_report(sweep: Sweep, data: ReportData) -> SweepReport:
    """Return the report on one sweep of a results folder, without verdicts."""
    name = sweep.plan.name
    frames = {name: summary(sweep), f"{name}-runs": run_table(sweep)}
    if len(sweep.others):
        frames[f"{name}-others"] = sweep.others
    table, found = None, faithfulness(sweep, data)
    if len(found):
        table = faithfulness_table(sweep, found)
        frames[table.name] = found.drop(columns="label")
    agrees = tuple(orderings(sweep)["agrees"])
    return SweepReport(sweep, comparison(sweep, data.path), table, frames, figures_of(sweep, data), agrees)


def figures_of(sweep: Sweep, data: ReportData) -> tuple[Chart, ...]:
    """Return the figures for which the sweep has runs: the curves, the strip of final errors, and the costs."""
    with paper_style():
        made = [*curve_figures(sweep, data), strip(sweep), costs(sweep)]
    return tuple(figure for figure in made if figure is not None)
