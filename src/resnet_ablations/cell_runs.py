"""The overrides of each cell of an experiment at a scale."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from resnet_ablations.experiments import Experiment, Scale

Overrides = tuple[str, ...]
Replacements = dict[str, list[str] | None]


@dataclass(frozen=True)
class CellRuns:
    """A cell: its metric, and the overrides of each of its configurations; none if it is not run at the scale."""

    row: str
    column: str
    metric: str
    own: tuple[Overrides, ...]
    longer: tuple[Overrides, ...]
    """The overrides at the scale named by `prefix_of`; equal to `own` without `prefix_of`."""


def runs_of_cells(experiment: Experiment, scale: Scale, extra: list[str]) -> list[CellRuns]:
    """Return every cell, row by row.

    Later overrides win, in this order: experiment, scale, column, row, cell. The scale's replacements apply to all of
    these. Then come the user's `extra` overrides, which are never replaced.
    """
    full = _full_scale(experiment, scale)
    setting = [*experiment.overrides, *(line for part in (*full, scale) for line in part.overrides)]
    end = [f"schedule.iterations={scale.iterations}"] if full else []
    replacements = replacements_at(experiment, scale)
    cells = []
    for row, column, cell in experiment.cells():
        # Merge before replacing: an override that another one overrides must not be replaced.
        original = [merged(setting, column.overrides, lines, cell.overrides) for lines in row.configurations]
        replaced = [_replaced(lines, replacements) for lines in original]
        run = [lines for lines in replaced if lines is not None]
        if len(run) < len(replaced):
            run = []
        own = tuple(merged(lines, end, extra) for lines in run)
        longer = tuple(merged(lines, extra) for lines in run)
        cells.append(CellRuns(row.id, column.id, cell.metric or column.metric, own, longer))
    return cells


def replacements_at(experiment: Experiment, scale: Scale) -> Replacements:
    """Return the replacements at a scale; its own win over those of the scale named by `prefix_of`."""
    return {
        line: lines for part in (*_full_scale(experiment, scale), scale) for line, lines in part.replacements.items()
    }


def keys_set(experiment: Experiment, replacements: Replacements) -> dict[str, str]:
    """Return the keys in which cells differ, each with the place that sets it: "rows", "columns" or "cells"."""
    setters = {
        "cells": (cell.overrides for _, _, cell in experiment.cells()),
        "columns": (column.overrides for column in experiment.columns),
        "rows": (lines for row in experiment.rows for lines in row.configurations),
    }
    return {
        key_of(line): setter
        for setter, lists in setters.items()
        for original in chain.from_iterable(lists)
        for line in (original, *(replacements.get(original) or ()))
    }


def merged(*lists: Iterable[str]) -> Overrides:
    """Return the overrides of all lists; the last one of each key wins."""
    by_key: dict[str, str] = {}
    for line in chain(*lists):
        by_key.pop(key_of(line), None)
        by_key[key_of(line)] = line
    return tuple(by_key.values())


def key_of(line: str) -> str:
    """Return the key that an override sets."""
    return line.partition("=")[0].lstrip("+")


def _full_scale(experiment: Experiment, scale: Scale) -> list[Scale]:
    """Return the scale named by `prefix_of`, or an empty list."""
    return [] if scale.prefix_of is None else [experiment.scales[scale.prefix_of]]


def _replaced(lines: Overrides, replacements: Replacements) -> list[str] | None:
    """Return the overrides with replacements applied; None if one of them is replaced by null."""
    result: list[str] = []
    for line in lines:
        replacement = replacements.get(line, [line])
        if replacement is None:
            return None
        result += replacement
    return result
