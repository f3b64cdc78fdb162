"""Statistics over the seeds of each cell and configuration, with the paper's number."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.frame import FAIL, CellId, Sweep, is_error
from resnet_ablations.report.labels import POWERS

CLEAR = 1.0
"""The smallest clear difference (percentage points). Ours agrees with a clear difference of the paper only if clear."""
TEST_IMAGES = ("data", "data.held_out", "data.fingerprint", "data.crop")
"""The settings that choose the images on which an error is measured."""


@lru_cache
def summary(sweep: Sweep) -> pd.DataFrame:
    """Return one row for each cell and configuration: the paper's number and the statistics over the finished seeds.

    `std` is the sample standard deviation (n − 1). `missing` counts finished runs without the metric, too. `seconds` is
    the training time of all runs. Where there are published runs, `reference_median`, `reference_low`,
    `reference_high` and `reference_n` are theirs.
    """
    planned = sweep.cells[sweep.cells["configuration"] != ""]
    has_value, diverged = planned["value"].notna(), planned["outcome"] == "diverged"
    counted = planned.assign(
        seeds=planned["seed"].astype(str).where(has_value, ""),
        diverged=diverged,
        missing=~has_value & ~diverged,
        train_error=planned["train_error"].where(has_value),
    )
    keys = ["experiment", "scale", "sweep", "row", "column", "metric", "configuration", "overrides"]
    found = counted.groupby(keys, sort=False, as_index=False).agg(
        iterations=("iterations", "first"),
        printed=("printed", "first"),
        digitised=("digitised", "first"),
        median=("value", "median"),
        mean=("value", "mean"),
        std=("value", "std"),
        vs_baseline=("baseline", "first"),
        n=("value", "count"),
        planned=("seed", "size"),
        seeds=("seeds", lambda of: " ".join(filter(None, of))),
        diverged=("diverged", "sum"),
        missing=("missing", "sum"),
        train_error=("train_error", "median"),
        seconds=("seconds", "sum"),
        others=("others", "first"),
        others_n=("others_n", "first"),
        reference_median=("reference", "first"),
        reference_low=("reference_low", "first"),
        reference_high=("reference_high", "first"),
        reference_n=("reference_n", "first"),
        redeclared=("redeclared", "first"),
    )
    lowest = found.groupby(found["row"] + "/" + found["column"])["median"].min()
    found["vs_baseline"] = found["median"] - found["vs_baseline"].map(lowest)
    left_out = [name for name in map(str, found) if name.startswith("reference_") and sweep.published.empty]
    left_out += [] if sweep.others["is_counted"].any() else ["others", "others_n"]
    return found.drop(columns=left_out)


def run_table(sweep: Sweep) -> pd.DataFrame:
    """Return one row for each run with a result: its final errors (%), and the other metrics that the table shows.

    `iterations` is the iteration whose errors are shown; `run_iterations` and `seconds` are of the whole run.
    """
    shown = [name for name in METRICS if name in {"test_error", "train_error", *sweep.cells["metric"]}]
    columns = ["key", "configuration", "seed", "outcome", "iterations", *shown, "run_iterations", "seconds"]
    columns += ["images_per_second", "parameters", "multiply_adds", "commit", "dirty", "overrides"]
    return sweep.runs.loc[sweep.runs["key"] != "", columns]


@lru_cache
def orderings(sweep: Sweep, fewest: int = 2) -> pd.DataFrame:
    """Return one row for each cell for which both we and the paper have an error of the cell and of its baseline.

    Configurations with fewer than `fewest` finished seeds are left out, because one run tells no order, and so are
    cells that are declared differently since their runs.

    `ours` and `paper` are the differences from the baseline in percentage points, positive is worse. Where the paper
    prints "fail", its difference is at least `paper` (`is_bound`). A cell with several `configurations` is represented
    by the one that agrees least with the paper.
    """
    cells = sweep.cells.drop_duplicates(["row", "column"]).query("redeclared == ''")
    cells = cells[cells["metric"].map(is_error).astype(bool)].assign(is_bound=cells["printed"] == "fail")
    cells["error"] = cells["printed"].mask(cells["is_bound"], FAIL).astype("float64").fillna(cells["digitised"])
    medians = (
        summary(sweep)
        .query("n >= @fewest")
        .groupby(["row", "column"])["median"]
        .agg(low="min", high="max", configurations="count")
    )
    cells = cells[["row", "column", "label", "baseline", "error", "is_bound"]].join(medians, ["row", "column"]).dropna()
    cells.index = cells["row"] + "/" + cells["column"]
    base = cells.loc[~cells["is_bound"], ["error", "low"]].add_suffix("_of_baseline")
    found = cells.join(base, "baseline").dropna()
    found["paper"] = (found["error"] - found["error_of_baseline"]).round(6)
    least = found["low"].where(found["paper"] > 0, found["high"])
    found["ours"] = (least - found["low_of_baseline"]).round(6)
    return found.assign(agrees=agrees(found["ours"], found["paper"])).set_index(["row", "column"])


def agrees(ours: pd.Series, paper: pd.Series) -> pd.Series:
    """Return whether ours has the same sign as the paper's and, if the paper's is at least `CLEAR`, is that large too.

    Ours always agrees with a difference of 0 in the paper.
    """
    along = ours * np.sign(paper)
    return (paper == 0) | ((along > 0) & (along >= CLEAR * (paper.abs() >= CLEAR)))


def best_cells(sweep: Sweep, summarised: pd.DataFrame, uses_fail: bool) -> set[CellId]:
    """Return the cells whose error, rounded as shown, is the lowest of its column; in a tie, all of them.

    Cells are compared only if they have the same metric and test images, all their seeds, and one configuration: the
    best of several would be chosen by its test error. Their settings must be those that are declared today. A single
    cell is not the best of anything, nor is a "fail".
    """
    cells = summarised.drop_duplicates(["row", "column"], keep=False)
    cells = cells[cells["metric"].map(is_error).astype(bool) & (cells["n"] == cells["planned"])]
    cells = cells[cells["redeclared"] == ""]
    settings = sweep.settings.reindex(columns=list(TEST_IMAGES)).astype("str")
    images = [cells["configuration"].map(settings[name]) for name in TEST_IMAGES]
    errors = cells["median"].map(lambda median: round(median, 2))
    comparable = errors.groupby([cells["column"], cells["metric"], *images], dropna=False)
    is_best = (errors == comparable.transform("min")) & (comparable.transform("size") > 1)
    is_best &= ~(uses_fail & (errors > FAIL))
    return set(zip(cells.loc[is_best, "row"], cells.loc[is_best, "column"], strict=True))


def signed(points: float) -> str:
    """Return a difference with its sign, with a true minus sign."""
    return f"{round(points, 2) + 0.0:+.2f}".replace("-", "−")  # + 0.0: there is no −0.00


def number(value: float) -> str:
    """Return three significant digits: `0.942`, `1,230`, `−5.98`; a power of ten far from one: `7·10⁻⁹`; NaN is `–`."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞".rjust(1 + (value < 0), "−")
    if value and not 1e-3 <= abs(value) < 1e5:
        digit, _, power = f"{value:.0e}".partition("e")
        return f"{digit}·10{str(int(power)).translate(POWERS)}".replace("-", "−")
    return f"{float(f'{value:.3g}'):,g}".replace("-", "−")


def written(metric: str) -> Callable[[float], str]:
    """Return the function that writes a value of a metric."""
    return number if metric == "first_gradient" else "{:.2f}".format
