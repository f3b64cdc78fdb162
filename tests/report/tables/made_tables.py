"""Tables of made-up results."""

from pathlib import Path

from made_up import MadeUp

from resnet_ablations.report.frame import Sweep, read_report_data
from resnet_ablations.report.tables.comparison import comparison
from resnet_ablations.report.tables.table import Table
from resnet_ablations.results.sweeps import SweepPlan


def sweep(made_up: MadeUp, plan: SweepPlan) -> Sweep:
    return next(one for one in read_report_data(made_up.path).sweeps if one.plan.name == plan.name)


def table(made_up: MadeUp, plan: SweepPlan, results: Path = Path("results")) -> Table:
    return comparison(sweep(made_up, plan), results)


def lines(made_up: MadeUp, plan: SweepPlan) -> dict[str, dict[str, str]]:
    made = table(made_up, plan)
    headings = [column.heading for column in made.columns]
    ids = [row.id for row in made_up.experiment.rows]
    return {row_id: dict(zip(headings, row, strict=True)) for row_id, row in zip(ids, made.rows, strict=True)}
