"""The paper's table with other people's numbers, the published numbers and ours."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import Column
from resnet_ablations.report.frame import FAIL, CellId, Run, Sweep
from resnet_ablations.report.labels import baseline_label, column_label
from resnet_ablations.report.tables.captions import caption, prints_fail
from resnet_ablations.report.tables.notes import missing_command, notes, sources
from resnet_ablations.report.tables.summary import best_cells, orderings, signed, summary, written
from resnet_ablations.report.tables.table import MARK, REDECLARED, ShownCell, Table, TableColumn


@dataclass(frozen=True)
class Filled:
    """A column with a text for each row id.

    `runs_of` is the id of the experiment's column whose runs the texts are computed from, empty if there are none.
    """

    column: TableColumn
    texts: dict[str, str]
    runs_of: str = ""
    best: Collection[CellId] = ()
    """The cells with the lowest error of their column."""


def comparison(sweep: Sweep, results: Path) -> Table:
    """Return the experiment's table, with its rows in the paper's order."""
    experiment, rows, found = sweep.experiment, sweep.experiment.rows, summary(sweep)
    uses_fail = sweep.plan.scale == "paper" and prints_fail(sweep)
    best = best_cells(sweep, found, uses_fail)
    columns = [
        Filled(TableColumn(name), {row.id: row.labels[place] for row in rows})
        for place, name in enumerate(experiment.headings)
    ]
    # As in the paper, a label is printed only in the first of the rows that share it.
    columns[0].texts.update({row.id: "" for before, row in pairwise(rows) if row.labels[0] == before.labels[0]})
    for column in experiment.columns:
        columns += _numbers(column, sweep, found, uses_fail, best)
    columns.append(Filled(TableColumn("n", right=True), {row.id: _n(found, row.id) for row in rows}))
    if any(row.remark for row in rows):
        columns.append(Filled(TableColumn("remark"), {row.id: row.remark for row in rows}))
    return Table(
        name=sweep.plan.name,
        title=f"{experiment.title}, scale {sweep.plan.scale}",
        caption=caption(sweep, bool(best)),
        columns=tuple(one.column for one in columns),
        rows=tuple(tuple(one.texts.get(row.id, "") for one in columns) for row in rows),
        notes=notes(sweep),
        sources=sources(sweep.others),
        command=missing_command(sweep, results),
        cells={
            (number, place): ShownCell((row.id, one.runs_of), (row.id, one.runs_of) in one.best)
            for number, row in enumerate(rows)
            for place, one in enumerate(columns)
            if one.runs_of in row.cells
        },
    )


def _numbers(
    column: Column, sweep: Sweep, found: pd.DataFrame, uses_fail: bool, best: Collection[CellId]
) -> list[Filled]:
    """Return the columns for one column of the paper's table: paper, others, reference and ours.

    The difference from the baseline is a column of its own if the paper's table has one column only.
    """
    is_sole = len(sweep.experiment.columns) == 1
    heading = "" if is_sole else f"{column_label(column)} "
    firsts = {row: cell for (row, one), cell in sweep.first_rows.items() if one == column.id}
    has_paper = any(cell["printed"] is not None or not pd.isna(cell["digitised"]) for cell in firsts.values())
    shows_difference = is_sole and any(cell["baseline"] for cell in firsts.values())
    digits = _digits(firsts.values())
    marked = orderings(sweep).query("not agrees").index
    counted = sweep.others[sweep.others["is_counted"] & (sweep.others["column"] == column.id)]
    paper, others, reference, ours, differences = {}, {}, {}, {}, {}
    for row, first in firsts.items():
        place = row, column.id
        cell = found[(found["row"] == row) & (found["column"] == column.id)]
        mark = f" {MARK}" * (place in marked)
        says_fail = uses_fail and first["metric"] == "test_error"
        paper[row] = _paper(first, digits)
        others[row] = _others(counted.loc[counted["row"] == row, "value"])
        reference[row] = _published(cell, sweep.published, place, says_fail)
        since = f" {REDECLARED}" * bool(first["redeclared"])
        ours[row] = _ours(cell, first["outcome"], says_fail) + since + mark * (not shows_difference)
        differences[row] = _vs(cell) + mark
    versus = TableColumn(f"vs {baseline_label(sweep.experiment)}", right=True)
    parts = [
        (has_paper, Filled(TableColumn(f"{heading}paper", right=True), paper)),
        (len(counted), Filled(TableColumn(f"{heading}others", right=True, is_aside=not is_sole), others)),
        (
            not sweep.published.empty,
            Filled(TableColumn(f"{heading}reference", right=True, is_aside=not is_sole), reference),
        ),
        (True, Filled(TableColumn(f"{heading}ours"), ours, column.id, best)),
        (shows_difference, Filled(versus, differences, column.id)),
    ]
    return [filled for is_shown, filled in parts if is_shown]


def _digits(cells: Iterable[Run]) -> int:
    """Return the most decimals that the paper gives in a column, at least one."""
    numbers = [number for cell in cells for number in (cell["printed"], cell["digitised"]) if isinstance(number, float)]
    return max([1, *(len(repr(number).partition(".")[2]) for number in numbers if number == number)])


def _paper(cell: Run, digits: int) -> str:
    """Return the paper's number: `6.61`, `fail`, or `≈ 9.69` from a figure."""
    if isinstance(cell["printed"], float):
        return f"{cell['printed']:.{digits}f}"
    if cell["printed"] is None:
        return "–" if pd.isna(cell["digitised"]) else f"≈ {cell['digitised']:.{digits}f}"
    return str(cell["printed"])


