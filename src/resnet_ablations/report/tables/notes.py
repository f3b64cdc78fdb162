"""The notes under a table: what is not as in the paper, not run or missing, and the command that trains the rest."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.frame import Sweep
from resnet_ablations.report.labels import baseline_label
from resnet_ablations.report.tables.summary import listed, orderings
from resnet_ablations.report.tables.table import MARK
from resnet_ablations.results.keys import run_key


def notes(sweep: Sweep) -> tuple[str, ...]:
    """Return the notes of a sweep's table."""
    return (*_orderings(sweep), *_scale(sweep), *_provenance(sweep), *_reference(sweep.published))


def missing_command(sweep: Sweep, results: Path) -> str | None:
    """Return the command that trains the missing runs and leaves the finished ones."""
    cells = sweep.cells
    missing = cells[(cells["configuration"] != "") & cells["value"].isna() & (cells["outcome"] != "diverged")]
    if missing.empty:
        return None
    seeds = ",".join(map(str, sorted(set(missing["seed"]))))
    words = [f"make sweep-{sweep.plan.experiment}", f"SCALE={sweep.plan.scale}", f"SEEDS={seeds}"]
    if sweep.plan.overrides:
        words.append(f"ARGS={_quoted(shlex.join(sweep.plan.overrides))}")
    if results != Path("results"):
        words.append(f"RESULTS={shlex.quote(str(results))}")
    return " ".join(words)


def commits(runs: pd.DataFrame) -> list[str]:
    """Return the versions of the code that runs come from."""
    return sorted({commit[:10] if isinstance(commit, str) else "unknown" for commit in runs["commit"]})


def _orderings(sweep: Sweep) -> Iterator[str]:
    """Yield a line for each cell that does not stand to its baseline as in the paper; no verdict on numbers."""
    labels = sweep.cells.drop_duplicates(["row", "column"]).set_index(["row", "column"])["label"]
    for order in orderings(sweep):
        if order.agrees:
            continue
        which = f" (the least like the paper of {order.configurations} configurations)" * (order.configurations > 1)
        only = "only " if order.ours * order.paper > 0 else ""
        bound = "at least " if order.paper_is_bound else ""
        yield (
            f"{MARK} not as in the paper: {labels[order.row, order.column]}{which} is {only}{_distance(order.ours)} "
            f"{baseline_label(sweep.experiment)}; in the paper it is {bound}{_distance(order.paper)}."
        )


def _distance(points: float) -> str:
    if abs(points) < 0.005:
        return "level with"
    return f"{abs(points):.2f} points {'above' if points > 0 else 'below'}"


def _scale(sweep: Sweep) -> Iterator[str]:
    """Yield what replaces the paper's setting at this scale, and which cells are not run."""
    changes: dict[tuple[bool, str], list[str]] = {}
    for original, others in sweep.plan.replacements.items():
        if others:
            is_added = original in others
            new = " and ".join(line for line in others if line != original) if is_added else " with ".join(others)
            changes.setdefault((is_added, f"{new} {'is added to' if is_added else 'replaces'}"), []).append(original)
    parts = [f"{what} {listed(changes[is_added, what])}" for is_added, what in sorted(changes, key=lambda one: one[0])]
    if parts:
        yield f"At this scale {'; '.join(parts)}."
    absent: list[str] = []
    cells = sweep.cells.drop_duplicates(["row", "column"])
    for _, of_row in cells.groupby("row", sort=False):
        without = of_row[of_row["outcome"] == "not at this scale"]
        absent += [of_row["row_label"].iloc[0]] if len(without) == len(of_row) else list(without["label"])
    if absent:
        yield f"Not run at this scale: {'; '.join(absent)}."


def _provenance(sweep: Sweep) -> Iterator[str]:
    """Yield where the numbers come from, if it is not simply one version of the code and this sweep's own runs."""
    known = {f"{row.id}/{column.id}" for row, column, _ in sweep.experiment.cells()}
    planned = {
        f"{row}/{column}" for row, columns in sweep.plan.cells.items() for column, names in columns.items() if names
    }
    if unknown := sorted(planned - known):
        yield f"Cells of this sweep that the experiment no longer has: {', '.join(unknown)}."
    cells, runs = sweep.cells, sweep.runs[sweep.runs["key"] != ""]
    lacking = cells[(cells["outcome"] == "finished") & cells["value"].isna()]
    for metric, of_metric in lacking.groupby("metric", sort=False):
        keys = {run_key(name, seed) for name, seed in zip(of_metric["configuration"], of_metric["seed"], strict=True)}
        have = f"{len(keys)} finished {'run has' if len(keys) == 1 else 'runs have'} no {metric}"
        yield f"{have} ({METRICS[str(metric)]}): delete {listed(sorted(keys))} to train again."
    longer = runs[runs["from_longer_run"]]
    if len(longer):
        ends = listed([f"{end:,}" for end in sorted(set(longer["iterations"]))])
        yield f"{len(longer)} of {len(runs)} runs are longer runs of the paper scale, read at iteration {ends}."
    if len(versions := commits(runs)) > 1:
        yield f"These runs come from {len(versions)} versions of the code: commits {', '.join(versions)}."
    if dirty := int((runs["dirty"] == True).sum()):  # noqa: E712
        yield f"{dirty} of {len(runs)} runs come from code with uncommitted changes."


def _reference(published: pd.DataFrame) -> Iterator[str]:
    """Yield what the column of published numbers is, and from which code and machine."""
    if published.empty:
        return
    runs = published[published["key"] != ""].drop_duplicates(["configuration", "seed"])
    machines = sorted({machine if isinstance(machine, str) else "unknown" for machine in runs["machine"]})
    versions = commits(runs)
    dirty = " with uncommitted changes" if (runs["dirty"] == True).any() else ""  # noqa: E712
    yield (
        f"reference: the median of the published runs of the same configurations and seeds, {len(runs)} runs from "
        f"{'commit' if len(versions) == 1 else 'commits'} {listed(versions)}{dirty} on {listed(machines)}."
    )


def _quoted(arguments: str) -> str:
    """Return the arguments in double quotes where that suffices; `$` is doubled because make reads it first."""
    arguments = arguments.replace("$", "$$")
    return shlex.quote(arguments) if set(arguments) & set('"$`\\!') else f'"{arguments}"'
