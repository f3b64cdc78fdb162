"""The paper's table with our numbers beside it."""

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import Column
from resnet_ablations.report.frame import FAIL, CellId, Run, Sweep
from resnet_ablations.report.labels import baseline_label, column_label
from resnet_ablations.report.tables import captions, notes
from resnet_ablations.report.tables.summary import best_cells, orderings, signed, summary
from resnet_ablations.report.tables.table import MARK, Table, TableColumn


@dataclass(frozen=True)
class Filled:
    """A column with its texts by row; `runs_of` is the paper's column whose runs the texts are made of."""

    column: TableColumn
    texts: dict[str, str]
    runs_of: str = ""
    best: Collection[CellId] = ()
    """The cells with the lowest error of their column."""


def comparison(sweep: Sweep, results: Path) -> Table:
    """Return the experiment's table in the paper's order: the paper's numbers, the published medians, and ours."""
    experiment, found = sweep.experiment, summary(sweep)
    columns = []
    for index, name in enumerate(experiment.headings):
        columns.append(Filled(TableColumn(name), {row.id: row.labels[index] for row in experiment.rows}))
    for before, row in itertools.pairwise(experiment.rows):
        if row.labels[0] == before.labels[0]:  # as in the paper, a case is named in the first of its rows
            columns[0].texts[row.id] = ""
    columns += [column for of_paper in experiment.columns for column in _numbers(of_paper, sweep, found)]
    columns.append(Filled(TableColumn("n", right=True), {row.id: _n(found, row.id) for row in experiment.rows}))
    if any(row.remark for row in experiment.rows):
        columns.append(Filled(TableColumn("remark"), {row.id: row.remark for row in experiment.rows}))
    return Table(
        name=sweep.plan.name,
        title=f"{experiment.title}, scale {sweep.plan.scale}",
        caption=captions.caption(sweep, found),
        columns=tuple(one.column for one in columns),
        rows=tuple(tuple(one.texts.get(row.id, "") for one in columns) for row in experiment.rows),
        notes=notes.notes(sweep),
        command=notes.missing_command(sweep, results),
        cells=tuple(
            tuple((row.id, one.runs_of) if one.runs_of in row.cells else None for one in columns)
            for row in experiment.rows
        ),
        best=frozenset(
            (number, place)
            for number, row in enumerate(experiment.rows)
            for place, one in enumerate(columns)
            if (row.id, one.runs_of) in one.best
        ),
    )


def _numbers(column: Column, sweep: Sweep, found: pd.DataFrame) -> list[Filled]:
    """Return one column of the paper as ours: paper, reference, ours, and differences if it is the only one."""
    experiment = sweep.experiment
    is_sole = len(experiment.columns) == 1
    heading = "" if is_sole else f"{column_label(column)} "
    found = found[found["column"] == column.id]
    uses_fail = captions.uses_fail(sweep)
    marks = {order.row: f" {MARK}" for order in orderings(sweep) if order.column == column.id and not order.agrees}
    first_rows = {row: cell for (row, one), cell in sweep.first_rows.items() if one == column.id}
    shows_difference = is_sole and any(cell["baseline"] for cell in first_rows.values())
    digits = _digits(first_rows.values())
    paper, reference, ours, differences = {}, {}, {}, {}
    for row, first in first_rows.items():
        cell, mark = found[found["row"] == row], marks.get(row, "")
        says_fail = uses_fail and first["metric"] == "test_error"
        paper[row] = _paper(first, digits)
        reference[row] = _published(cell, sweep.published, (row, column.id), says_fail)
        ours[row] = _ours(cell, first["outcome"], says_fail) + mark * (not shows_difference)
        differences[row] = _vs(cell) + mark
    made = []
    if any(cell["printed"] is not None or not pd.isna(cell["digitised"]) for cell in first_rows.values()):
        made.append(Filled(TableColumn(f"{heading}paper", right=True), paper))
    if not sweep.published.empty:
        made.append(Filled(TableColumn(f"{heading}reference", right=True, is_aside=not is_sole), reference))
    made.append(Filled(TableColumn(f"{heading}ours"), ours, column.id, best_cells(sweep, found, uses_fail)))
    if shows_difference:
        versus = TableColumn(f"vs {baseline_label(experiment)}", right=True)
        made.append(Filled(versus, differences, column.id))
    return made


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


def _n(found: pd.DataFrame, row: str) -> str:
    """Return finished of planned runs of each cell: `3/5`, or `3/5, 5/5` where the cells of a row differ."""
    counts = found[found["row"] == row].groupby("column", sort=False)[["n", "planned"]].sum()
    texts = [f"{n}/{planned}" for n, planned in counts.itertuples(index=False)]
    return ", ".join(texts if len(set(texts)) > 1 else texts[:1]) or "–"


def _published(cell: pd.DataFrame, published: pd.DataFrame, place: CellId, says_fail: bool) -> str:
    """Return the published median, or the lowest and the highest of several configurations."""
    if "reference_median" not in cell:
        return ""
    medians = sorted(cell["reference_median"].dropna())
    if not medians:
        rows = published[(published["row"] == place[0]) & (published["column"] == place[1])]
        return "diverged" if (rows["outcome"] == "diverged").any() else "–"
    if says_fail and medians[0] > FAIL:
        return f"fail ({_span(medians, '.1f')})"
    return _span(medians, ".2f")


def _ours(cell: pd.DataFrame, outcome: str, says_fail: bool) -> str:
    """Return our median (mean ± standard deviation), and how many runs have diverged or are missing."""
    if cell.empty:
        return "not planned" if outcome == "not planned" else "–"
    n, diverged, missing = (int(cell[name].sum()) for name in ("n", "diverged", "missing"))
    parts = []
    if n:
        parts.append(_range(cell, says_fail) if len(cell) > 1 else _statistics(cell.to_dict("records")[0], says_fail))
    if diverged:
        parts.append(f"{diverged} diverged")
    if missing and not n:
        parts.append(f"{missing} missing" if diverged else "missing")
    return ", ".join(parts)


def _statistics(cell: Run, says_fail: bool) -> str:
    if says_fail and cell["median"] > FAIL:
        return f"fail ({cell['median']:.1f})"
    if pd.isna(cell["std"]):
        return f"{cell['median']:.2f}"
    return f"{cell['median']:.2f} ({cell['mean']:.2f} ± {cell['std']:.2f})"


def _range(cell: pd.DataFrame, says_fail: bool) -> str:
    medians, configurations = sorted(cell["median"].dropna()), len(cell)
    fails = sum(median > FAIL for median in medians)
    if says_fail and fails == configurations:
        return f"fail ({_span(medians, '.1f')}; {fails} of {configurations} configurations)"
    counts = f"{len(medians)} of {configurations} configurations"
    if says_fail:
        counts = f"{fails} of {len(medians)} fail" + ("" if len(medians) == configurations else f"; {counts}")
    return f"{_span(medians, '.2f')} ({counts})"


def _vs(cell: pd.DataFrame) -> str:
    """Return the difference from the baseline's median, in percentage points."""
    points = sorted(cell["vs_baseline"].dropna())
    return " to ".join(map(signed, [points[0], points[-1]][: len(points)])) if points else "–"


def _span(values: list[float], form: str) -> str:
    return "–".join(f"{value:{form}}" for value in [values[0], values[-1]][: len(values)])
