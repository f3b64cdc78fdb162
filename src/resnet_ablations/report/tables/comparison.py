"""The paper's table with our numbers beside it."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import Column
from resnet_ablations.report.frame import FAIL, CellId, Run, Sweep
from resnet_ablations.report.labels import baseline_label, column_label
from resnet_ablations.report.tables import captions, notes
from resnet_ablations.report.tables.summary import best_cells, orderings, signed, summary
from resnet_ablations.report.tables.table import MARK, Table, TableColumn

Filled = tuple[TableColumn, list[str], list[CellId | None], set[int]]
"""A column with its texts from top to bottom, the cells behind them, and the rows of the best ones."""


def comparison(sweep: Sweep, results: Path) -> Table:
    """Return the experiment's table in the paper's order: the paper's numbers, the published medians, and ours."""
    experiment, found = sweep.experiment, summary(sweep)
    no_cells: list[CellId | None] = [None] * len(experiment.rows)
    labels = [[row.labels[index] for row in experiment.rows] for index in range(len(experiment.headings))]
    # As in the paper, a case is named in the first of its rows.
    labels[0] = ["" if case == before else case for before, case in zip(["", *labels[0]], labels[0], strict=False)]
    columns: list[Filled] = [
        *((TableColumn(name), texts, no_cells, set()) for name, texts in zip(experiment.headings, labels, strict=True)),
        *(column for of_paper in experiment.columns for column in _numbers(of_paper, sweep, found)),
        (TableColumn("n", right=True), [_n(found[found["row"] == row.id]) for row in experiment.rows], no_cells, set()),
    ]
    if any(row.remark for row in experiment.rows):
        columns.append((TableColumn("remark"), [row.remark for row in experiment.rows], no_cells, set()))
    headings, texts, cells, best = zip(*columns, strict=True)
    return Table(
        name=sweep.plan.name,
        title=f"{experiment.title}, scale {sweep.plan.scale}",
        caption=captions.caption(sweep, found),
        columns=headings,
        rows=tuple(zip(*texts, strict=True)),
        notes=notes.notes(sweep),
        command=notes.missing_command(sweep, results),
        cells=tuple(zip(*cells, strict=True)),
        best=frozenset((row, number) for number, rows in enumerate(best) for row in rows),
    )


def _numbers(column: Column, sweep: Sweep, found: pd.DataFrame) -> list[Filled]:
    """Return one column of the paper as ours: paper, reference, ours, and differences if it is the only one."""
    experiment = sweep.experiment
    is_sole = len(experiment.columns) == 1
    heading = "" if is_sole else f"{column_label(column)} "
    uses_fail = captions.uses_fail(sweep)
    marked = {(order.row, order.column) for order in orderings(sweep) if not order.agrees}
    of_column = {row: cell for (row, one), cell in sweep.first_rows.items() if one == column.id}
    shows_difference = is_sole and any(cell["baseline"] for cell in of_column.values())
    digits = _digits(of_column.values())
    places = [(row.id, column.id) if row.id in of_column else None for row in experiment.rows]
    no_cells: list[CellId | None] = [None] * len(places)
    texts = []
    for place in places:
        if place is None:
            texts.append(("", "", "", ""))
            continue
        cell, first = found[(found["row"] == place[0]) & (found["column"] == place[1])], of_column[place[0]]
        mark = f" {MARK}" if place in marked else ""
        reference, our = _published(cell, sweep.published, place, uses_fail), _ours(cell, first["outcome"], uses_fail)
        texts.append((_paper(first, digits), reference, our + mark * (not shows_difference), _vs(cell) + mark))
    paper, published, ours, differences = (list(of_kind) for of_kind in zip(*texts, strict=True))
    best = best_cells(sweep, found[found["column"] == column.id], uses_fail)
    made: list[Filled] = []
    if any(_has_number(cell) for cell in of_column.values()):
        made.append((TableColumn(f"{heading}paper", right=True), paper, no_cells, set()))
    if not sweep.published.empty:
        is_aside = not is_sole
        made.append((TableColumn(f"{heading}reference", right=True, is_aside=is_aside), published, no_cells, set()))
    best_rows = {number for number, place in enumerate(places) if place in best}
    made.append((TableColumn(f"{heading}ours"), ours, places, best_rows))
    if shows_difference:
        versus = TableColumn(f"vs {baseline_label(experiment)}", right=True)
        made.append((versus, differences, places, set()))
    return made


