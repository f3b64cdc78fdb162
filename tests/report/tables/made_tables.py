"""Tables of made-up results."""

from pathlib import Path

from made_up import MadeUp

from resnet_ablations.report.cells.cell import cells_of
from resnet_ablations.report.cells.plans import runs_of
from resnet_ablations.report.tables.comparison import comparison
from resnet_ablations.report.tables.table import Table
from resnet_ablations.results.frames import load_curves, load_results
from resnet_ablations.results.sweeps import SweepPlan


def table(made_up: MadeUp, plan: SweepPlan, results: Path = Path("results")) -> Table:
    runs = runs_of(plan, load_results(made_up.path), load_curves(made_up.path))
    return comparison(plan, made_up.experiment, cells_of(plan, made_up.experiment, runs), runs, results)


def lines(made_up: MadeUp, plan: SweepPlan) -> dict[str, dict[str, str]]:
    made = table(made_up, plan)
    headings = [column.heading for column in made.columns]
    ids = [row.id for row in made_up.experiment.rows]
    return {row_id: dict(zip(headings, row, strict=True)) for row_id, row in zip(ids, made.rows, strict=True)}
