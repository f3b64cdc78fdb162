"""What the results say about each claim of the papers: reproduced, contradicted, inconclusive or not run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resnet_ablations.report.cells.cell import Cell
from resnet_ablations.report.cells.plans import distinct, is_served
from resnet_ablations.report.verdicts.claims import Claim
from resnet_ablations.report.verdicts.evidence import Evidence, NotJudged
from resnet_ablations.report.verdicts.findings import Finding, Outcome, listed, runs


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
    cells: tuple[Cell, ...]
    """Those that the claim speaks of."""


def judge(sweeps: Sequence[Evidence], claims: Sequence[Claim]) -> list[Verdict]:
    """A verdict on each claim from each sweep of its experiment, in the order of the claims."""
    verdicts = []
    for claim in claims:
        of_claim = [_verdict(claim, sweep) for sweep in sweeps if sweep.plan.experiment == claim.experiment]
        verdicts += of_claim or [_no_sweep(claim)]
    return verdicts


def _no_sweep(claim: Claim) -> Verdict:
    statement = f"Not judged: {claim.experiment} has no sweep yet; make sweep-{claim.experiment} makes one."
    return Verdict(claim, "", "", "not run", "–", "–", "–", statement, (), ())


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
        tuple(map(evidence.cell, dict.fromkeys(claim.relation.cells))),
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
