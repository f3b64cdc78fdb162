"""The report on one sweep: its tables and figures, made once, and its files in every format."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from resnet_ablations.report.figures.chart import Chart, paper_style
from resnet_ablations.report.figures.finals import costs, strip
from resnet_ablations.report.figures.papers import curve_figures
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.tables import formats
from resnet_ablations.report.tables.comparison import comparison
from resnet_ablations.report.tables.faithfulness import faithfulness, faithfulness_table
from resnet_ablations.report.tables.summary import orderings, run_table, summary
from resnet_ablations.report.tables.table import Table
from resnet_ablations.report.theory.measured import Measurement, measurements


@dataclass(frozen=True)
class SweepReport:
    """A sweep's tables and figures; `frames` holds the data frames of its CSV files, by file stem."""

    sweep: Sweep
    comparison: Table
    faithfulness: Table | None
    frames: dict[str, pd.DataFrame]
    figures: tuple[Chart, ...]
    measurements: tuple[Measurement, ...]
    agrees: tuple[bool, ...]
    """True for each cell that differs from its baseline as in the paper, False for each that does not."""

    @property
    def tables(self) -> list[Table]:
        """Return the comparison and, if there is one, the table of faithfulness."""
        return [self.comparison] if self.faithfulness is None else [self.comparison, self.faithfulness]

    @property
    def charts(self) -> list[Chart]:
        """Return all figures."""
        return [*self.figures, *(chart for measured in self.measurements for chart in measured.figures)]

    @property
    def files(self) -> dict[str, str | bytes]:
        """Return the contents of the files by name, the Markdown first."""
        name = self.sweep.plan.name
        text = [f"## {self.comparison.title}\n", formats.markdown(self.comparison), *self._images(self.figures)]
        for table in self.tables[1:]:
            text += [f"### {table.title}\n", formats.markdown(table)]
        for measured in self.measurements:
            text += [f"### {measured.table.title}\n", formats.markdown(measured.table), *self._images(measured.figures)]
        found: dict[str, str | bytes] = {f"{name}.md": "\n".join(text)}
        tables = [self.comparison, *(measured.table for measured in self.measurements)]
        found |= {f"{table.name}.tex": formats.latex(table) for table in tables}
        found |= {f"{stem}.csv": formats.csv(frame) for stem, frame in self.frames.items()}
        files = ((chart.name, suffix, content) for chart in self.charts for suffix, content in chart.files.items())
        return found | {f"{name}-{chart}.{suffix}": content for chart, suffix, content in files}

    def _images(self, figures: Iterable[Chart]) -> list[str]:
        """Return the Markdown of some figures."""
        name, title = self.sweep.plan.name, self.sweep.experiment.title
        return [f"![{title}: {chart.shows}]({name}-{chart.name}.svg)\n" for chart in figures]


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
    with paper_style():
        measured = tuple(measurements(sweep, data))
    frames |= {f"{name}-{end}": frame for each in measured for end, frame in each.frames.items()}
    agrees = tuple(orderings(sweep)["agrees"])
    return SweepReport(sweep, comparison(sweep, data.path), table, frames, figures_of(sweep, data), measured, agrees)


def figures_of(sweep: Sweep, data: ReportData) -> tuple[Chart, ...]:
    """Return the figures for which the sweep has runs: the curves, the strip of final errors, and the costs."""
    with paper_style():
        made = [*curve_figures(sweep, data), strip(sweep), costs(sweep)]
    return tuple(figure for figure in made if figure is not None)
