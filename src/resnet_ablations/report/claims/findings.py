"""What the runs of one sweep say about a relation, with the numbers in words."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

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
from resnet_ablations.report.claims.relations import (
    Numbers,
    Outcome,
    direction,
    fails,
    gap_grows,
    higher,
    near,
    order,
    runs,
    sizes,
    within,
)
from resnet_ablations.report.claims.statistics import LEVEL, Interval, median_interval, shift_interval
from resnet_ablations.report.tables.summary import listed, signed

DIVERGED = "diverged"


@dataclass(frozen=True)
class Finding:
    """An outcome with its numbers; `sentence` is without its beginning and its full stop."""

    outcome: Outcome
    effect: str
    interval: str
    sentence: str


@dataclass(frozen=True)
class Unit:
    """How numbers of one kind are compared and written; losses are compared by their ratio."""

    value: str = ""
    change: str = ""
    is_ratio: bool = False
    subject: str = ""
    """The quantity, where the cell's label does not name it."""

    def scaled(self, values: Iterable[float]) -> list[float]:
        """Return the numbers on the scale of comparison."""
        return [math.log(value) if self.is_ratio else value for value in values]

    def write(self, value: float) -> str:
        """Return a number on the scale of comparison in words."""
        if not math.isfinite(value):
            return DIVERGED
        return f"{math.exp(value):.3g}" if self.is_ratio else f"{value:.2f}{self.value}"

    def write_change(self, change: float) -> str:
        """Return a difference with its sign, without the unit."""
        if not math.isfinite(change):
            return DIVERGED
        return f"×{math.exp(change):.3g}" if self.is_ratio else signed(change)


ERROR, RESPONSE = Unit(" %", " points"), Unit()
LOSS = Unit(is_ratio=True, subject="training loss of ")
TRAIN_ERROR = replace(ERROR, subject="training error of ")


def finding(claim: Claim, evidence: Evidence) -> Finding:
    """Return what a sweep says about a claim; raise `NotJudged` where it says nothing."""
    relation = claim.relation
    unit = ERROR if evidence.is_error(relation.cells[0]) else RESPONSE
    match relation:
        case LowerThan():
            return _lower_than(relation, evidence, unit)
        case HigherInTraining():
            first, second = (evidence.sample(cell, relation.quantity) for cell in relation.cells)
            return _higher(first, second, LOSS if relation.quantity == "train_loss" else TRAIN_ERROR)
        case Within():
            first, second = (evidence.sample(cell) for cell in relation.cells)
            outcome, how = within(first.numbers, second.numbers, relation.points)
            return Finding(outcome, *_pair(first, second, unit, how))
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
    if against := [found for found in findings if found.outcome == "contradicted"]:
        return against[0]
    if undecided := [found for found in findings if found.outcome == "inconclusive"]:
        return undecided[0]
    if lacking := [sample.label for sample in samples if not sample.by_seed]:
        return Finding("inconclusive", "–", "–", f"no run of {lacking[0]} has a result")
    return findings[0]


def _higher(first: Sample, second: Sample, unit: Unit, contradicted_at: float = LEVEL) -> Finding:
    outcome, how = higher(first.numbers, second.numbers, contradicted_at)
    effect, interval, sentence = _pair(first, second, unit, how)
    return Finding(outcome, f"{effect}, {direction(first.numbers, second.numbers)}", interval, sentence)


def _pair(first: Sample, second: Sample, unit: Unit, how: str) -> tuple[str, str, str]:
    """Return effect, interval and sentence of two groups of runs."""
    if first.configuration == second.configuration:
        raise NotJudged(f"{first.label} and {second.label} are the same runs")
    medians = [unit.write(statistics.median(unit.scaled(sample.numbers))) for sample in (first, second)]
    a, b = (statistics.median(unit.scaled(sample.numbers)) for sample in (first, second))
    is_finite = math.isfinite(a) and math.isfinite(b)
    effect = unit.write_change(a - b) + unit.change if is_finite else " against ".join(medians)
    sentence = f"{unit.subject}{first.label}: {medians[0]}, {second.label}: {medians[1]}; {how}"
    return effect, _shift(unit.scaled(first.numbers), unit.scaled(second.numbers), unit), sentence


def _shift(first: Numbers, second: Numbers, unit: Unit) -> str:
    """Return the interval of the difference, with its coverage."""
    shift = shift_interval(first, second)
    if shift is None:
        return f"none: {sizes(first, second)}"
    return f"{unit.write_change(shift.low)} to {unit.write_change(shift.high)}{unit.change} ({_coverage(shift)})"


