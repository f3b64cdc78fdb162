"""The kinds of relation: the fields that each has in `experiments/claims.yaml`, and what runs say about it."""

import math
import statistics
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from resnet_ablations.report.claims import rules
from resnet_ablations.report.claims.evidence import Evidence, NotJudged, Quantity, Sample
from resnet_ablations.report.claims.statistics import LEVEL, median_interval, shift_interval
from resnet_ablations.report.claims.wording import DIVERGED, Unit, covered, runs
from resnet_ablations.report.tables.summary import listed

Points = Annotated[float, Field(gt=0)]
Cells = Annotated[list[str], Field(min_length=1)]
"""Cells that may have several configurations; a cell that is not in such a list must have one."""
CELL_FIELDS = ("cell", "of", "lower", "higher", "pairs")
RANK = ("contradicted", "inconclusive", "reproduced")
"""The outcomes of several comparisons, the one that decides first."""


@dataclass(frozen=True)
class Finding:
    """An outcome with its numbers."""

    outcome: rules.Outcome
    statement: str
    """One sentence; its beginning and its full stop are added by the verdict."""
    effect: str = "–"
    """The difference, with its unit."""
    interval: str = "–"
    """The interval, with its coverage."""


class Relation(BaseModel, ABC):
    """A relation between cells, each named `ROW/COLUMN`, or `ROW` where there is one column."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    is_about_errors: ClassVar[bool] = False

    @property
    def cells(self) -> list[str]:
        """All cells of the relation."""
        return _flat([value for name, value in self if name in CELL_FIELDS])

    @property
    def sole(self) -> list[str]:
        """The cells that must have one configuration."""
        return _flat([value for name, value in self if name in CELL_FIELDS and not isinstance(value, list)])

    @abstractmethod
    def find(self, evidence: Evidence) -> Finding:
        """Return what a sweep says about the relation; raise `NotJudged` where it says nothing."""


class LowerThan(Relation):
    """A quantity of `lower` is lower than that of each configuration of each of `higher`: all have to hold."""

    kind: Literal["lower_than"]
    lower: str
    higher: Cells
    quantity: Quantity = "value"

    def find(self, evidence: Evidence) -> Finding:
        lower = evidence.sample(self.lower, self.quantity)
        samples = evidence.samples(*self.higher, quantity=self.quantity)
        ran = [sample for sample in samples if sample.by_seed]
        ran.sort(key=lambda one: (rules.order(one.numbers, lower.numbers), one.median))
        # Bonferroni: any of the comparisons can contradict the claim, so each is tested at a share of the level.
        level = LEVEL / len(samples)
        findings = [_difference(one, lower, rules.higher(one.numbers, lower.numbers, level)) for one in ran]
        decides = min(findings, key=lambda found: RANK.index(found.outcome))
        if decides.outcome == "reproduced" and len(ran) < len(samples):
            lacking = next(sample.label for sample in samples if not sample.by_seed)
            return Finding("inconclusive", f"no run of {lacking} has a result")
        return decides


class Within(Relation):
    """The number of `cell` is within `points` of that of `of`."""

    kind: Literal["within"]
    cell: str
    of: str
    points: Points

    def find(self, evidence: Evidence) -> Finding:
        first, second = evidence.sample(self.cell), evidence.sample(self.of)
        return _difference(first, second, rules.within(first.numbers, second.numbers, self.points), is_directed=False)


class AsPrinted(Relation):
    """The number of `cell` is within `points` of the printed one; only the paper's own setting can tell."""

    kind: Literal["as_printed"]
    cell: str
    points: Points
    is_about_errors: ClassVar[bool] = True

    def find(self, evidence: Evidence) -> Finding:
        if evidence.sweep.plan.scale != "paper" or evidence.overridden:
            raise NotJudged("the claim is about a number of the paper’s own setting, which this is not")
        sample = evidence.sample(self.cell)
        unit, printed = sample.unit, float(evidence.sweep.cell(self.cell)["printed"].iloc[0])
        outcome, how = rules.near(sample.numbers, printed, self.points)
        effect = unit.change_of(sample.median - printed)
        effect += unit.change * (effect != DIVERGED)
        return Finding(outcome, f"{sample.label}: {unit.write(sample.median)}; {how}", effect, _of_median(sample))


