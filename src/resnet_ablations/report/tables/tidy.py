"""What the report says of a sweep as tidy tables: a line a cell, and a line a run."""

import pandas as pd

from resnet_ablations.experiments import METRICS, Experiment
from resnet_ablations.report.cells.cell import Cell, Tally
from resnet_ablations.report.cells.published import Reference
from resnet_ablations.results.sweeps import SweepPlan


def tidy_cells(
    plan: SweepPlan, experiment: Experiment, cells: list[Cell], reference: Reference | None = None
) -> pd.DataFrame:
    """One line a cell and configuration: what the paper says of it, and its statistics; `seconds` of training.

    With a reference `reference_median` and `reference_n` too, over the published ones of the same seeds.
    """
    lines = []
    for cell in cells:
        published = {} if reference is None else _by_configuration(reference.of(cell))
        for tally in cell.tallies:
            line = {
                "experiment": experiment.name,
                "scale": plan.scale,
                "sweep": plan.name,
                "row": cell.row.id,
                "column": cell.column.id,
                "metric": cell.metric,
                "configuration": tally.configuration,
                "overrides": " ".join(plan.configurations[tally.configuration].overrides),
                "iterations": plan.configurations[tally.configuration].iterations,
                "printed": cell.paper.printed,
                "digitised": cell.paper.digitised,
                "median": tally.median,
                "mean": tally.mean,
                "std": tally.std,
                "vs_baseline": _vs_baseline(cell, tally),
                "n": tally.n,
                "planned": len(plan.seeds),
                "seeds": " ".join(map(str, tally.values)),
                "diverged": len(tally.diverged),
                "missing": len(tally.missing),
                "train_error": pd.Series(tally.train_errors, dtype=float).median(),
                "seconds": tally.seconds,
            }
            if reference is not None:
                other = published[tally.configuration]
                line |= {"reference_median": other.median, "reference_n": other.n}
            lines.append(line)
    return pd.DataFrame(lines)


def tidy_runs(plan: SweepPlan, cells: list[Cell], runs: pd.DataFrame) -> pd.DataFrame:
    """One line a run that has a result, of `runs_of` the plan: its final errors (%), what it took and comes from.

    `iterations` is where the plan reads it, `run_iterations` and `seconds` are the whole run's.
    """
    shown = {"test_error", "train_error", *(cell.metric for cell in cells)}
    planned = runs["configuration"].map(plan.configurations)
    return pd.DataFrame(
        {
            "key": runs["key"],
            "configuration": runs["configuration"],
            "seed": runs["seed"],
            "outcome": runs["outcome"],
            "iterations": [one.iterations for one in planned],
            **{metric: runs[metric] for metric in METRICS if metric in shown},
            "run_iterations": runs["iterations"],
            **{name: runs[name] for name in ("seconds", "images_per_second", "parameters", "multiply_adds")},
            **{name: runs[name] for name in ("commit", "dirty")},
            "overrides": [" ".join(one.overrides) for one in planned],
        }
    )


def _by_configuration(cell: Cell) -> dict[str, Tally]:
    return {tally.configuration: tally for tally in cell.tallies}


def _vs_baseline(cell: Cell, tally: Tally) -> float | None:
    if cell.baseline is None or tally.median is None or not cell.baseline.medians:
        return None
    return tally.median - cell.baseline.medians[0]
