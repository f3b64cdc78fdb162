"""Faithfulness: our training loss over the paper's digitised one, at the same iterations of the same setting."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from resnet_ablations.report.curves import CUT_OFF, paper_loss, train_points
from resnet_ablations.report.frame import ReportData, Sweep
from resnet_ablations.report.tables.captions import iterations
from resnet_ablations.report.tables.table import REDECLARED, Table, TableColumn

CHECKPOINTS = {"early": (500, 1_000, 1_500, 2_000), "paper": (10_000, 30_000, 34_000, 46_000, 62_000)}
"""The iterations to compare at, for the scales that share the paper's setting."""
WINDOWS = {"early": 100, "paper": 500}
"""The iterations before and after a checkpoint over which losses are averaged."""
DIGITISING = 0.05
"""The largest relative error (±) of the paper's digitised loss."""


def faithfulness(sweep: Sweep, data: ReportData) -> pd.DataFrame:
    """Return one row for each cell with a digitised loss and each checkpoint; no row at scales with another setting.

    `ours` is the median over the finished seeds, `ratio` ours over the paper's; one seed has no `course`. Where the
    paper's curve is cut off at the end of its axis, the ratios are upper bounds.
    """
    lines: list[dict[str, Any]] = []
    checkpoints, window = CHECKPOINTS.get(sweep.plan.scale, ()), WINDOWS.get(sweep.plan.scale, 0)
    cells = sweep.cells[(sweep.cells["configuration"] != "") & (sweep.cells["curve"] != "")]
    for _, cell in cells.groupby(["row", "column"], sort=False):
        if (paper := paper_loss(cell["curve"].iloc[0])) is None:
            continue
        finished = cell.loc[cell["outcome"] == "finished", "key"]
        ours = [train_points(data.curves[key], "train_loss") for key in finished if key in data.curves]
        end = cell["iterations"].max()
        for iteration in checkpoints:
            # Average both curves over the same span: past the end of ours, the paper's would be lower.
            span = slice(iteration - window, min(iteration + window, end))
            losses = pd.Series([geometric_mean(curve.loc[span]) for curve in ours], dtype=float).dropna()
            loss = geometric_mean(paper.loc[span].clip(upper=CUT_OFF))
            is_cut_off = bool((paper.loc[span] > CUT_OFF).any())
            lowest, highest = losses.min() / loss, losses.max() / loss
            lines.append(
                {
                    **cell.iloc[0][["experiment", "scale", "sweep", "row", "column", "label"]],
                    "iteration": iteration,
                    "window": window,
                    "ours": losses.median(),
                    "paper": loss,
                    "ratio": losses.median() / loss,
                    "lowest_ratio": lowest,
                    "highest_ratio": highest,
                    "course": course(lowest, highest, is_cut_off) if len(losses) > 1 else None,
                    "paper_is_cut_off": is_cut_off,
                    "n": len(losses),
                    "redeclared": cell["redeclared"].iloc[0],
                }
            )
    return pd.DataFrame(lines)


def geometric_mean(losses: pd.Series) -> float:
    """Return the geometric mean of the positive losses, NaN without any."""
    return float(np.exp(np.log(losses[losses > 0]).mean()))


def course(lowest: float, highest: float, paper_is_cut_off: bool = False) -> str | None:
    """Return whether each seed's loss is below the paper's by more than the digitising error, above it, or neither.

    `leads`, `lags` or `follows`; None if there is no loss to compare, or if the ratios are upper bounds that are too
    high to show that ours leads.
    """
    if np.isnan(highest):
        return None
    if highest < 1 - DIGITISING:
        return "leads"
    if paper_is_cut_off:
        return None
    return "lags" if lowest > 1 + DIGITISING else "follows"


def course_in_all(courses: Iterable[str | None]) -> str | None:
    """Return the course over all checkpoints: `follows` unless it leads or lags at one, `mixed` where it does both."""
    found = set(courses)
    if found >= {"leads", "lags"}:
        return "mixed"
    return next((name for name in ("leads", "lags", "follows") if name in found), None)


def faithfulness_table(sweep: Sweep, found: pd.DataFrame) -> Table:
    """Return the comparison as a table: three to five lines for each cell, a column for each checkpoint."""
    is_cut_off = found["paper_is_cut_off"]
    at_least, at_most = (is_cut_off.map({True: sign, False: ""}) for sign in ("≥ ", "≤ "))
    paper, ours = (found[name].map("{:#.3g}".format) for name in ("paper", "ours"))
    ratio, low, high = (found[name].map("{:.2f}".format) for name in ("ratio", "lowest_ratio", "highest_ratio"))
    columns = {"ours": ours, "paper": at_least + paper, "ratio": at_most + ratio, "seeds": at_most + low + "–" + high}
    texts = pd.DataFrame({**columns, "course": found["course"].fillna("nan")})
    texts = texts.mask(texts.apply(lambda column: column.str.contains("nan")), "–")
    lines: list[tuple[str, ...]] = []
    for _, cell in found.groupby(["row", "column"], sort=False):
        names = [name for name in texts if name not in ("seeds", "course") or cell["n"].max() > 1]
        in_all = [""] * (len(names) - 1) + [course_in_all(cell["course"]) or "–"]
        since = f" {REDECLARED}" * bool(cell["redeclared"].iloc[0])
        labels = [cell["label"].iloc[0] + since, *[""] * (len(names) - 1)]
        lines += zip(labels, names, *texts.loc[cell.index, names].to_numpy(), in_all, strict=True)
    scale, experiment = sweep.plan.scale, sweep.experiment
    ends = " or ".join(f"{end:,}" for end in iterations(sweep))
    notes = [
        (
            (is_cut_off | found["paper"].isna()).any(),
            "The paper’s curves are cut off at 2, the end of its axis (≥, or no value).",
        ),
        ((found["n"] == 1).any(), "One seed tells no course."),
        (
            (found["redeclared"] != "").any(),
            f"{REDECLARED} declared differently since these runs: see the table of errors.",
        ),
    ]
    return Table(
        name=f"{sweep.plan.name}-faithfulness",
        title=f"Faithfulness: {experiment.title}, scale {scale}",
        caption=(
            "Our training loss and the paper’s at an iteration: the geometric mean of the points within "
            f"±{WINDOWS[scale]} iterations (never past iteration {ends}); ours is the median over the finished seeds. "
            "The paper’s loss is digitised from its figure (±5 %), so a ratio within 0.95–1.05 cannot be told from 1. "
            "Ours leads where each seed’s ratio is below 0.95, lags where each is above 1.05, and follows otherwise. "
            "In all, it follows unless it leads or lags at some checkpoint; it is mixed where it does both."
        ),
        columns=(
            *map(TableColumn, ("row", "training loss")),
            *(TableColumn(heading, right=True) for heading in (*map("{:,}".format, CHECKPOINTS[scale]), "in all")),
        ),
        rows=tuple(lines),
        notes=tuple(note for applies, note in notes if applies),
    )