class Fails(Relation):
    """Every configuration of the cells fails (test error above 20 %) or diverges; with `never`, none does."""

    kind: Literal["fails"]
    of: Cells
    never: bool = False
    is_about_errors: ClassVar[bool] = True

    def find(self, evidence: Evidence) -> Finding:
        samples = evidence.samples(*self.of)
        ran = [sample for sample in samples if sample.by_seed]
        failing = [rules.fails(sample.numbers) for sample in samples]
        outcome = rules.all_fail(failing, self.never)
        medians = ran[0].unit.span([sample.median for sample in ran])
        if len(samples) == 1:
            (only,) = ran
            how = {True: "fails", False: "does not fail", None: "fails in some runs and not in others"}[failing[0]]
            alone = ", which says nothing about other seeds" * (len(only.numbers) == 1)
            statement = f"{only.label} {how}: {runs(len(only.numbers))} at {only.unit.span(only.numbers)}{alone}"
            return Finding(outcome, statement, medians, _of_median(only))
        alone = ", one run each" * all(len(sample.numbers) == 1 for sample in ran)
        count = f"{failing.count(True)} of {len(samples)}"
        statement = f"{count} configurations fail and {failing.count(False)} do not ({medians}{alone})"
        against = [sample.label for sample, fails in zip(samples, failing, strict=True) if fails is self.never]
        if against and len(self.of) > 1:
            statement += f"; against the claim: {listed(list(dict.fromkeys(against)), len(against))}"
        if len(ran) < len(samples):
            statement += f"; {len(samples) - len(ran)} without a result"
        return Finding(outcome, statement, f"{count} fail ({medians})")


class GapGrows(Relation):
    """The first cell of a pair minus the second grows from each pair to the next, deeper one."""

    kind: Literal["gap_grows"]
    pairs: Annotated[tuple[tuple[str, str], ...], Field(min_length=2)]

    def find(self, evidence: Evidence) -> Finding:
        samples = [(evidence.sample(first), evidence.sample(second)) for first, second in self.pairs]
        planned = evidence.sweep.plan.configurations
        depths = [planned[first.configuration].config["network"]["depth"] for first, _ in samples]
        layers = f"{listed(list(map(str, depths)), len(depths))} layers"
        if sorted(set(depths)) != depths:
            raise NotJudged(f"the networks at this scale have {layers}, so their depth does not grow")
        gaps, unit = [_gaps(first, second) for first, second in samples], samples[0][0].unit
        outcome, how = rules.grows(gaps)
        texts = [unit.change_of(statistics.median(values)) for values in gaps]
        shown = f"{listed(texts, len(texts))}{unit.change}"
        effect = f"{shown}, {rules.direction(gaps[-1], gaps[0])}"
        return Finding(outcome, f"with {layers} the gap is {shown}; {how}", effect, _shift(gaps[-1], gaps[0], unit))


def _flat(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [cell for one in value for cell in _flat(one)]


def _difference(first: Sample, second: Sample, judged: rules.Judged, is_directed: bool = True) -> Finding:
    """Return a finding on the first minus the second; raise `NotJudged` where they are the same runs."""
    if first.configuration == second.configuration:
        raise NotJudged(f"{first.label} and {second.label} are the same runs")
    unit, (outcome, how) = first.unit, judged
    a, b = unit.write(first.median), unit.write(second.median)
    effect = f"{a} against {b}" if DIVERGED in (a, b) else unit.change_of(first.median - second.median) + unit.change
    effect += f", {rules.direction(first.numbers, second.numbers)}" * is_directed
    statement = f"{unit.subject}{first.label}: {a}, {second.label}: {b}; {how}"
    return Finding(outcome, statement, effect, _shift(first.numbers, second.numbers, unit))


def _gaps(first: Sample, second: Sample) -> list[float]:
    """Return the differences by seed: infinite where one diverged, none where both did."""
    a, b = first.by_seed, second.by_seed
    gaps = [a[seed] - b[seed] for seed in a if seed in b]
    if found := [gap for gap in gaps if not math.isnan(gap)]:
        return found
    raise NotJudged(f"no seed has results of both {first.label} and {second.label}")


def _shift(first: rules.Numbers, second: rules.Numbers, unit: Unit) -> str:
    interval = shift_interval(first, second)
    ends = f"{unit.change_of(interval.low)} to {unit.change_of(interval.high)}{unit.change}"
    return covered(interval, ends, len(first), len(second))


def _of_median(sample: Sample) -> str:
    interval = median_interval(sample.numbers)
    return covered(interval, sample.unit.span([interval.low, interval.high]), len(sample.numbers))
