"""Where the page has what, and the runs that a number leads to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_ablations.report.cells.cell import Cell, is_error


def anchor(what: str, *names: str) -> str:
    """An id of the page made of names that may contain anything; those of different names are different."""
    return ":".join([what, *(re.sub(r"[^A-Za-z0-9_.-]", lambda sign: f"~{ord(sign[0]):x}~", name) for name in names)])


def run_anchor(key: str) -> str:
    """Where the page has a run."""
    return anchor("run", key)


def cell_anchor(sweep: str, cell: Cell) -> str:
    """Where the page lists the runs of a sweep's cell."""
    return anchor("cell", sweep, cell.row.id, cell.column.id)


@dataclass(frozen=True)
class Link:
    """A text that leads somewhere in the page."""

    text: str
    to: str


def link_to(keys: Sequence[str], sweep: str, cell: Cell) -> Link:
    """To a run of a sweep's cell, or to the list of the cell's runs if there are several."""
    if len(keys) == 1:
        return Link(keys[0], f"#{run_anchor(keys[0])}")
    return Link(f"{len(keys)} runs", f"#{cell_anchor(sweep, cell)}")


def runs_behind(cell: Cell) -> dict[str, str]:
    """What each of a cell's runs came to, by key, those of a configuration by seed."""
    unit = " %" if is_error(cell.metric) else ""
    behind: dict[str, str] = {}
    for tally in cell.tallies:
        texts = {seed: f"{value:.2f}{unit}" for seed, value in dict(tally.values).items()}
        texts |= dict.fromkeys(tally.diverged, "diverged")
        behind |= {key: texts.get(seed, "–") for seed, key in sorted(tally.keys.items())}
    return behind
