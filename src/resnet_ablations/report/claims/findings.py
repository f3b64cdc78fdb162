"""Findings: the result of a relation for the runs of one sweep, with the numbers in words."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resnet_ablations.report.claims import relations
from resnet_ablations.report.claims.claim_file import (
    AsPrinted,
    Claim,
    Fails,
    GapGrows,
    HigherInTraining,
    LowerThan,
    Within,
)
from resnet_ablations.report.claims.evidence import Evidence, NotJudged, Sample
from resnet_ablations.report.claims.relations import Numbers, Outcome, direction, order, runs, sizes
from resnet_ablations.report.claims.statistics import LEVEL, median_interval, shift_interval
from resnet_ablations.report.tables.summary import listed, signed

DIVERGED = "diverged"
RANK = ("contradicted", "inconclusive", "reproduced")
"""The outcomes of several comparisons, the one that decides first."""


@dataclass(frozen=True)
class Finding:
    """An outcome with its numbers; `sentence` is without its beginning and its full stop."""

    outcome: Outcome
    sentence: str
    effect: str = "–"
    interval: str = "–"


@dataclass(frozen=True)
class Unit:
    """How numbers of one kind are written; logarithms are written as what they are the logarithm of."""

    value: str = ""
    change: str = ""
    is_log: bool = False
    subject: str = ""
    """The quantity, where the cell's label does not name it."""

    def write(self, value: float) -> str:
        """Return a number in words."""
        if not math.isfinite(value):
            return DIVERGED
        return f"{math.exp(value):.3g}" if self.is_log else f"{value:.2f}{self.value}"

    def write_change(self, change: float) -> str:
        """Return a difference with its sign, or a ratio, without the unit."""
        if not math.isfinite(change):
            return DIVERGED
        return f"×{math.exp(change):.3g}" if self.is_log else signed(change)


ERROR, RESPONSE = Unit(" %", " points"), Unit()
IN_TRAINING = {
    "train_loss": Unit(is_log=True, subject="training loss of "),
    "train_error": Unit(" %", " points", subject="training error of "),
}


def finding(claim: Claim, evidence: Evidence) -> Finding:
    """Return what a sweep says about a claim; raise `NotJudged` where it says nothing."""
    relation = claim.relation
    unit = ERROR if evidence.is_error(relation.cells[0]) else RESPONSE
    match relation:
        case LowerThan():
            return _lower_than(relation, evidence, unit)
        case HigherInTraining(quantity=quantity):
            first, second = (evidence.sample(cell, quantity) for cell in relation.cells)
            return _higher(first, second, IN_TRAINING[quantity])
        case Within():
            first, second = (evidence.sample(cell) for cell in relation.cells)
            return _pair(first, second, unit, *relations.within(first.numbers, second.numbers, relation.points))
        case AsPrinted():
            return _as_printed(relation, evidence)
        case Fails():
            return _fails(relation, evidence)
        case GapGrows():
            return _gap_grows(relation, evidence, unit)


def _lower_than(relation: LowerThan, evidence: Evidence, unit: Unit) -> Finding:
    """Return the finding of the comparison that decides: all have to hold, and any can contradict."""
    lower = evidence.sample(relation.lower)
    samples = [sample for cell in relation.higher for sample in evidence.samples(cell)]
    ran = [sample for sample in samples if sample.by_seed]
    if not ran:
        raise NotJudged(f"no run of {listed(list(dict.fromkeys(one.label for one in samples)))} has a result")
    ran.sort(key=lambda one: (order(one.numbers, lower.numbers), one.median))
    # Bonferroni: any of the comparisons can contradict the claim, so each is tested at a share of the level.
    findings = [_higher(sample, lower, unit, LEVEL / len(samples)) for sample in ran]
    decides = min(findings, key=lambda found: RANK.index(found.outcome))
    if decides.outcome == "reproduced" and len(ran) < len(samples):
        lacking = next(sample.label for sample in samples if not sample.by_seed)
        return Finding("inconclusive", f"no run of {lacking} has a result")
    return decides


def _higher(first: Sample, second: Sample, unit: Unit, contradicted_at: float = LEVEL) -> Finding:
    judged = relations.higher(first.numbers, second.numbers, contradicted_at)
    return _pair(first, second, unit, *judged, f", {direction(first.numbers, second.numbers)}")


def _pair(first: Sample, second: Sample, unit: Unit, outcome: Outcome, how: str, direction: str = "") -> Finding:
    if first.configuration == second.configuration:
        raise NotJudged(f"{first.label} and {second.label} are the same runs")
    a, b = unit.write(first.median), unit.write(second.median)
    change = unit.write_change(first.median - second.median) + unit.change
    effect = f"{a} against {b}" if DIVERGED in (a, b) else change
    sentence = f"{unit.subject}{first.label}: {a}, {second.label}: {b}; {how}"
    return Finding(outcome, sentence, effect + direction, _shift(first.numbers, second.numbers, unit))


