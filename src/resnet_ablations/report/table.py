"""The paper's table with ours beside it, as data: texts of cells, caption and notes, in no format yet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import Cell as PaperCell
from resnet_ablations.experiments import Column as PaperColumn
from resnet_ablations.experiments import Experiment
from resnet_ablations.report import captions, notes
from resnet_ablations.report.cells import FAIL, Cell, Tally, has_number, ordering, runs_in
from resnet_ablations.report.labels import baseline_label
from resnet_ablations.report.notes import MARK, signed
from resnet_ablations.results.sweeps import SweepPlan

PAGE = 84
"""Letters side by side that all columns together may have, so that a line fits a page and a terminal."""


@dataclass(frozen=True)
class Column:
    """A column's heading, whether its cells are set flush right, and the width from which they wrap in a terminal."""

    heading: str
    right: bool = False
    width: int | None = None


@dataclass(frozen=True)
class Table:
    """Texts in rows and columns with all that stands around them; `name` is the stem of its files."""

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    command: str | None = None
    """The command that fills the gaps, if there are any."""
    cells: tuple[tuple[Cell | None, ...], ...] = ()
    """Of each text in the rows, the cell whose runs it is made of; empty where no text is."""


@dataclass(frozen=True)
class _Texts:
    """A column with its texts, from top to bottom, and the cells whose runs they are made of."""

    column: Column
    texts: list[str]
    cells: Sequence[Cell | None] = ()

    @property
    def width(self) -> int:
        """Letters side by side; a column without a width does not wrap."""
        return min(max(map(len, [*self.texts, self.column.heading])), self.column.width or PAGE)

    @property
    def longest_word(self) -> int:
        """Letters of what can be broken no further."""
        return max(len(word) for text in (*self.texts, self.column.heading) for word in text.split())


def comparison(plan: SweepPlan, experiment: Experiment, cells: list[Cell], runs: pd.DataFrame, results: Path) -> Table:
    """The experiment's rows in the paper's order: what the paper prints, and what the runs of the plan came to."""
    text = [
        _Texts(Column(name), [row.labels[index] for row in experiment.rows])
        for index, name in enumerate(experiment.headings)
    ]
    # As in the paper, a case is named in the first of its rows.
    cases = text[0].texts
    cases[:] = ["" if case == before else case for before, case in zip(["", *cases], list(cases), strict=False)]
    if any(row.remark for row in experiment.rows):
        text.append(_Texts(Column("remark"), [row.remark for row in experiment.rows]))
    numbers = [texts for column in experiment.columns for texts in _numbers(column, plan, experiment, cells)]
    of_rows = [[cell for cell in cells if cell.row.id == row.id] for row in experiment.rows]
    numbers.append(_Texts(Column("n", right=True), [_n(of_row) for of_row in of_rows]))
    text = _fitted(text, numbers)
    labels, remarks = text[: len(experiment.headings)], text[len(experiment.headings) :]
    made = [*labels, *numbers, *remarks]
    return Table(
        name=plan.name,
        title=f"{experiment.title}, scale {plan.scale}",
        caption=captions.caption(plan, experiment, cells),
        columns=tuple(texts.column for texts in made),
        rows=tuple(zip(*(texts.texts for texts in made), strict=True)),
        notes=(
            *notes.ordering_notes(cells, experiment),
            *notes.scale_notes(plan, experiment, cells),
            *notes.provenance_notes(plan, experiment, cells, runs),
        ),
        command=notes.missing_command(plan, cells, results),
        cells=tuple(zip(*(texts.cells or [None] * len(experiment.rows) for texts in made), strict=True)),
    )


def tidy(plan: SweepPlan, experiment: Experiment, cells: list[Cell]) -> pd.DataFrame:
    """One line a cell and configuration: what the paper says of it, and its statistics; `seconds` of training."""
    return pd.DataFrame(
        [
            {
                "experiment": experiment.name,
                "scale": plan.scale,
                "sweep": plan.name,
                "row": cell.row.id,
                "column": cell.column.id,
                "metric": cell.metric,
                "configuration": tally.configuration,
                "overrides": " ".join(plan.configurations[tally.configuration].overrides),
                "iterations": plan.configurations[tally.configuration].iterations,
                "printed": cell.paper.printed,
                "digitised": cell.paper.digitised,
                "median": tally.median,
                "mean": tally.mean,
                "std": tally.std,
                "vs_baseline": _vs_baseline(cell, tally),
                "n": tally.n,
                "planned": len(plan.seeds),
                "seeds": " ".join(map(str, tally.values)),
                "diverged": len(tally.diverged),
                "missing": len(tally.missing),
                "train_error": pd.Series(tally.train_errors, dtype=float).median(),
                "seconds": tally.seconds,
            }
            for cell in cells
            for tally in cell.tallies
        ]
    )


