"""The paper's table with ours beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import Column as PaperColumn
from resnet_ablations.experiments import Experiment
from resnet_ablations.report.cells.cell import Cell, has_number, ordering
from resnet_ablations.report.cells.labels import baseline_label
from resnet_ablations.report.cells.published import Reference
from resnet_ablations.report.tables import captions, entries, notes
from resnet_ablations.report.tables.best import best_cells
from resnet_ablations.report.tables.notes import MARK
from resnet_ablations.report.tables.table import Column, Table
from resnet_ablations.results.sweeps import SweepPlan

PAGE = 84
"""Letters side by side that all columns together may have, so that a line fits a page and a terminal."""


@dataclass(frozen=True)
class _Texts:
    """A column with its texts, from top to bottom, the cells whose runs they are made of, and the best ones' places."""

    column: Column
    texts: list[str]
    cells: Sequence[Cell | None] = ()
    best: Sequence[int] = ()

    @property
    def width(self) -> int:
        """Letters side by side; a column without a width does not wrap."""
        return min(max(map(len, [*self.texts, self.column.heading])), self.column.width or PAGE)

    @property
    def longest_word(self) -> int:
        """Letters of what can be broken no further."""
        return max(len(word) for text in (*self.texts, self.column.heading) for word in text.split())


def comparison(
    plan: SweepPlan,
    experiment: Experiment,
    cells: list[Cell],
    runs: pd.DataFrame,
    results: Path,
    reference: Reference | None = None,
) -> Table:
    """The experiment's rows in the paper's order: what the paper prints, and what the runs of the plan came to.

    With a reference, what the published runs came to stands between the two.
    """
    text = [
        _Texts(Column(name), [row.labels[index] for row in experiment.rows])
        for index, name in enumerate(experiment.headings)
    ]
    # As in the paper, a case is named in the first of its rows.
    cases = text[0].texts
    cases[:] = ["" if case == before else case for before, case in zip(["", *cases], list(cases), strict=False)]
    if any(row.remark for row in experiment.rows):
        text.append(_Texts(Column("remark"), [row.remark for row in experiment.rows]))
    numbers = [texts for column in experiment.columns for texts in _numbers(column, plan, experiment, cells, reference)]
    of_rows = [[cell for cell in cells if cell.row.id == row.id] for row in experiment.rows]
    counts = [entries.n(of_row) for of_row in of_rows]
    numbers.append(_Texts(Column("n", right=True, width=8 if any("," in count for count in counts) else None), counts))
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
            *notes.reference_notes(reference),
        ),
        command=notes.missing_command(plan, cells, results),
        cells=tuple(zip(*(texts.cells or [None] * len(experiment.rows) for texts in made), strict=True)),
        best=frozenset((row, number) for number, texts in enumerate(made) for row in texts.best),
    )


def _fitted(text: list[_Texts], numbers: list[_Texts]) -> list[_Texts]:
    """Columns of text, wrapping where they must: the longer ones share what all others leave of a page."""
    left = PAGE - sum(max(column.width, 5) for column in numbers if not column.column.is_aside)
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


def _numbers(
    column: PaperColumn, plan: SweepPlan, experiment: Experiment, cells: list[Cell], reference: Reference | None
) -> list[_Texts]:
    """One column of the paper's as ours: what it prints, if anything, what is published, if there is a reference, and
    what we have; a sole one with differences.
    """
    of_column = [cell for cell in cells if cell.column.id == column.id]
    by_row = {cell.row.id: cell for cell in of_column}
    sole = len(experiment.columns) == 1
    led = "" if sole else f"{column.heading or column.id} "
    says_fail = captions.says_fail(plan, cells)
    baseline = next((label for cell in of_column if sole and (label := baseline_label(cell, experiment))), None)
    digits = entries.digits_of(cell.paper for cell in of_column)
    of_rows = [by_row.get(row.id) for row in experiment.rows]
    paper, published, ours, differences = [], [], [], []
    for cell in of_rows:
        order = ordering(cell) if cell else None
        mark = "" if order is None or order.agrees else f" {MARK}"
        paper.append(entries.paper(cell.paper, digits) if cell else "")
        published.append(entries.reference(reference.of(cell), says_fail) if cell and reference else "")
        ours.append(entries.ours(cell, says_fail) + mark * (baseline is None) if cell else "")
        differences.append(entries.difference(cell) + mark if cell else "")
    best = best_cells(plan, of_column, says_fail)
    best_rows = [row for row, cell in enumerate(of_rows) if cell and (cell.row.id, column.id) in best]
    several = {1: 18 if len(experiment.headings) > 3 else 20, 2: 20, 3: 14}
    made = [
        _Texts(
            Column(f"{led}ours", width=max(several.get(len(experiment.columns), 8), *map(len, f"{led}ours".split()))),
            ours,
            of_rows,
            best_rows,
        )
    ]
    if baseline:
        made.append(_Texts(Column(f"vs {baseline}", right=True, width=11), differences, of_rows))
    if reference:
        made.insert(0, _Texts(Column(f"{led}reference", right=True, is_aside=not sole), published))
    if any(has_number(cell.paper) for cell in of_column):
        narrow = max(map(len, [*paper, *led.split()]))
        made.insert(0, _Texts(Column(f"{led}paper", right=True, width=narrow if led else None), paper))
    return made
