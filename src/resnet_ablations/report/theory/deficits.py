"""Optimisation or generalisation: each row’s difference from the baseline in training error, and in the gap to test."""

import math
from collections.abc import Callable

import pandas as pd

from resnet_ablations.report.claims.evidence import mean_of
from resnet_ablations.report.curves import train_points
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.labels import baseline_label
from resnet_ablations.report.tables.summary import CLEAR, number, signed
from resnet_ablations.report.tables.table import Table
from resnet_ablations.report.theory.tables import Text, table_of_runs

DIFFERENCES = ("train_error", "gap", "test_error")
"""The errors in percentage points whose differences are shown: the last one is the sum of the first two."""


def deficits(sweep: Sweep, data: ReportData) -> pd.DataFrame:
    """Return one row for each finished run of a cell with a baseline, and of each baseline, in test errors.

    `train_loss` is that of the last tenth of the iterations. `gap` is test error − training error. `vs_` is the
    difference from the mean of the baseline's runs; it is NaN for the baseline. Empty if the runs end before the
    training of the paper, or if no cell can be compared.
    """
    cells = sweep.cells.assign(cell=sweep.cells["row"] + "/" + sweep.cells["column"])
    compared = cells[(cells["baseline"] != "") & (cells["metric"] == "test_error") & (cells["redeclared"] == "")]
    runs = cells[cells["cell"].isin([*compared["cell"], *compared["baseline"]]) & cells["value"].notna()]
    runs = runs.assign(
        train_loss=[_train_loss(run["key"], run["iterations"], data) for run in runs.to_dict("records")],
        gap=runs["test_error"] - runs["train_error"],
    )
    means = runs.groupby("cell")[list(DIFFERENCES)].mean().reindex(runs["baseline"])
    for name in DIFFERENCES:
        runs[f"vs_{name}"] = runs[name].to_numpy() - means[name].to_numpy()
    if sweep.plan.scale == "early" or runs["vs_test_error"].isna().all():
        return runs.head(0)
    columns = ["row", "column", "label", "key", "seed", "train_loss", *DIFFERENCES]
    return runs[[*columns, *(f"vs_{name}" for name in DIFFERENCES)]]


def _train_loss(key: str, iterations: int, data: ReportData) -> float:
    curve = data.curves.get(key)
    return math.nan if curve is None else math.exp(mean_of("train_loss", train_points(curve, "train_loss"), iterations))


def deficits_table(sweep: Sweep, runs: pd.DataFrame) -> Table:
    """Return the table of the training loss and of each row's differences from the baseline."""
    baseline = baseline_label(sweep.experiment)
    caption = (
        f"The training loss over the last tenth of the iterations, and the difference from “{baseline}” in percentage "
        "points: the difference in test error is that in training error plus that in the gap between the two. Shown is "
        "the mean of the runs (lowest to highest)."
    )
    texts: dict[str, Text] = {"training loss": _mean("train_loss", number)}
    for heading, name in {"training error": "train_error", "gap": "gap", "test error": "test_error"}.items():
        texts[f"vs {baseline}: {heading}"] = _mean(f"vs_{name}", signed)
    title = "Optimisation or generalisation?"
    return table_of_runs(sweep, "deficits", title, caption, runs, texts, [_sentence(runs, baseline)])


def _sentence(runs: pd.DataFrame, baseline: str) -> str:
    rows = runs.groupby(["row", "column"])[["vs_train_error", "vs_test_error"]].mean().dropna()
    worse = rows[rows["vs_test_error"] >= CLEAR]
    in_training = int((worse["vs_train_error"] > worse["vs_test_error"] / 2).sum())
    once = " (one seed)" * (len(set(runs["seed"])) == 1)
    sentence = f"{len(worse)} of {len(rows)} rows end at least {CLEAR:g} point above “{baseline}” in test error{once}."
    if len(worse):
        sentence += (
            f" Most of the difference is in the training error in {in_training} of them, and in the gap in "
            f"{len(worse) - in_training}."
        )
    return sentence


def _mean(name: str, write: Callable[[float], str]) -> Text:
    """Return a function that writes the mean of the runs, with the lowest and the highest."""

    def text(runs: pd.DataFrame) -> str:
        known = runs[name].dropna()
        if known.empty:
            return "–"
        ends = dict.fromkeys(write(end) for end in (known.min(), known.max()))
        return write(known.mean()) + f" ({' to '.join(ends)})" * (len(ends) > 1)

    return text
