"""The verdicts as a table."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pandas as pd

from resnet_ablations.experiments import SCALES
from resnet_ablations.report.claims.claim_file import deciding_scales
from resnet_ablations.report.claims.power import load_power
from resnet_ablations.report.claims.rules import VerdictOutcome
from resnet_ablations.report.claims.verdicts import Verdict
from resnet_ablations.report.tables.table import MARK, Table, TableColumn

NAME = "claims"
"""The stem of the files."""
ROWS_A_PAGE = 12
"""The most table rows on a printed page; each row wraps to several lines."""


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Return the table of verdicts; all verdicts on a claim share its number.

    The notes explain the flags and name the sweeps of scale `early`, whose verdicts the table omits.
    """
    shown = [verdict for verdict in verdicts if verdict.scale != "early"]
    early = sorted({verdict.sweep for verdict in verdicts if verdict.scale == "early"})
    numbers = {claim: number for number, claim in enumerate(dict.fromkeys(v.claim.id for v in verdicts), start=1)}
    flagged: dict[str, list[str]] = {}
    lines, before = [], ""
    for verdict in shown:
        claim, found, number = verdict.claim, verdict.finding, str(numbers[verdict.claim.id])
        for flag in verdict.flags:
            flagged.setdefault(flag, []).append(number)
        names = (number, f"{claim.sentence} ({claim.where})") if claim.id != before else ("", "")
        outcome = found.outcome + f" {MARK}" * bool(verdict.flags)
        seeds = verdict.seeds.removeprefix("n = ")
        lines.append((*names, verdict.scale or "–", outcome, found.effect, found.interval, seeds))
        before = claim.id
    notes = [
        _counts(shown),
        *(f"{MARK} {flag}: {'claim' if len(of) == 1 else 'claims'} {', '.join(of)}." for flag, of in flagged.items()),
    ]
    claims = {verdict.claim.id: verdict.claim for verdict in shown}
    if undecided := [str(numbers[name]) for name, claim in claims.items() if not deciding_scales(claim)]:
        notes.append(
            f"No declared scale has the seeds that decide claims {', '.join(undecided)}; plan them with SEEDS."
        )
    if early:
        notes.append(f"Not judged because the claims are about the end of training: {', '.join(early)}.")
    return Table(
        name=NAME,
        title="The papers’ claims",
        caption=(
            "The verdict of our runs on each claim at each scale; a scaled-down run is evidence for its own scale "
            "only. A difference counts where the exact permutation test gives p ≤ 0.05. Four seeds against four can "
            "reach that, three against three cannot, and one run decides nothing. Claims about the paper’s errors are "
            "judged in the paper’s setting; a tolerance of 0.8 points cannot tell 6.61 from 6.91. "
            "The percentage after an interval is its coverage; n = seeds with a "
            "result/planned. The method and its limits: docs/statistics.md."
        ),
        columns=(
            TableColumn("no.", right=True),
            *map(TableColumn, ("claim", "scale", "verdict", "effect", "interval")),
            TableColumn("n", right=True),
        ),
        rows=tuple(lines),
        notes=tuple(notes),
    )


def _counts(verdicts: Sequence[Verdict]) -> str:
    """Return the number of claims, and of verdicts by scale and outcome."""
    claims = len({verdict.claim.id for verdict in verdicts})
    by_scale: dict[str, list[str]] = {scale: [] for scale in (*SCALES, "")}
    for verdict in verdicts:
        by_scale[verdict.scale].append(verdict.finding.outcome)
    texts = [
        f"{scale or 'no sweep'}: "
        + ", ".join(f"{of.count(outcome)} {outcome}" for outcome in get_args(VerdictOutcome) if outcome in of)
        for scale, of in by_scale.items()
        if of
    ]
    return f"{claims} claim{'s' * (claims != 1)}. Verdicts by scale: {'; '.join(texts)}."


def pages(table: Table) -> list[Table]:
    """Return the table in parts that fit a printed page: the first has the caption, the last has the notes."""
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


def verdict_frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return one row for each verdict; `power` and `seeds_needed` apply to the claim in the paper's setting."""
    frame = pd.DataFrame(
        {
            **{"claim": one.claim.id, "sentence": one.claim.sentence, "where": one.claim.where},
            **{"experiment": one.claim.experiment, "sweep": one.sweep, "scale": one.scale},
            **{name: getattr(one.finding, name) for name in ("outcome", "effect", "interval", "p")},
            **{"q": one.q, "seeds": one.seeds, "decided_at": ", ".join(deciding_scales(one.claim)) or "no scale"},
            **{"statement": one.finding.statement, "flags": "; ".join(one.flags)},
        }
        for one in verdicts
    )
    return frame.join(load_power(), on="claim")
