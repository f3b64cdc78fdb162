"""What the results say about each claim of the papers: reproduced, contradicted, inconclusive or not run."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import pandas as pd

from resnet_ablations.report.evidence import Evidence, NotJudged
from resnet_ablations.report.findings import Finding, Outcome, listed, runs
from resnet_ablations.report.notes import MARK
from resnet_ablations.report.paper_claims import Claim
from resnet_ablations.report.plans import distinct, is_served
from resnet_ablations.report.table import Column, Table

NAME = "claims"
"""The stem of the files."""
ROWS_A_PAGE = 12
"""Of the printed table, whose lines wrap several times."""


@dataclass(frozen=True)
class Verdict:
    """What one sweep says of one claim; `sweep` and `scale` are empty where the claim's experiment has no sweep."""

    claim: Claim
    sweep: str
    scale: str
    outcome: Outcome
    effect: str
    """With numbers and units."""
    interval: str
    """With its coverage."""
    seeds: str
    """`n = 3/5`: seeds with a result, diverged ones too, and planned ones, of the configuration that has the fewest."""
    statement: str
    """One sentence."""
    flags: tuple[str, ...]
    """What a reader has to know of the runs: mixed, dirty, missing or diverged ones."""


def judge(sweeps: Sequence[Evidence], claims: Sequence[Claim]) -> list[Verdict]:
    """A verdict on each claim from each sweep of its experiment, in the order of the claims."""
    verdicts = []
    for claim in claims:
        of_claim = [_verdict(claim, sweep) for sweep in sweeps if sweep.plan.experiment == claim.experiment]
        verdicts += of_claim or [_no_sweep(claim)]
    return verdicts


def _no_sweep(claim: Claim) -> Verdict:
    statement = f"Not judged: {claim.experiment} has no sweep yet; make sweep-{claim.experiment} makes one."
    return Verdict(claim, "", "", "not run", "–", "–", "–", statement, ())


def _verdict(claim: Claim, evidence: Evidence) -> Verdict:
    plan = evidence.plan
    try:
        if plan.scale == "early":
            raise NotJudged("the claim is about the end of training, and these runs stop long before")
        finding = claim.relation.judge(evidence)
    except NotJudged as reason:
        finding = Finding("not run", "–", "–", f"not judged, for {reason}")
    beginning = "" if plan.scale == "paper" else "At this scale: "
    if plan.scale == "paper" and evidence.overridden:
        beginning = f"With {listed(evidence.overridden)}: "
    sentence = finding.sentence if beginning else finding.sentence[0].upper() + finding.sentence[1:]
    return Verdict(
        claim,
        plan.name,
        plan.scale,
        finding.outcome,
        finding.effect,
        finding.interval,
        _seeds(claim, evidence),
        f"{beginning}{sentence}.",
        tuple(_flags(claim, evidence)),
    )


def _seeds(claim: Claim, evidence: Evidence) -> str:
    tallies = [tally for cell in claim.relation.cells for tally in evidence.cell(cell).tallies]
    if not tallies:
        return "–"
    return f"n = {min(tally.n + len(tally.diverged) for tally in tallies)}/{len(evidence.plan.seeds)}"


def _flags(claim: Claim, evidence: Evidence) -> Iterable[str]:
    """Of the runs of the claim's cells alone."""
    tallies = {t.configuration: t for cell in claim.relation.cells for t in evidence.cell(cell).tallies}
    used = evidence.runs[evidence.runs["configuration"].isin(list(tallies))]
    plan = evidence.plan.model_copy(
        update={"configurations": {name: evidence.plan.configurations[name] for name in tallies}}
    )
    planned = len(tallies) * len(plan.seeds)
    if missing := sum(len(tally.missing) for tally in tallies.values()):
        yield f"missing seeds: {missing} of {runs(planned)}"
    if diverged := sum(len(tally.diverged) for tally in tallies.values()):
        yield f"diverged: {diverged} of {runs(planned)}"
    if served := int(is_served(used).sum()) if len(used) else 0:
        yield f"mixed scales: {served} of {runs(len(used))} read from longer ones, of the paper scale"
    for what, keys in (
        ("data", ("data", "_target_")),
        ("iterations", ("schedule", "iterations")),
        ("precision", ("precision",)),
    ):
        if len(values := distinct(plan, *keys)) > 1:
            yield f"mixed settings: {what} {listed(str(value).rpartition('.')[2] for value in values)}"
    if evidence.overridden:
        yield f"not the experiment’s own setting: {' '.join(evidence.overridden)}"
    commits = sorted({str(commit)[:10] if isinstance(commit, str) else "unknown" for commit in used["commit"]})
    if len(commits) > 1:
        yield f"mixed code versions: commits {listed(commits)}"
    if dirty := sum(value is True for value in used["dirty"]):
        yield f"uncommitted changes: {dirty} of {runs(len(used))}"


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
            Column("no.", right=True),
            Column("claim", width=31),
            Column("scale"),
            Column("verdict", width=14),
            Column("effect", width=16),
            Column("interval", width=13),
            Column("n", right=True),
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
        found = {name: value for name, value in asdict(verdict).items() if name not in ("claim", "flags")}
        lines.append({**said, **found, "flags": "; ".join(verdict.flags)})
    return pd.DataFrame(lines)
