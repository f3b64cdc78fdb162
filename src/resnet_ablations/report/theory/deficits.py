"""Optimisation or generalisation: each row’s difference from the baseline in training error, and in the gap to test."""

import math

import pandas as pd

from resnet_ablations.report.curves import mean_of, train_points
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.labels import baseline_label
from resnet_ablations.report.tables.summary import CLEAR, signed
from resnet_ablations.report.tables.table import Table
from resnet_ablations.report.theory.recorded_signals import NAMES
from resnet_ablations.report.theory.tables import MASKED, Text, several, span, spread, table_of_runs

DIFFERENCES = ("train_error", "gap", "test_error")
"""The errors in percentage points whose differences are shown: the last one is the sum of the first two."""


def deficits(sweep: Sweep, data: ReportData) -> pd.DataFrame:
    """Return one row for each finished run of a cell with a baseline, and of each baseline, in test errors.

    `train_loss` is that of the last tenth of the iterations. `gap` is test error − training error. `vs_` is the
    difference from the mean of the baseline's runs; it is NaN for the baseline, and where masks are in the training
    error alone, except in the test error. `window` is the number of iterations of the training error. Empty if the runs
    end before the training of the paper, or if no cell can be compared: a redeclared cell or baseline cannot.
    """
    cells = sweep.cells.assign(cell=sweep.cells["row"] + "/" + sweep.cells["column"])
    same = cells[cells["redeclared"] == ""]
    compared = same[(same["metric"] == "test_error") & same["baseline"].isin(same["cell"])]
    runs = cells[cells["cell"].isin([*compared["cell"], *compared["baseline"]]) & cells["value"].notna()]
    runs = runs.assign(
        train_loss=[_train_loss(run["key"], run["iterations"], data) for run in runs.to_dict("records")],
        gap=runs["test_error"] - runs["train_error"],
        window=[_window(run["key"], run["iterations"], data) for run in runs.to_dict("records")],
    )
    means = runs.groupby("cell")[list(DIFFERENCES)].mean().reindex(runs["baseline"])
    for name in DIFFERENCES:
        runs[f"vs_{name}"] = runs[name].to_numpy() - means[name].to_numpy()
    masked = [sweep.settings.loc[name, "shortcut"] in MASKED for name in runs["configuration"]]
    runs.loc[masked, ["vs_train_error", "vs_gap"]] = math.nan
    if sweep.plan.scale == "early" or runs["vs_test_error"].isna().all():
        return runs.head(0)
    columns = [*NAMES, "train_loss", "window", *DIFFERENCES]
    return runs[[*columns, *(f"vs_{name}" for name in DIFFERENCES)]]


def _train_loss(key: str, iterations: int, data: ReportData) -> float:
    curve = data.curves.get(key)
    return math.nan if curve is None else math.exp(mean_of("train_loss", train_points(curve, "train_loss"), iterations))


def _window(key: str, iterations: int, data: ReportData) -> float:
    """Return the number of iterations of the last row of a curve; NaN without a curve."""
    rows = data.curves[key]["iteration"] if key in data.curves else pd.Series(dtype=float)
    ends = [0, *rows[rows <= iterations]]
    return ends[-1] - ends[-2] if len(ends) > 1 else math.nan


def deficits_table(sweep: Sweep, runs: pd.DataFrame) -> Table:
    """Return the table of the training loss and of each row's differences from the baseline."""
    baseline = baseline_label(sweep.experiment)
    known = runs["window"].dropna()
    last = f"last {span(known)} iterations" if len(known) else "last iterations"
    caption = (
        "Training loss: the geometric mean over the last tenth of the iterations. Training error: the errors of the "
        f"{last}, made with the augmentation, the batch statistics and the masks of training. The "
        "test error has none of these, so test − training is no pure generalisation gap and can be negative. The "
        f"difference from “{baseline}” in test error is that in training error plus that in test − training. Shown is "
        "the mean of the finished runs (lowest to highest), in % and percentage points." + several(runs)
    )
    texts: dict[str, Text] = {"training loss": spread("train_loss", middle="mean")}
    for heading, name in (("training error", "train_error"), ("test − training", "gap")):
        texts[heading] = spread(name, lambda value: f"{value:.2f}".replace("-", "−"), "mean")
    for heading, name in (("training error", "train_error"), ("test − training", "gap"), ("test error", "test_error")):
        texts[f"vs {baseline}: {heading}"] = _difference(f"vs_{name}")
    title = "Optimisation or generalisation?"
    return table_of_runs(sweep, "deficits", title, caption, runs, texts, [_sentence(runs, baseline)])


def _difference(name: str) -> Text:
    """Return a function that writes a difference from the baseline, a dash for the baseline itself."""
    write = spread(name, signed, "mean")
    return lambda runs: "not separated" if runs[name].count() < runs["vs_test_error"].count() else write(runs)


def _sentence(runs: pd.DataFrame, baseline: str) -> str:
    compared = runs.dropna(subset="vs_test_error").groupby(["row", "column"])
    rows = compared.obj.groupby(["row", "column", "configuration"])[["vs_train_error", "vs_test_error"]].mean()
    named = "configurations" if len(rows) > compared.ngroups else "rows"
    worse = rows[rows["vs_test_error"] >= CLEAR]
    separated = worse.dropna()
    in_training = int((separated["vs_train_error"] > separated["vs_test_error"] / 2).sum())
    once = " (one seed)" * (len(set(runs["seed"])) == 1)
    sentence = (
        f"{len(worse)} of {len(rows)} {named} end at least {CLEAR:g} point above “{baseline}” in test error{once}."
    )
    if len(separated):
        sentence += (
            f" Most of the difference is in the training error in {in_training} of them, and in test − training in "
            f"{len(separated) - in_training}."
        )
    if masked := len(worse) - len(separated):
        sentence += f" In {masked}, masks add to the training error, so the parts are not separated."
    return sentence