def _others(values: pd.Series) -> str:
    """Return the lowest and the highest value that other people measured, and how many there are."""
    return f"{_span(values, '{:.2f}'.format)} ({len(values)})" if len(values) else "–"


def _n(found: pd.DataFrame, row: str) -> str:
    """Return finished of planned runs of each cell: `3/5`, or `3/5, 5/5` where the cells of a row differ."""
    counts = found[found["row"] == row].groupby("column", sort=False)[["n", "planned"]].sum()
    texts = [f"{n}/{planned}" for n, planned in counts.itertuples(index=False)]
    return ", ".join(texts if len(set(texts)) > 1 else texts[:1]) or "–"


def _published(cell: pd.DataFrame, published: pd.DataFrame, place: CellId, says_fail: bool) -> str:
    """Return the published median, with the lowest and the highest seed, or the range over several configurations."""
    if published.empty:
        return ""
    medians = cell["reference_median"].dropna()
    if medians.empty:
        outcomes = published.loc[(published["row"] == place[0]) & (published["column"] == place[1]), "outcome"]
        return "diverged" if (outcomes == "diverged").any() else "–"
    if says_fail and medians.min() > FAIL:
        return f"fail ({_span(medians, '{:.1f}'.format)})"
    write = written(cell["metric"].iloc[0])
    if len(cell) == 1 and cell["reference_n"].iloc[0] > 1:
        low, high = cell["reference_low"].iloc[0], cell["reference_high"].iloc[0]
        return f"{write(medians.iloc[0])} ({write(low)}–{write(high)})"
    return _span(medians, write)


def _ours(cell: pd.DataFrame, outcome: str, says_fail: bool) -> str:
    """Return our median (mean ± standard deviation), and how many runs have diverged or are missing."""
    if cell.empty:
        return "not planned" if outcome == "not planned" else "–"
    n, diverged, missing = (int(cell[name].sum()) for name in ("n", "diverged", "missing"))
    parts = [
        (n, _medians(cell, says_fail)),
        (diverged, f"{diverged} diverged"),
        (missing and not n, f"{missing} missing" if diverged else "missing"),
    ]
    return ", ".join(text for is_shown, text in parts if is_shown)


def _medians(cell: pd.DataFrame, says_fail: bool) -> str:
    """Return the median with mean and standard deviation, or the range over several configurations."""
    medians, configurations = cell["median"].dropna(), len(cell)
    fails = int((medians > FAIL).sum())
    all_fail = says_fail and fails == configurations
    span = _span(medians, "{:.1f}".format if all_fail else written(cell["metric"].iloc[0]))
    if configurations == 1:
        (mean,), (std,) = cell["mean"], cell["std"]
        return f"fail ({span})" if all_fail else span + f" ({mean:.2f} ± {std:.2f})" * (not pd.isna(std))
    counts = f"{len(medians)} of {configurations} configurations"
    if all_fail:
        return f"fail ({span}; {counts})"
    if says_fail:
        counts = f"{fails} of {len(medians)} fail" + f"; {counts}" * (len(medians) < configurations)
    return f"{span} ({counts})"


def _vs(cell: pd.DataFrame) -> str:
    """Return the difference from the baseline's median, in percentage points."""
    return _span(cell["vs_baseline"].dropna(), signed, " to ") or "–"


def _span(values: pd.Series, write: Callable[[float], str], between: str = "–") -> str:
    """Return the lowest and the highest value, a single value alone, or "" without any."""
    ends = sorted(values)
    return between.join(map(write, [*ends[:1], *ends[1:][-1:]]))