def _as_printed(relation: AsPrinted, evidence: Evidence) -> Finding:
    if not evidence.is_papers_setting:
        raise NotJudged("the claim is about a number of the paper’s own setting, which this is not")
    sample = evidence.sample(relation.cell)
    printed = float(evidence.sweep.cell(relation.cell)["printed"].iloc[0])
    outcome, how = near(sample.numbers, printed, relation.points)
    is_finite = math.isfinite(sample.median)
    effect = signed(sample.median - printed) + ERROR.change if is_finite else DIVERGED
    return Finding(outcome, effect, _of_median(sample.numbers), f"{sample.label}: {span([sample.median])}; {how}")


def _fails(relation: Fails, evidence: Evidence) -> Finding:
    samples = [sample for cell in relation.of for sample in evidence.samples(cell)]
    ran = [sample for sample in samples if sample.by_seed]
    if not ran:
        raise NotJudged(f"no run of {listed(list(dict.fromkeys(one.cell for one in samples)))} has a result")
    outcome, failing, training = fails([sample.numbers for sample in samples], relation.never)
    medians = span(sample.median for sample in ran)
    if len(samples) == 1:
        (only,) = ran
        how = "fails" if failing else "does not fail" if training else "fails in some runs and not in others"
        alone = ", which says nothing about other seeds" * (len(only.numbers) == 1)
        sentence = f"{only.label} {how}: {runs(len(only.numbers))} at {span(only.numbers)}{alone}"
        return Finding(outcome, medians, _of_median(only.numbers), sentence)
    alone = ", one run each" * all(len(sample.numbers) == 1 for sample in ran)
    sentence = f"{len(failing)} of {len(samples)} configurations fail and {len(training)} do not ({medians}{alone})"
    against = failing if relation.never else training
    if against and len(relation.of) > 1:
        cells = list(dict.fromkeys(samples[place].cell for place in sorted(against)))
        sentence += f"; against the claim: {listed(cells, len(cells))}"
    if len(ran) < len(samples):
        sentence += f"; {len(samples) - len(ran)} without a result"
    return Finding(outcome, f"{len(failing)} of {len(samples)} fail ({medians})", "–", sentence)


def _gap_grows(relation: GapGrows, evidence: Evidence, unit: Unit) -> Finding:
    depths = [evidence.depth(cell) for cell, _ in relation.pairs]
    layers = f"{listed(list(map(str, depths)), len(depths))} layers"
    if sorted(set(depths)) != depths:
        raise NotJudged(f"the networks at this scale have {layers}, so their depth does not grow")
    gaps = [_gaps(evidence.sample(first), evidence.sample(second)) for first, second in relation.pairs]
    outcome, how = gap_grows(gaps)
    texts = [unit.write_change(statistics.median(values)) for values in gaps]
    shown = f"{listed(texts, len(texts))}{unit.change}"
    effect = f"{shown}, {direction(gaps[-1], gaps[0])}"
    return Finding(outcome, effect, _shift(gaps[-1], gaps[0], unit), f"with {layers} the gap is {shown}; {how}")


def _gaps(first: Sample, second: Sample) -> list[float]:
    """Return the differences by seed: infinite where one diverged, none where both did."""
    a, b = first.by_seed, second.by_seed
    gaps = [a[seed] - b[seed] for seed in a if seed in b]
    if found := [gap for gap in gaps if not math.isnan(gap)]:
        return found
    raise NotJudged(f"no seed has results of both {first.label} and {second.label}")


def span(errors: Iterable[float]) -> str:
    """Return the smallest error (%) and the largest."""
    ends = sorted(errors)
    low, high = (f"{end:.2f}" if math.isfinite(end) else DIVERGED for end in (ends[0], ends[-1]))
    unit = " %" if math.isfinite(ends[0]) else ""
    if low == high:
        return low + unit
    return f"{low}–{high}{unit}" if math.isfinite(ends[-1]) else f"{low} % to {high}"


def _of_median(values: Sequence[float]) -> str:
    """Return the interval of the median of errors, with its coverage."""
    interval = median_interval(values)
    return (
        f"none: {runs(len(values))}"
        if interval is None
        else f"{span([interval.low, interval.high])} ({_coverage(interval)})"
    )


def _coverage(interval: Interval) -> str:
    return f"{100 * interval.coverage:.4g} %"
