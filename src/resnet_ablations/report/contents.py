"""What the report says of one sweep, as data: made once, written in every format."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import Experiment, load_experiment
from resnet_ablations.report.cells.cell import Cell, cells_of
from resnet_ablations.report.cells.folder import Results
from resnet_ablations.report.cells.plans import runs_of
from resnet_ablations.report.cells.published import reference_of
from resnet_ablations.report.figures.finals import Costs, Strip, costs_of, strip_of
from resnet_ablations.report.figures.lines import Figure, figures_of
from resnet_ablations.report.tables import faithfulness
from resnet_ablations.report.tables.comparison import comparison
from resnet_ablations.report.tables.table import Table
from resnet_ablations.report.tables.tidy import tidy_cells, tidy_runs
from resnet_ablations.results.sweeps import SweepPlan


@dataclass(frozen=True)
class SweepReport:
    """A sweep's tables and figures, and the cells and runs that they are made of; `tidy` is by the stem of its file."""

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


def sweep_report(plan: SweepPlan, found: Results, folder: Path, published: Results | None = None) -> SweepReport:
    """What the runs of a results folder come to in that sweep, beside the published ones.

    Raise `UserError` where its experiment is no more.
    """
    experiment = load_experiment(plan.experiment)
    runs = runs_of(plan, found.runs, found.curves)
    cells = cells_of(plan, experiment, runs)
    reference = reference_of(plan, experiment, published)
    tidy = {
        plan.name: tidy_cells(plan, experiment, cells, reference),
        f"{plan.name}-runs": tidy_runs(plan, cells, runs),
    }
    faithful = None
    if comparisons := faithfulness.compare(plan, cells, runs, found.curves):
        faithful = faithfulness.faithfulness_table(plan, experiment, comparisons)
        tidy[faithful.name] = faithfulness.tidy(plan, comparisons)
    return SweepReport(
        plan,
        experiment,
        tuple(cells),
        runs,
        comparison=comparison(plan, experiment, cells, runs, folder, reference),
        figures=figures_of(plan, experiment, cells, replace(found, runs=runs)),
        faithfulness=faithful,
        tidy=tidy,
        strip=strip_of(plan, experiment, cells),
        costs=costs_of(plan, experiment, cells, runs),
    )