def _vs_baseline(cell: Cell, tally: Tally) -> float | None:
    if cell.baseline is None or tally.median is None or not cell.baseline.medians:
        return None
    return tally.median - cell.baseline.medians[0]


def _fitted(text: list[_Texts], numbers: list[_Texts]) -> list[_Texts]:
    """Columns of text, wrapping where they must: the longer ones share what all others leave of a page."""
    left = PAGE - sum(max(column.width, 5) for column in numbers)
    shares: list[int | None] = [None] * len(text)
    by_width = sorted(range(len(text)), key=lambda index: text[index].width)
    for done, index in enumerate(by_width):
        share = max(left // (len(text) - done), text[index].longest_word)
        if text[index].width > share:
            shares[index] = share
        left -= min(text[index].width, share)
    return [
        _Texts(Column(column.column.heading, width=share), column.texts)
        for column, share in zip(text, shares, strict=True)
    ]


def _numbers(column: PaperColumn, plan: SweepPlan, experiment: Experiment, cells: list[Cell]) -> list[_Texts]:
    """One column of the paper's as ours: what it prints, if anything, and what we have; a sole one with differences."""
    of_column = [cell for cell in cells if cell.column.id == column.id]
    by_row = {cell.row.id: cell for cell in of_column}
    sole = len(experiment.columns) == 1
    led = "" if sole else f"{column.heading or column.id} "
    says_fail = plan.scale == "paper" and captions.prints_fail(cells)
    baseline = next((label for cell in of_column if sole and (label := baseline_label(cell, experiment))), None)
    digits = _digits(cell.paper for cell in of_column)
    of_rows = [by_row.get(row.id) for row in experiment.rows]
    paper, ours, differences = [], [], []
    for cell in of_rows:
        order = ordering(cell) if cell else None
        mark = "" if order is None or order.agrees else f" {MARK}"
        paper.append(_paper(cell.paper, digits) if cell else "")
        ours.append(_ours(cell, says_fail) + mark * (baseline is None) if cell else "")
        differences.append(_difference(cell) + mark if cell else "")
    several = {1: 18 if len(experiment.headings) > 3 else 20, 2: 20, 3: 14}
    made = [_Texts(Column(f"{led}ours", width=several.get(len(experiment.columns), 8)), ours, of_rows)]
    if baseline:
        made.append(_Texts(Column(f"vs {baseline}", right=True, width=11), differences, of_rows))
    if any(has_number(cell.paper) for cell in of_column):
        narrow = max(map(len, [*paper, *led.split()]))
        made.insert(0, _Texts(Column(f"{led}paper", right=True, width=narrow if led else None), paper))
    return made


def _digits(papers: Iterable[PaperCell]) -> int:
    """As many after the point as the paper gives in the column, and not less than one."""
    numbers = [number for paper in papers for number in (paper.printed, paper.digitised) if isinstance(number, float)]
    return max([1, *(len(repr(number).partition(".")[2]) for number in numbers)])


def _paper(paper: PaperCell, digits: int) -> str:
    if isinstance(paper.printed, float):
        return f"{paper.printed:.{digits}f}"
    if paper.printed is None:
        return "–" if paper.digitised is None else f"≈ {paper.digitised:.{digits}f}"
    return paper.printed


def _n(cells: Sequence[Cell]) -> str:
    finished, planned = runs_in(cells)
    return f"{finished}/{planned}" if planned else "–"


def _ours(cell: Cell, says_fail: bool) -> str:
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


def _difference(cell: Cell) -> str:
    if cell.baseline is None or not cell.medians or not cell.baseline.medians:
        return "–"
    points = [median - cell.baseline.medians[0] for median in cell.medians]
    texts = [signed(points[0]), signed(points[-1])]
    return texts[0] if len(points) == 1 else " to ".join(texts)
