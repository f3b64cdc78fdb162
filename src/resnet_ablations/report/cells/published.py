"""The published results beside a user's own: the same configurations and seeds, run elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import Experiment
from resnet_ablations.paths import ROOT
from resnet_ablations.report.cells.cell import Cell, cells_of
from resnet_ablations.report.cells.folder import Results, load
from resnet_ablations.report.cells.plans import runs_of
from resnet_ablations.results.sweeps import SweepPlan

PUBLISHED = ROOT / "results" / "reference"
"""The published results; an installed package has their runs only."""


@dataclass(frozen=True)
class Reference:
    """What the published runs of a plan's own configurations and seeds came to, by row and column."""

    cells: dict[tuple[str, str], Cell]
    runs: pd.DataFrame
    """As `runs_of` the plan."""

    def of(self, cell: Cell) -> Cell:
        """The same cell as published."""
        return self.cells[cell.row.id, cell.column.id]


def load_published(results: Path, plans: Sequence[SweepPlan]) -> Results | None:
    """The published results; None for the published folder itself, and where it has no run of these plans."""
    if results.resolve() == PUBLISHED.resolve():
        return None
    wanted = (key for plan in plans for key in plan.run_keys)
    return load(PUBLISHED) if any((PUBLISHED / "runs" / key).exists() for key in wanted) else None


def reference_of(plan: SweepPlan, experiment: Experiment, published: Results | None) -> Reference | None:
    """The published runs that belong in the plan's table; None without any."""
    if published is None:
        return None
    runs = runs_of(plan, published.runs, published.curves)
    if runs.empty:
        return None
    return Reference({(cell.row.id, cell.column.id): cell for cell in cells_of(plan, experiment, runs)}, runs)
