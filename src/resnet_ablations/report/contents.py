"""What the report says of one sweep, as data: made once, written in every format."""

from dataclasses import dataclass, replace

import pandas as pd

from resnet_ablations.experiments import Experiment
from resnet_ablations.report.cells.cell import Cell, cells_of
from resnet_ablations.report.cells.folder import Results
from resnet_ablations.report.cells.plans import runs_of
from resnet_ablations.report.figures.finals import Costs, Strip, costs_of, strip_of
from resnet_ablations.report.figures.lines import Figure, figures_of
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.tables.comparison import comparison
from resnet_ablations.report.tables.faithfulness import faithfulness, faithfulness_table
from resnet_ablations.report.tables.summary import run_table, summary
from resnet_ablations.report.tables.table import Table
from resnet_ablations.results.sweeps import SweepPlan


@dataclass(frozen=True)
class SweepReport:
    """A sweep's tables and figures, and the cells and runs that they are made of; `tidy` is by the stem of its file."""

    sweep: Sweep
    plan: SweepPlan
    experiment: Experiment
    cells: tuple[Cell, ...]
    runs: pd.DataFrame
    """As `runs_of` the plan."""
    comparison: Table
    figures: tuple[Figure, ...]
    faithfulness: Table | None
    tidy: dict[str, pd.DataFrame]
    strip: Strip | None = None
    costs: Costs | None = None

    @property
    def tables(self) -> list[Table]:
        """Those there are."""
        return [self.comparison] if self.faithfulness is None else [self.comparison, self.faithfulness]


def sweep_report(sweep: Sweep, data: ReportData, found: Results) -> SweepReport:
    """Return the report on a sweep; `found` is the same results folder."""
    plan, experiment = sweep.plan, sweep.experiment
    runs = runs_of(plan, found.runs, found.curves)
    cells = cells_of(plan, experiment, runs)
    tidy = {plan.name: summary(sweep), f"{plan.name}-runs": run_table(sweep)}
    faithful = None
    if len(compared := faithfulness(sweep, data)):
        faithful = faithfulness_table(sweep, compared)
        tidy[faithful.name] = compared.drop(columns="label")
    return SweepReport(
        sweep,
        plan,
        experiment,
        tuple(cells),
        runs,
        comparison=comparison(sweep, data.path),
        figures=figures_of(plan, experiment, cells, replace(found, runs=runs)),
        faithfulness=faithful,
        tidy=tidy,
        strip=strip_of(plan, experiment, cells),
        costs=costs_of(plan, experiment, cells, runs),
    )
