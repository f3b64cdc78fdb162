"""What stands under a table: what is not as in the paper, not run or not there, and the command that fills gaps."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import METRICS, Experiment
from resnet_ablations.report.cells.cell import Cell, ordering
from resnet_ablations.report.cells.labels import baseline_label, cell_label, row_label
from resnet_ablations.report.cells.plans import is_served, iterations
from resnet_ablations.report.cells.published import Reference
from resnet_ablations.results.keys import run_key
from resnet_ablations.results.sweeps import SweepPlan

MARK = "†"
"""Marks a cell that a note says more about."""


def signed(points: float) -> str:
    """A difference with its sign, the minus being a real one."""
    return f"{round(points, 2) + 0.0:+.2f}".replace("-", "−")  # + 0.0: there is no −0.00


def ordering_notes(cells: Sequence[Cell], experiment: Experiment) -> list[str]:
    """A line for each cell that does not stand to its baseline as in the paper; no verdict on numbers."""
    notes = []
    for cell in cells:
        order = ordering(cell)
        if order is None or order.agrees:
            continue
        which = f", the nearest of {len(cell.medians)} configurations," if len(cell.medians) > 1 else ""
        only = "only " if order.ours * order.paper > 0 else ""
        bound = "at least " if order.paper_is_bound else ""
        notes.append(
            f"{MARK} not as in the paper: {cell_label(cell, experiment)}{which} ends {only}{_distance(order.ours)} "
            f"{baseline_label(cell, experiment)}; in the paper {bound}{_distance(order.paper)}."
        )
    return notes


def _distance(points: float) -> str:
    if abs(points) < 0.005:
        return "level with"
    return f"{abs(points):.2f} points {'above' if points > 0 else 'below'}"


def scale_notes(plan: SweepPlan, experiment: Experiment, cells: Sequence[Cell]) -> list[str]:
    """What stands for the paper's setting at this scale, and what of it is not run."""
    notes = []
    added: dict[str, list[str]] = {}
    replaced: dict[str, list[str]] = {}
    for original, others in plan.replacements.items():
        if others and original in others:
            added.setdefault(" and ".join(line for line in others if line != original), []).append(original)
        elif others:
            replaced.setdefault(" with ".join(others), []).append(original)
    parts = [f"{others} stands for {_listed(originals)}" for others, originals in replaced.items()]
    parts += [f"{others} is set for {_listed(originals)}" for others, originals in added.items()]
    if parts:
        notes.append(f"At this scale {'; '.join(parts)}.")
    absent = []
    for row in experiment.rows:
        of_row = [cell for cell in cells if cell.row.id == row.id]
        without = [cell for cell in of_row if cell.is_not_run]
        if without and len(without) == len(of_row):
            absent.append(row_label(row, experiment))
        else:
            absent += [cell_label(cell, experiment) for cell in without]
    if absent:
        notes.append(f"Not run at this scale: {'; '.join(absent)}.")
    return notes


def provenance_notes(plan: SweepPlan, experiment: Experiment, cells: Sequence[Cell], runs: pd.DataFrame) -> list[str]:
    """Where the numbers come from, if it is not simply one version of the code and this sweep's own runs."""
    notes = []
    known = {(cell.row.id, cell.column.id) for cell in cells}
    planned = [(row, column) for row, columns in plan.cells.items() for column, names in columns.items() if names]
    if unknown := sorted({"/".join(cell) for cell in planned if cell not in known}):
        notes.append(f"Cells of this sweep that the experiment no longer has: {', '.join(unknown)}.")
    lacking: dict[str, set[str]] = {}
    for cell in cells:
        for tally in cell.tallies:
            lacking.setdefault(cell.metric, set()).update(run_key(tally.configuration, seed) for seed in tally.lacking)
    for metric, keys in lacking.items():
        if keys:
            are = f"{len(keys)} finished {'run has' if len(keys) == 1 else 'runs have'} no {metric}"
            notes.append(f"{are} ({METRICS[metric]}): delete {_listed(sorted(keys))} to train again.")
    served = runs[is_served(runs)]
    if len(served):
        ends = _listed([f"{end:,}" for end in iterations(plan, served["configuration"])])
        longer = f"{len(served)} of {len(runs)} runs are longer ones, of the paper scale"
        notes.append(f"{longer}, read at iteration {ends}.")
    commits = _commits(runs)
    if len(commits) > 1:
        notes.append(f"These runs come from {len(commits)} versions of the code: commits {', '.join(commits)}.")
    if dirty := int(sum(value is True for value in runs["dirty"])):
        notes.append(f"{dirty} of {len(runs)} runs come from code with uncommitted changes.")
    return notes


def reference_notes(reference: Reference | None) -> list[str]:
    """What the column of published numbers is, and from which code and machine."""
    if reference is None:
        return []
    published = reference.runs
    machines = sorted({machine if isinstance(machine, str) else "unknown" for machine in published["machine"]})
    commits = _commits(published)
    dirty = " with uncommitted changes" if any(value is True for value in published["dirty"]) else ""
    return [
        f"reference: the median of the published runs of the same configurations and seeds, {len(published)} runs from "
        f"{'commit' if len(commits) == 1 else 'commits'} {_listed(commits)}{dirty} on {_listed(machines)}."
    ]


def _commits(runs: pd.DataFrame) -> list[str]:
    return sorted({commit[:10] if isinstance(commit, str) else "unknown" for commit in runs["commit"]})


def _listed(texts: Sequence[str], most: int = 3) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c and 4 more`."""
    shown = list(texts) if len(texts) <= most else [*texts[:most], f"{len(texts) - most} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def missing_command(plan: SweepPlan, cells: Sequence[Cell], results: Path) -> str | None:
    """What to type for the runs that are missing; those that are finished are not run again."""
    seeds = sorted({seed for cell in cells for tally in cell.tallies for seed in tally.missing})
    if not seeds:
        return None
    words = [f"make sweep-{plan.experiment}", f"SCALE={plan.scale}", f"SEEDS={','.join(map(str, seeds))}"]
    if plan.overrides:
        words.append(f"ARGS={_quoted(shlex.join(plan.overrides))}")
    if results != Path("results"):
        words.append(f"RESULTS={shlex.quote(str(results))}")
    return " ".join(words)


def _quoted(arguments: str) -> str:
    """In double quotes where that is enough; `$` is doubled, since make reads it before the shell."""
    arguments = arguments.replace("$", "$$")
    return shlex.quote(arguments) if set(arguments) & set('"$`\\!') else f'"{arguments}"'