def _shift(first: Numbers, second: Numbers, unit: Unit) -> str:
    """Return the interval of the difference, with its coverage."""
    shift = shift_interval(first, second)
    if shift is None:
        return f"none: {sizes(first, second)}"
    low, high = unit.write_change(shift.low), unit.write_change(shift.high)
    return f"{low} to {high}{unit.change} ({100 * shift.coverage:.4g} %)"


def _as_printed(relation: AsPrinted, evidence: Evidence) -> Finding:
    if evidence.sweep.plan.scale != "paper" or evidence.overridden:
        raise NotJudged("the claim is about a number of the paper’s own setting, which this is not")
    sample = evidence.sample(relation.cell)
    printed = float(evidence.sweep.cell(relation.cell)["printed"].iloc[0])
    outcome, how = relations.near(sample.numbers, printed, relation.points)
    effect = signed(sample.median - printed) + ERROR.change if math.isfinite(sample.median) else DIVERGED
    sentence = f"{sample.label}: {ERROR.write(sample.median)}; {how}"
    return Finding(outcome, sentence, effect, _of_median(sample.numbers))


def _fails(relation: Fails, evidence: Evidence) -> Finding:
    samples = [sample for cell in relation.of for sample in evidence.samples(cell)]
    ran = [sample for sample in samples if sample.by_seed]
    if not ran:
        raise NotJudged(f"no run of {listed(list(dict.fromkeys(one.cell for one in samples)))} has a result")
    failing = [relations.fails(sample.numbers) for sample in samples]
    outcome = relations.all_fail(failing, relation.never)
    medians = span(sample.median for sample in ran)
    if len(samples) == 1:
        (only,) = ran
        how = {True: "fails", False: "does not fail", None: "fails in some runs and not in others"}[failing[0]]
        alone = ", which says nothing about other seeds" * (len(only.numbers) == 1)
        sentence = f"{only.label} {how}: {runs(len(only.numbers))} at {span(only.numbers)}{alone}"
        return Finding(outcome, sentence, medians, _of_median(only.numbers))
    alone = ", one run each" * all(len(sample.numbers) == 1 for sample in ran)
    count = f"{failing.count(True)} of {len(samples)}"
    sentence = f"{count} configurations fail and {failing.count(False)} do not ({medians}{alone})"
    against = [sample.cell for sample, fails in zip(samples, failing, strict=True) if fails is relation.never]
    if against and len(relation.of) > 1:
        sentence += f"; against the claim: {listed(list(dict.fromkeys(against)), len(against))}"
    if len(ran) < len(samples):
        sentence += f"; {len(samples) - len(ran)} without a result"
    return Finding(outcome, sentence, f"{count} fail ({medians})")


def _gap_grows(relation: GapGrows, evidence: Evidence, unit: Unit) -> Finding:
    depths = [evidence.depth(cell) for cell, _ in relation.pairs]
    layers = f"{listed(list(map(str, depths)), len(depths))} layers"
    if sorted(set(depths)) != depths:
        raise NotJudged(f"the networks at this scale have {layers}, so their depth does not grow")
    gaps = [_gaps(evidence.sample(first), evidence.sample(second)) for first, second in relation.pairs]
    outcome, how = relations.gap_grows(gaps)
    texts = [unit.write_change(statistics.median(values)) for values in gaps]
    shown = f"{listed(texts, len(texts))}{unit.change}"
    effect = f"{shown}, {direction(gaps[-1], gaps[0])}"
    sentence = f"with {layers} the gap is {shown}; {how}"
    return Finding(outcome, sentence, effect, _shift(gaps[-1], gaps[0], unit))


def _gaps(first: Sample, second: Sample) -> list[float]:
    """Return the differences by seed: infinite where one diverged, none where both did."""
    a, b = first.by_seed, second.by_seed
    gaps = [a[seed] - b[seed] for seed in a if seed in b]
    if found := [gap for gap in gaps if not math.isnan(gap)]:
        return found
    raise NotJudged(f"no seed has results of both {first.label} and {second.label}")


def span(errors: Iterable[float]) -> str:
    """Return the smallest error and the largest."""
    ends = sorted(errors)
    low, high = ERROR.write(ends[0]), ERROR.write(ends[-1])
    if low == high:
        return low
    return f"{low} to {high}" if high == DIVERGED else f"{low.removesuffix(ERROR.value)}–{high}"


def _of_median(values: Sequence[float]) -> str:
    """Return the interval of the median of errors, with its coverage."""
    interval = median_interval(values)
    if interval is None:
        return f"none: {runs(len(values))}"
    return f"{span([interval.low, interval.high])} ({100 * interval.coverage:.4g} %)"
