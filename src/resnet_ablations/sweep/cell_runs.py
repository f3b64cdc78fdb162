"""How each cell of an experiment is run at a scale, as overrides; nothing is composed yet."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from resnet_ablations.experiments import Experiment, Scale

Overrides = tuple[str, ...]
Replacements = dict[str, list[str] | None]


@dataclass(frozen=True)
class CellRuns:
    """One cell: what it shows, and the overrides of each configuration that it takes; none where it is not run."""

    row: str
    column: str
    metric: str
    own: tuple[Overrides, ...]
    longer: tuple[Overrides, ...]
    """The same at the scale that this one is the beginning of; at any other scale no different."""


def runs_of_cells(experiment: Experiment, scale: Scale, extra: list[str]) -> list[CellRuns]:
    """Every cell, row by row. Later overrides win: the experiment's, the scale's, the column's, the row's, the cell's.

    What stands for a line at this scale stands for it wherever it is said, but in `extra`, which wins over all.
    """
    whole = _whole(experiment, scale)
    setting = [*experiment.overrides, *(line for part in (*whole, scale) for line in part.overrides)]
    end = [f"schedule.iterations={scale.iterations}"] if whole else []
    replacements = replacements_at(experiment, scale)
    cells = []
    for row, column, cell in experiment.cells():
        # Merged first: a line that another one overrides is none of the cell's.
        said = [merged(setting, column.overrides, lines, cell.overrides) for lines in row.configurations]
        meant = [_replaced(lines, replacements) for lines in said]
        run = [lines for lines in meant if lines is not None]
        if len(run) < len(meant):
            run = []
        own = tuple(merged(lines, end, extra) for lines in run)
        longer = tuple(merged(lines, extra) for lines in run)
        cells.append(CellRuns(row.id, column.id, cell.metric or column.metric, own, longer))
    return cells


def replacements_at(experiment: Experiment, scale: Scale) -> Replacements:
    """What stands for an override at the scale, its own before those of the scale that it is the beginning of."""
    return {line: lines for part in (*_whole(experiment, scale), scale) for line, lines in part.replacements.items()}


def keys_set(experiment: Experiment, replacements: Replacements) -> dict[str, str]:
    """The keys in which cells differ, each with what sets it: the rows, the columns or single cells."""
    setters = {
        "cells": (cell.overrides for _, _, cell in experiment.cells()),
        "columns": (column.overrides for column in experiment.columns),
        "rows": (lines for row in experiment.rows for lines in row.configurations),
    }
    return {
        key_of(line): setter
        for setter, lists in setters.items()
        for said in chain.from_iterable(lists)
        for line in (said, *(replacements.get(said) or ()))
    }


def merged(*lists: Iterable[str]) -> Overrides:
    """All overrides, of each key the last one."""
    by_key: dict[str, str] = {}
    for line in chain(*lists):
        by_key.pop(key_of(line), None)
        by_key[key_of(line)] = line
    return tuple(by_key.values())


def key_of(line: str) -> str:
    """What an override sets."""
    return line.partition("=")[0].lstrip("+")


def _whole(experiment: Experiment, scale: Scale) -> list[Scale]:
    return [] if scale.prefix_of is None else [experiment.scales[scale.prefix_of]]


def _replaced(lines: Overrides, replacements: Replacements) -> list[str] | None:
    """The lines or what stands for them; None if nothing can stand for one of them."""
    replaced: list[str] = []
    for line in lines:
        others = replacements.get(line, [line])
        if others is None:
            return None
        replaced += others
    return replaced
