"""The verdict on each claim from each sweep: reproduced, contradicted, inconclusive or not run."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from scipy.stats import false_discovery_control

from resnet_ablations.report.claims.claim_file import Claim
from resnet_ablations.report.claims.evidence import SIGNALS, Evidence, NotJudged
from resnet_ablations.report.claims.relations import Finding
from resnet_ablations.report.claims.wording import runs
from resnet_ablations.report.frame import CellId, ReportData, Sweep
from resnet_ablations.report.labels import listed
from resnet_ablations.report.tables.captions import distinct
from resnet_ablations.report.tables.notes import provenance_warnings
from resnet_ablations.results.keys import NUMBERS

SETTINGS = {"data": "data", "iterations": "schedule.iterations", "precision": "precision"}
"""The settings that all configurations of a verdict should share, by the name in the flag."""


@dataclass(frozen=True)
class Verdict:
    """A sweep's finding on a claim; `sweep` and `scale` are empty if the claim's experiment has no sweep."""

    claim: Claim
    finding: Finding
    sweep: str = ""
    scale: str = ""
    seeds: str = "–"
    """`n = 3/5`: the seeds with a result and the planned seeds of the configuration with the fewest results."""
    flags: tuple[str, ...] = ()
    """Warnings: missing or diverged runs, mixed settings, uncommitted changes."""
    cells: tuple[CellId, ...] = ()
    """The cells of the claim."""
    q: float = math.nan
    """The p-value, adjusted for the number of claims that are judged in `_family` (Benjamini and Hochberg)."""

    @property
    def p_and_q(self) -> str:
        """The p-value and `q` as text, a dash if there is no test."""
        return "–" if math.isnan(self.q) else f"p = {self.finding.p:.2g}, q = {self.q:.2g}"


def judge(sweeps: Sequence[Sweep], data: ReportData, claims: Sequence[Claim]) -> list[Verdict]:
    """Return a verdict on each claim from each sweep of its experiment, in the order of the claims."""
    verdicts = []
    for claim in claims:
        name = claim.experiment
        own = [sweep for sweep in sweeps if sweep.plan.experiment == name]
        without = f"Not judged because {name} has no sweep yet; start one with: resnet-ablations sweep {name}"
        judged = [_verdict(claim, Evidence(one, data)) for one in own]
        verdicts += judged or [Verdict(claim, Finding("not run", without))]
    p = pd.Series([verdict.finding.p for verdict in verdicts], dtype="float64").dropna()
    q = p.groupby([_family(verdicts[place]) for place in p.index]).transform(false_discovery_control)
    return [replace(verdict, q=q.get(place, math.nan)) for place, verdict in enumerate(verdicts)]


def _family(verdict: Verdict) -> str:
    """Return the name of the verdicts that are corrected together: the scale, or the sweep if it has overrides.

    So no claim counts twice, because an experiment has one sweep without overrides at a scale.
    """
    is_plain = verdict.sweep == f"{verdict.claim.experiment}-{verdict.scale}"
    return verdict.scale if is_plain else verdict.sweep


def _verdict(claim: Claim, evidence: Evidence) -> Verdict:
    plan = evidence.sweep.plan
    cells = pd.concat([evidence.sweep.cell(name) for name in claim.relation.cells])
    planned = cells[cells["configuration"] != ""].drop_duplicates(["configuration", "seed"])
    has_result = planned["value"].notna() | (planned["outcome"] == "diverged")
    flags = list(_flags(planned, evidence))
    if getattr(claim.relation, "quantity", "") in SIGNALS:
        recorded = planned["key"].isin(evidence.data.signals.keys())
        if lacking := int((has_result & ~recorded).sum()):
            flags.append(f"without recorded signals: {lacking} of {runs(len(planned))}")
        has_result &= recorded
    counts = has_result.groupby(planned["configuration"]).sum()
    return Verdict(
        claim,
        _finding(claim, evidence),
        plan.name,
        plan.scale,
        f"n = {counts.min()}/{len(plan.seeds)}" if len(counts) else "–",
        tuple(flags),
        tuple(dict.fromkeys(zip(cells["row"], cells["column"], strict=True))),
    )


def _finding(claim: Claim, evidence: Evidence) -> Finding:
    """Return the finding with its whole sentence, which names the scale or the overrides."""
    scale, settings = evidence.sweep.plan.scale, evidence.overridden
    try:
        if scale == "early":
            raise NotJudged("the claim is about the end of training, and these runs stop long before")
        found = claim.relation.find(evidence)
    except NotJudged as reason:
        found = Finding("not run", f"not judged because {reason}")
    where = "At this scale: " if scale != "paper" else f"With {listed(settings, len(settings))}: " if settings else ""
    statement = found.statement if where else found.statement[0].upper() + found.statement[1:]
    return replace(found, statement=f"{where}{statement}.")


def _flags(planned: pd.DataFrame, evidence: Evidence) -> Iterator[str]:
    """Yield warnings about the planned runs of a claim's cells."""
    used = planned[planned["key"] != ""]
    diverged = planned["outcome"] == "diverged"
    if missing := int((planned["value"].isna() & ~diverged).sum()):
        yield f"missing seeds: {missing} of {runs(len(planned))}"
    if diverged.any():
        yield f"diverged: {diverged.sum()} of {runs(len(planned))}"
    settings = evidence.sweep.settings.loc[planned["configuration"].unique()]
    for what, name in SETTINGS.items():
        if len(values := [str(value) for value in distinct(settings, name)]) > 1:
            yield f"mixed settings: {what} {listed(values, len(values))}"
    if evidence.overridden:
        yield f"not the experiment’s own setting: {' '.join(evidence.overridden)}"
    if (version := evidence.sweep.plan.numbers) != NUMBERS:
        yield f"planned with version {version} of the built-in rules"
    yield from provenance_warnings(used)
