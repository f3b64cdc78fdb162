"""What stands in a cell of a table."""

from collections.abc import Iterable, Sequence

from resnet_ablations.experiments import Cell as PaperCell
from resnet_ablations.report.cells.cell import FAIL, Cell, Tally, runs_in
from resnet_ablations.report.tables.notes import signed


def digits_of(papers: Iterable[PaperCell]) -> int:
    """As many after the point as the paper gives in the column, and not less than one."""
    numbers = [number for paper in papers for number in (paper.printed, paper.digitised) if isinstance(number, float)]
    return max([1, *(len(repr(number).partition(".")[2]) for number in numbers)])


def paper(cell: PaperCell, digits: int) -> str:
    """What the paper prints: `6.61`, `fail`, or `≈ 9.69` from a figure."""
    if isinstance(cell.printed, float):
        return f"{cell.printed:.{digits}f}"
    if cell.printed is None:
        return "–" if cell.digitised is None else f"≈ {cell.digitised:.{digits}f}"
    return cell.printed


def n(cells: Sequence[Cell]) -> str:
    """Finished of planned runs of each cell: `3/5`, or `3/5, 5/5` where the cells of a row differ."""
    counts = [runs_in([cell]) for cell in cells]
    texts = [f"{finished}/{planned}" for finished, planned in counts if planned]
    return ", ".join(texts if len(set(texts)) > 1 else texts[:1]) or "–"


def reference(cell: Cell, says_fail: bool) -> str:
    """The published median, of several configurations the lowest and the highest."""
    if not cell.medians:
        return "diverged" if cell.diverged else "–"
    if says_fail and cell.metric == "test_error" and cell.medians[0] > FAIL:
        return f"fail ({_span(cell.medians, '.1f')})"
    return _span(cell.medians, ".2f")


def ours(cell: Cell, says_fail: bool) -> str:
    """Our median (mean ± standard deviation), and what became of runs that have none."""
    if not cell.tallies:
        return "–" if cell.is_not_run or not cell.row.configurations else "not planned"
    says_fail = says_fail and cell.metric == "test_error"
    parts = []
    if len(cell.tallies) > 1 and cell.n:
        parts.append(_range(cell, says_fail))
    elif cell.n:
        parts.append(_statistics(cell.tallies[0], says_fail))
    if cell.diverged:
        parts.append(f"{cell.diverged} diverged")
    if cell.missing and not cell.n:
        parts.append(f"{cell.missing} missing" if cell.diverged else "missing")
    return ", ".join(parts)


def difference(cell: Cell) -> str:
    """To the baseline's median, in percentage points."""
    if cell.baseline is None or not cell.medians or not cell.baseline.medians:
        return "–"
    points = [median - cell.baseline.medians[0] for median in cell.medians]
    texts = [signed(points[0]), signed(points[-1])]
    return texts[0] if len(points) == 1 else " to ".join(texts)


def _statistics(tally: Tally, says_fail: bool) -> str:
    assert tally.median is not None
    if says_fail and tally.median > FAIL:
        return f"fail ({tally.median:.1f})"
    if tally.std is None:
        return f"{tally.median:.2f}"
    return f"{tally.median:.2f} ({tally.mean:.2f} ± {tally.std:.2f})"


def _range(cell: Cell, says_fail: bool) -> str:
    medians, configurations = cell.medians, len(cell.tallies)
    fails = sum(median > FAIL for median in medians)
    if says_fail and fails == configurations:
        return f"fail ({_span(medians, '.1f')}; {fails} of {configurations} configurations)"
    counts = f"{len(medians)} of {configurations} configurations"
    if says_fail:
        counts = f"{fails} of {len(medians)} fail" + ("" if len(medians) == configurations else f"; {counts}")
    return f"{_span(medians, '.2f')} ({counts})"


def _span(values: list[float], form: str) -> str:
    texts = [f"{value:{form}}" for value in (values[0], values[-1])]
    return texts[0] if len(values) == 1 else "–".join(texts)
