"""The paper's table with ours beside it, as data: texts of cells, caption and notes, in no format yet."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import Experiment
from resnet_ablations.report import captions
from resnet_ablations.report.captions import MARK
from resnet_ablations.report.cells import FAIL, Cell, Tally, ordering
from resnet_ablations.results.sweeps import SweepPlan


@dataclass(frozen=True)
class Column:
    """A column's heading, whether its cells are set flush right, and the width from which they wrap in a terminal."""

    heading: str
    right: bool = False
    width: int | None = None


@dataclass(frozen=True)
class Table:
    """Texts in rows and columns with all that stands around them; `name` is the stem of its files."""

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    command: str | None = None
    """The command that fills the gaps, if there are any."""


def comparison(plan: SweepPlan, experiment: Experiment, cells: list[Cell], runs: pd.DataFrame, results: Path) -> Table:
    """The experiment's rows in the paper's order: what the paper prints, and what the runs of the plan came to."""
    baseline = cells[0]
    columns = (
        Column("case", width=13),
        Column("Fig."),
        Column("on shortcut"),
        Column("on F"),
        Column("paper", right=True),
        Column("ours", width=18),
        Column(f"vs {baseline.row.case}", right=True, width=11),
        Column("n", right=True),
        Column("remark", width=13),
    )
    rows = [_line(cell, baseline, plan.scale == "paper") for cell in cells]
    cases = [cell.row.case for cell in cells]
    return Table(
        name=plan.name,
        title=f"{experiment.title}, scale {plan.scale}",
        caption=captions.caption(plan, experiment, baseline),
        columns=columns,
        # As in the paper, a case is named in the first of its rows.
        rows=tuple(
            ("" if case == before else case, *row) for before, case, row in zip(["", *cases], cases, rows, strict=False)
        ),
        notes=(*captions.ordering_notes(cells, experiment), *captions.provenance_notes(plan, experiment, runs)),
        command=captions.missing_command(plan, cells, results),
    )


def tidy(plan: SweepPlan, experiment: Experiment, cells: list[Cell]) -> pd.DataFrame:
    """One line a configuration: what is printed for its row, and its statistics; errors in %, `seconds` of training."""
    baseline = cells[0].medians[0] if cells[0].medians else None
    return pd.DataFrame(
        [
            {
                "experiment": experiment.name,
                "scale": plan.scale,
                "sweep": plan.name,
                "row": cell.row.id,
                "configuration": tally.configuration,
                "overrides": " ".join(plan.configurations[tally.configuration].overrides),
                "iterations": plan.iterations,
                "printed": cell.row.printed,
                "median": tally.median,
                "mean": tally.mean,
                "std": tally.std,
                "vs_baseline": None if None in (tally.median, baseline) else tally.median - baseline,  # type: ignore[operator]
                "n": tally.n,
                "planned": len(plan.seeds),
                "seeds": " ".join(map(str, tally.errors)),
                "diverged": len(tally.diverged),
                "missing": len(tally.missing),
                "train_error": pd.Series(tally.train_errors, dtype=float).median(),
                "seconds": tally.seconds,
            }
            for cell in cells
            for tally in cell.tallies
        ]
    )


def _line(cell: Cell, baseline: Cell, at_paper_scale: bool) -> tuple[str, ...]:
    row, order = cell.row, ordering(cell, baseline)
    mark = "" if order is None or order.agrees else f" {MARK}"
    return (
        row.panel,
        row.on_shortcut,
        row.on_residual,
        "fail" if row.printed == "fail" else f"{row.printed:.2f}",
        _ours(cell, at_paper_scale),
        _difference(cell, baseline) + mark,
        f"{cell.n}/{cell.planned}",
        row.remark,
    )


def _ours(cell: Cell, at_paper_scale: bool) -> str:
    if not cell.tallies:
        return "not planned"
    parts = []
    if len(cell.tallies) > 1 and cell.n:
        parts.append(_range(cell, at_paper_scale))
    elif cell.n:
        parts.append(_statistics(cell.tallies[0], at_paper_scale))
    if cell.diverged:
        parts.append(f"{cell.diverged} diverged")
    if cell.missing and not cell.n:
        parts.append(f"{cell.missing} missing" if cell.diverged else "missing")
    return ", ".join(parts)


def _statistics(tally: Tally, at_paper_scale: bool) -> str:
    assert tally.median is not None
    if at_paper_scale and tally.median > FAIL:
        return f"fail ({tally.median:.1f})"
    if tally.std is None:
        return f"{tally.median:.2f}"
    return f"{tally.median:.2f} ({tally.mean:.2f} ± {tally.std:.2f})"


def _range(cell: Cell, at_paper_scale: bool) -> str:
    medians, configurations = cell.medians, len(cell.tallies)
    fails = sum(median > FAIL for median in medians)
    if at_paper_scale and fails == configurations:
        return f"fail ({_span(medians, '.1f')}; {fails} of {configurations} configurations)"
    counts = f"{len(medians)} of {configurations} configurations"
    if at_paper_scale:
        counts = f"{fails} of {len(medians)} fail" + ("" if len(medians) == configurations else f"; {counts}")
    return f"{_span(medians, '.2f')} ({counts})"


def _span(values: list[float], form: str) -> str:
    texts = [f"{value:{form}}" for value in (values[0], values[-1])]
    return texts[0] if len(values) == 1 else "–".join(texts)


def _difference(cell: Cell, baseline: Cell) -> str:
    if cell.row.id == baseline.row.id or not cell.medians or not baseline.medians:
        return "–"
    points = [median - baseline.medians[0] for median in cell.medians]
    return (
        captions.signed(points[0])
        if len(points) == 1
        else f"{captions.signed(points[0])} to {captions.signed(points[-1])}"
    )
