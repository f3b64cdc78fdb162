"""Pages of made-up results folders, without the files beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from old_reports import sweep_report

from resnet_ablations.report.cells.cell import Cell
from resnet_ablations.report.cells.folder import load
from resnet_ablations.report.cells.plans import load_plans
from resnet_ablations.report.page.page import page


@dataclass(frozen=True)
class Claimed:
    id: str = "identity"
    sentence: str = "The identity is best"
    where: str = "v2, Table 1"
    experiment: str = "shortcuts"


@dataclass(frozen=True)
class Judged:
    """A verdict as the page needs it."""

    outcome: str = "reproduced"
    sweep: str = "shortcuts-quick"
    scale: str = "quick"
    effect: str = "+1.50 points"
    interval: str = "–"
    seeds: str = "n = 1/1"
    statement: str = "At this scale: it is."
    flags: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()
    claim: Claimed = Claimed()


def page_of(results: Path, damaged: Sequence[str] = (), verdicts: Sequence[Judged] = ()) -> str:
    found = load(results)
    plans, _ = load_plans(results)
    reports = [sweep_report(plan, found, results) for plan in plans]
    return page(reports, found.curves_by_run, results, damaged, verdicts)


def cells_in(results: Path, sweep: str, rows: Sequence[str]) -> tuple[Cell, ...]:
    """The cells of rows of a sweep, as a verdict has them."""
    plans, _ = load_plans(results)
    (plan,) = (plan for plan in plans if plan.name == sweep)
    return tuple(cell for cell in sweep_report(plan, load(results), results).cells if cell.row.id in rows)
