"""Which of our numbers are the best of their columns."""

from collections import defaultdict
from collections.abc import Sequence

from resnet_ablations.report.cells.cell import FAIL, Cell, is_error
from resnet_ablations.results.sweeps import SweepPlan

TEST_IMAGES = ("_target_", "held_out", "fingerprint", "crop")
"""The settings of `data` that say which images an error is of."""


def best_cells(plan: SweepPlan, cells: Sequence[Cell], says_fail: bool) -> set[tuple[str, str]]:
    """The cells, by row and column, with the lowest error of their column as printed, all of a tie.

    Compared are those of one metric on the same test images that stand for one configuration (the best of several would
    be chosen by its test error) and have all their seeds; a sole one is not the best of anything, nor is a "fail".
    """
    comparable: dict[tuple[object, ...], dict[tuple[str, str], float]] = defaultdict(dict)
    for cell in cells:
        if not is_error(cell.metric) or len(cell.tallies) != 1 or cell.n < cell.planned:
            continue
        (tally,) = cell.tallies
        data = plan.configurations[tally.configuration].config["data"]
        images = tuple(str(data.get(name)) for name in TEST_IMAGES)
        comparable[cell.column.id, cell.metric, images][cell.row.id, cell.column.id] = round(cell.medians[0], 2)
    best = set()
    for errors in comparable.values():
        lowest = min(errors.values())
        if len(errors) > 1 and not (says_fail and lowest > FAIL):
            best |= {place for place, error in errors.items() if error == lowest}
    return best
