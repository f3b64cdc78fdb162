"""Statistics over seeds: what the runs of each cell and configuration come to, beside the paper's number."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.frame import FAIL, CellId, Run, Sweep, is_error

CLEAR = 1.0
"""A difference in percentage points; where the paper's rows differ by this or more, ours must, too, to agree."""
TEST_IMAGES = ("_target_", "held_out", "fingerprint", "crop")
"""The settings of `data` that decide which images an error is measured on."""


def summary(sweep: Sweep) -> pd.DataFrame:
    """Return one row for each cell and configuration: the paper's number and the statistics over the finished seeds.

    `std` is the sample standard deviation (n − 1). `missing` counts finished runs without the metric, too. `seconds` is
    the training time of all runs. Where there are published runs, `reference_median` and `reference_n` are theirs.
    """
    planned = sweep.cells[sweep.cells["configuration"] != ""]
    has_value = planned["value"].notna()
    counted = planned.assign(
        seeds=planned["seed"].astype(str).where(has_value, ""),
        diverged=planned["outcome"] == "diverged",
        missing=~has_value & (planned["outcome"] != "diverged"),
        train_error=planned["train_error"].where(has_value),
    )
    of_cell = ("metric", "overrides", "iterations", "printed", "digitised", "baseline", "reference", "reference_n")
    keys = ["experiment", "scale", "sweep", "row", "column", "configuration"]
    found = counted.groupby(keys, sort=False, as_index=False).agg(
        **{name: (name, lambda of: of.iloc[0]) for name in of_cell},
        median=("value", "median"),
        mean=("value", "mean"),
        std=("value", "std"),
        n=("value", "count"),
        planned=("seed", "size"),
        seeds=("seeds", lambda of: " ".join(filter(None, of))),
        diverged=("diverged", "sum"),
        missing=("missing", "sum"),
        train_error=("train_error", "median"),
        seconds=("seconds", "sum"),
    )
    lowest = found.groupby(found["row"] + "/" + found["column"])["median"].min()
    found["vs_baseline"] = found["median"] - found["baseline"].map(lowest)
    columns = ["experiment", "scale", "sweep", "row", "column", "metric", "configuration", "overrides", "iterations"]
    columns += ["printed", "digitised", "median", "mean", "std", "vs_baseline", "n", "planned", "seeds", "diverged"]
    columns += ["missing", "train_error", "seconds", *["reference", "reference_n"] * (not sweep.published.empty)]
    return found[columns].rename(columns={"reference": "reference_median"})


def run_table(sweep: Sweep) -> pd.DataFrame:
    """Return one row for each run with a result: its final errors (%), and the other metrics that the table shows.

    `iterations` is where the plan reads the run; `run_iterations` and `seconds` are the whole run's.
    """
    shown = [name for name in METRICS if name in {"test_error", "train_error", *sweep.cells["metric"]}]
    columns = ["key", "configuration", "seed", "outcome", "iterations", *shown, "run_iterations", "seconds"]
    columns += ["images_per_second", "parameters", "multiply_adds", "commit", "dirty", "overrides"]
    return sweep.runs.loc[sweep.runs["key"] != "", columns]


@dataclass(frozen=True)
class Ordering:
    """A cell against its baseline, ours and the paper's: differences in percentage points, positive is worse."""

    row: str
    column: str
    ours: float
    paper: float
    paper_is_bound: bool = False
    """The paper prints "fail", so its difference is at least this."""
    configurations: int = 1

    @property
    def agrees(self) -> bool:
        """Both differences have the same sign, and ours is clear where the paper's is."""
        if self.paper == 0:
            return True
        ours = self.ours if self.paper > 0 else -self.ours
        return ours > 0 and ours >= (CLEAR if abs(self.paper) >= CLEAR else 0)


def orderings(sweep: Sweep) -> list[Ordering]:
    """Return the cells with an error of ours and of the paper's, both for the cell and for its baseline.

    A cell with several configurations is represented by the one that is least as in the paper.
    """
    medians = summary(sweep).dropna(subset="median").groupby(["row", "column"])["median"].agg(["min", "max", "count"])
    ours_of = {place: (low, high, n) for place, low, high, n in medians.itertuples(name=None)}
    found = []
    for place, cell in sweep.first_rows.items():
        base_place = tuple(cell["baseline"].split("/"))
        if not is_error(cell["metric"]) or not {place, base_place} <= set(ours_of):
            continue
        base = sweep.first_rows[base_place]
        number, base_number = paper_error(cell), paper_error(base)
        if number is None or base_number is None or base["printed"] == "fail":
            continue
        paper = round(number - base_number, 6)
        lowest, highest, configurations = ours_of[place]
        ours = round((lowest if paper > 0 else highest) - ours_of[base_place][0], 6)
        found.append(Ordering(*place, ours, paper, cell["printed"] == "fail", configurations))
    return found


def paper_error(cell: Run) -> float | None:
    """Return the paper's number, printed or digitised; for "fail" the least that it means."""
    if cell["printed"] == "fail":
        return FAIL
    number = cell["digitised"] if cell["printed"] is None else cell["printed"]
    return None if pd.isna(number) else float(number)


def best_cells(sweep: Sweep, summarised: pd.DataFrame, uses_fail: bool) -> set[CellId]:
    """Return the cells with the lowest error of their column as printed, all of a tie.

    Compared are cells of one metric on the same test images that have one configuration (the best of several would be
    chosen by its test error) and all their seeds. A single cell is not the best of anything, nor is a "fail".
    """
    cells = summarised.drop_duplicates(["row", "column"], keep=False)
    cells = cells[cells["metric"].map(is_error).astype(bool) & (cells["n"] == cells["planned"])]
    data = [sweep.plan.configurations[name].config["data"] for name in cells["configuration"]]
    images = pd.Series([str([of_one.get(name) for name in TEST_IMAGES]) for of_one in data], cells.index, dtype="str")
    errors = cells["median"].map(lambda median: round(median, 2))
    comparable = errors.groupby([cells["column"], cells["metric"], images])
    lowest = comparable.transform("min")
    is_best = (errors == lowest) & (comparable.transform("size") > 1) & ~(uses_fail & (lowest > FAIL))
    return set(zip(cells.loc[is_best, "row"], cells.loc[is_best, "column"], strict=True))


def listed(texts: Sequence[str], most: int = 3) -> str:
    """Return `a`, `a and b`, `a, b and c` or `a, b, c and 4 more`."""
    shown = list(texts) if len(texts) <= most else [*texts[:most], f"{len(texts) - most} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def signed(points: float) -> str:
    """Return a difference with its sign, with a true minus sign."""
    return f"{round(points, 2) + 0.0:+.2f}".replace("-", "−")  # + 0.0: there is no −0.00
