"""The sentences above a table: its scale, its seeds, its results, and the verdicts on its claims."""

from collections.abc import Sequence

import pandas as pd

from resnet_ablations.report.frame import Sweep, is_error
from resnet_ablations.report.labels import baseline_label
from resnet_ablations.report.tables.table import REDECLARED

SIGNS = {"reproduced": "✓", "contradicted": "✗", "inconclusive": "≈", "not run": "–"}
"""The possible outcomes of a claim, in the order of display, each with its symbol."""


def answer(sweep: Sweep, agrees: Sequence[bool], outcomes: Sequence[str]) -> str:
    """Return the sentences above a table.

    `agrees` has a value for each compared cell: True if the cell differs from its baseline as in the paper. `outcomes`
    are the outcomes of the claims.
    """
    runs = sweep.runs
    finished = runs[runs["outcome"] == "finished"]
    if finished.empty:
        return f"None of the {len(runs)} runs is finished."
    seeds = finished.groupby("configuration")["seed"].nunique()
    partial = "" if len(finished) == len(runs) else f", {len(finished)} of {len(runs)} runs finished"
    parts = [f"At scale {sweep.plan.scale}, with {_seeds(seeds)} per configuration{partial}", _orderings(sweep, agrees)]
    sentences = [", ".join(filter(None, parts)), _extremes(sweep)]
    if number := sum(map(len, sweep.redeclared.values())):
        sentences.append(
            f"{number} {'cell is' if number == 1 else 'cells are'} declared differently since the runs ({REDECLARED})"
        )
    if outcomes:
        listed = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in SIGNS if outcome in outcomes)
        sentences.append(f"Claims of the paper: {listed}")
    if seeds.max() == 1:
        sentences.append("One seed tells no order")
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _seeds(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    if high == 1:
        return "one seed"
    return f"{low if low == high else f'{low} to {high}'} seeds"


def _orderings(sweep: Sweep, agrees: Sequence[bool]) -> str:
    if not agrees:
        return ""
    same, others = sum(agrees), len(agrees) - sum(agrees)
    numbers = f"{same} of {len(agrees)} errors differ from that of “{baseline_label(sweep.experiment)}” as in the paper"
    return numbers + (f" and {others} {'does' if others == 1 else 'do'} not (†)" if others else "")


def _extremes(sweep: Sweep) -> str:
    """Return the lowest and the highest median of the first error metric of the table, for rows as declared today."""
    cells = sweep.cells[sweep.cells["value"].notna() & (sweep.cells["redeclared"] == "")]
    metric = next((metric for metric in cells["metric"] if is_error(metric)), None)
    if metric is None:
        return ""
    medians = cells[cells["metric"] == metric].groupby(["label", "configuration"], sort=False)["value"].median()
    low, high = medians.idxmin(), medians.idxmax()
    if low == high:
        return f"“{low[0]}” ends at {medians[low]:.2f} %"
    return f"Errors range from {medians[low]:.2f} % (“{low[0]}”) to {medians[high]:.2f} % (“{high[0]}”)"
