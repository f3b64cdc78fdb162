"""The verdicts as a table."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from resnet_ablations.report.tables.table import MARK, Table, TableColumn
from resnet_ablations.report.verdicts.judging import Verdict

NAME = "claims"
"""The stem of the files."""
FOUND = ("sweep", "scale", "outcome", "effect", "interval", "seeds", "statement")
"""Of a verdict, as its tidy columns."""
ROWS_A_PAGE = 12
"""Of the printed table, whose lines wrap several times."""


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """One line a verdict under a number a claim; the sweeps that stop too early for any are named below."""
    numbers = {claim: number for number, claim in enumerate(dict.fromkeys(v.claim.id for v in verdicts), start=1)}
    shown = [verdict for verdict in verdicts if verdict.scale != "early"]
    early = sorted({verdict.sweep for verdict in verdicts if verdict.scale == "early"})
    flagged: dict[str, list[str]] = {}
    for verdict in shown:
        for flag in verdict.flags:
            flagged.setdefault(flag, []).append(str(numbers[verdict.claim.id]))
    lines, before = [], ""
    for verdict in shown:
        again, before = verdict.claim.id == before, verdict.claim.id
        sentence = "" if again else f"{verdict.claim.sentence} ({verdict.claim.where})"
        lines.append(
            (
                "" if again else str(numbers[verdict.claim.id]),
                sentence,
                verdict.scale or "–",
                verdict.outcome + f" {MARK}" * bool(verdict.flags),
                verdict.effect,
                verdict.interval,
                verdict.seeds.removeprefix("n = "),
            )
        )
    notes = [f"{MARK} {flag}: {'claim' if len(of) == 1 else 'claims'} {', '.join(of)}." for flag, of in flagged.items()]
    if early:
        notes.append(f"Not judged, for the claims are about the end of training: {', '.join(early)}.")
    return Table(
        name=NAME,
        title="The papers’ claims",
        caption=(
            "What our runs say of each claim at each scale; a scaled-down run speaks of its own scale alone. A "
            "difference of medians counts where the exact permutation test gives p ≤ 0.05, for which four seeds "
            "against four are enough and three against three are not; “fails” is said of the runs there are. "
            "After an interval stands its coverage; n = seeds with a result/planned. The method, and what it cannot "
            "say: docs/statistics.md."
        ),
        columns=(
            TableColumn("no.", right=True),
            TableColumn("claim", width=31),
            TableColumn("scale"),
            TableColumn("verdict", width=14),
            TableColumn("effect", width=16),
            TableColumn("interval", width=13),
            TableColumn("n", right=True),
        ),
        rows=tuple(lines),
        notes=tuple(notes),
    )


def pages(table: Table) -> list[Table]:
    """The table in parts that each fit a printed page, the first with the caption and the last with the notes."""
    starts = range(0, max(len(table.rows), 1), ROWS_A_PAGE)
    return [
        replace(
            table,
            name=table.name if start == 0 else f"{table.name}-{number}",
            caption=table.caption if start == 0 else f"{table.title}, continued.",
            rows=table.rows[start : start + ROWS_A_PAGE],
            notes=table.notes if start == starts[-1] else (),
        )
        for number, start in enumerate(starts, start=1)
    ]


def tidy(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One line a verdict."""
    lines = []
    for verdict in verdicts:
        claim = verdict.claim
        said = {"claim": claim.id, "sentence": claim.sentence, "where": claim.where, "experiment": claim.experiment}
        found = {name: getattr(verdict, name) for name in FOUND}
        lines.append({**said, **found, "flags": "; ".join(verdict.flags)})
    return pd.DataFrame(lines)