def _has_number(cell: Run) -> bool:
    return cell["printed"] is not None or not pd.isna(cell["digitised"])


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


def _n(row: pd.DataFrame) -> str:
    """Return finished of planned runs of each cell: `3/5`, or `3/5, 5/5` where the cells of a row differ."""
    counts = row.groupby("column", sort=False)[["n", "planned"]].sum()
    texts = [f"{n}/{planned}" for n, planned in counts.itertuples(index=False)]
    return ", ".join(texts if len(set(texts)) > 1 else texts[:1]) or "–"


def _published(cell: pd.DataFrame, published: pd.DataFrame, place: CellId, uses_fail: bool) -> str:
    """Return the published median, or the lowest and the highest of several configurations."""
    if "reference_median" not in cell:
        return ""
    medians = sorted(cell["reference_median"].dropna())
    if not medians:
        rows = published[(published["row"] == place[0]) & (published["column"] == place[1])]
        return "diverged" if (rows["outcome"] == "diverged").any() else "–"
    if uses_fail and cell["metric"].iloc[0] == "test_error" and medians[0] > FAIL:
        return f"fail ({_span(medians, '.1f')})"
    return _span(medians, ".2f")


def _ours(cell: pd.DataFrame, outcome: str, uses_fail: bool) -> str:
    """Return our median (mean ± standard deviation), and how many runs have diverged or are missing."""
    if cell.empty:
        return "not planned" if outcome == "not planned" else "–"
    uses_fail = uses_fail and cell["metric"].iloc[0] == "test_error"
    n, diverged, missing = (int(cell[name].sum()) for name in ("n", "diverged", "missing"))
    parts = []
    if n:
        parts.append(_range(cell, uses_fail) if len(cell) > 1 else _statistics(cell.to_dict("records")[0], uses_fail))
    if diverged:
        parts.append(f"{diverged} diverged")
    if missing and not n:
        parts.append(f"{missing} missing" if diverged else "missing")
    return ", ".join(parts)


def _statistics(cell: Run, uses_fail: bool) -> str:
    if uses_fail and cell["median"] > FAIL:
        return f"fail ({cell['median']:.1f})"
    if pd.isna(cell["std"]):
        return f"{cell['median']:.2f}"
    return f"{cell['median']:.2f} ({cell['mean']:.2f} ± {cell['std']:.2f})"


def _range(cell: pd.DataFrame, uses_fail: bool) -> str:
    medians, configurations = sorted(cell["median"].dropna()), len(cell)
    fails = sum(median > FAIL for median in medians)
    if uses_fail and fails == configurations:
        return f"fail ({_span(medians, '.1f')}; {fails} of {configurations} configurations)"
    counts = f"{len(medians)} of {configurations} configurations"
    if uses_fail:
        counts = f"{fails} of {len(medians)} fail" + ("" if len(medians) == configurations else f"; {counts}")
    return f"{_span(medians, '.2f')} ({counts})"


def _vs(cell: pd.DataFrame) -> str:
    """Return the difference from the baseline's median, in percentage points."""
    points = sorted(cell["vs_baseline"].dropna())
    return " to ".join(map(signed, [points[0], points[-1]][: len(points)])) if points else "–"


def _span(values: list[float], form: str) -> str:
    return "–".join(f"{value:{form}}" for value in [values[0], values[-1]][: len(values)])
