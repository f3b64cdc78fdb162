"""The relations between cells that a claim can state, and what a sweep's runs say of each; docs/statistics.md."""

import math
import statistics
from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal, final

from pydantic import BaseModel, ConfigDict, Field

from resnet_ablations.report.cells.cell import FAIL, is_error
from resnet_ablations.report.tables.summary import signed
from resnet_ablations.report.verdicts.evidence import Evidence, NotJudged, Sample
from resnet_ablations.report.verdicts.findings import (
    DIVERGED,
    ERROR,
    LOSS,
    RESPONSE,
    TRAIN_ERROR,
    Finding,
    Outcome,
    Pair,
    Unit,
    covers_enough,
    in_range,
    listed,
    median_range,
    of_median,
    runs,
    span,
    weakest,
)
from resnet_ablations.report.verdicts.statistics import LEVEL

Points = Annotated[float, Field(gt=0)]
Cells = Annotated[list[str], Field(min_length=1)]


class Relation(BaseModel, ABC):
    """What a claim says of its cells, each named `ROW/COLUMN`, or `ROW` where there is one column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    is_about_errors: ClassVar[bool] = False
    is_about_print: ClassVar[bool] = False

    @property
    @abstractmethod
    def cells(self) -> list[str]:
        """All the cells that it speaks of."""

    @property
    def sole(self) -> list[str]:
        """Those that must have one configuration."""
        return self.cells

    @abstractmethod
    def judge(self, evidence: Evidence) -> Finding:
        """What a sweep says; raise `NotJudged` where it says nothing."""


@final
class LowerThan(Relation):
    """The number of `lower` is lower than that of each configuration of each of `higher`."""

    kind: Literal["lower_than"]
    lower: str
    higher: Cells

    @property
    def cells(self) -> list[str]:
        return [self.lower, *self.higher]

    @property
    def sole(self) -> list[str]:
        return [self.lower]

    def judge(self, evidence: Evidence) -> Finding:
        lower, unit = evidence.sample(self.lower), _unit(evidence, self.lower)
        named: list[tuple[str, Sample]] = []
        for cell in self.higher:
            samples = evidence.samples(cell)
            which = f" (one of {len(samples)} configurations)" if len(samples) > 1 else ""
            named += [(evidence.label(cell) + which, sample) for sample in samples]
        lacking = [name for name, sample in named if not sample.by_seed]
        pairs = [
            _pair(sample, lower, (name, evidence.label(self.lower)), unit) for name, sample in named if sample.by_seed
        ]
        if not pairs:
            raise NotJudged(f"no run of {listed(dict.fromkeys(lacking))} has a result")
        # The claim is contradicted by any of its comparisons, so that each has to be surer of it.
        findings = [
            _higher(pair, LEVEL / len(named)) for pair in sorted(pairs, key=lambda pair: (pair.order, pair.difference))
        ]
        return weakest(
            [*findings, *(Finding("not run", "–", "–", f"no run of {name} has a result") for name in lacking)]
        )


@final
class HigherInTraining(Relation):
    """`higher` ends with a higher training loss, or training error, than `lower`."""

    kind: Literal["higher_in_training"]
    higher: str
    lower: str
    quantity: Literal["train_loss", "train_error"] = "train_loss"

    @property
    def cells(self) -> list[str]:
        return [self.higher, self.lower]

    def judge(self, evidence: Evidence) -> Finding:
        higher, lower = (evidence.sample(cell, self.quantity) for cell in self.cells)
        unit = {"train_loss": LOSS, "train_error": TRAIN_ERROR}[self.quantity]
        return _higher(_pair(higher, lower, (evidence.label(self.higher), evidence.label(self.lower)), unit))


@final
class Fails(Relation):
    """Every configuration of the cells fails, which is the paper's word for a test error above 20 %, or diverges.

    With `never`, none of them does.
    """

    kind: Literal["fails"]
    of: Cells
    never: bool = False
    is_about_errors: ClassVar[bool] = True

    @property
    def cells(self) -> list[str]:
        return self.of

    @property
    def sole(self) -> list[str]:
        return []

    def judge(self, evidence: Evidence) -> Finding:
        named = [(evidence.label(cell), sample) for cell in self.of for sample in evidence.samples(cell)]
        ran = [(label, sample.numbers) for label, sample in named if sample.by_seed]
        if not ran:
            raise NotJudged(f"no run of {listed(dict.fromkeys(label for label, _ in named))} has a result")
        failing = [label for label, values in ran if median_range(values).low > FAIL]
        training = [label for label, values in ran if median_range(values).high <= FAIL]
        as_claimed, against = (training, failing) if self.never else (failing, training)
        outcome: Outcome = (
            "contradicted" if against else "reproduced" if len(as_claimed) == len(named) else "inconclusive"
        )
        medians = span(statistics.median(values) for _, values in ran)
        if len(named) == 1:
            (label, values), only = ran[0], ", which is a fact about this run alone"
            how = "fails" if failing else "does not fail" if training else "fails in some runs and not in others"
            sentence = f"{label} {how}: {runs(len(values))} at {span(values)}{only * (len(values) == 1)}"
            return Finding(outcome, medians, of_median(values), sentence)
        alone = ", one run each" if all(len(values) == 1 for _, values in ran) else ""
        sentence = f"{len(failing)} of {len(named)} configurations fail and {len(training)} do not ({medians}{alone})"
        if against and len(self.of) > 1:
            sentence += f", against the claim {listed(dict.fromkeys(against))}"
        if len(ran) < len(named):
            sentence += f"; {len(named) - len(ran)} have no result"
        return Finding(outcome, f"{len(failing)} of {len(named)} fail ({medians})", "–", sentence)


@final
class Within(Relation):
    """The number of `cell` is within `points` of that of `of`."""

    kind: Literal["within"]
    cell: str
    of: str
    points: Points

    @property
    def cells(self) -> list[str]:
        return [self.cell, self.of]

    def judge(self, evidence: Evidence) -> Finding:
        sample, other = (evidence.sample(cell) for cell in self.cells)
        pair = _pair(sample, other, (evidence.label(self.cell), evidence.label(self.of)), _unit(evidence, self.cell))
        outcome, how = pair.within(self.points)
        return Finding(outcome, pair.effect, pair.interval, f"{pair.sentence}, {how}")


@final
class AsPrinted(Relation):
    """The number of `cell` is within `points` of what the paper prints, which only the paper's own setting can tell."""

    kind: Literal["as_printed"]
    cell: str
    points: Points
    is_about_errors: ClassVar[bool] = True
    is_about_print: ClassVar[bool] = True

    @property
    def cells(self) -> list[str]:
        return [self.cell]

    def judge(self, evidence: Evidence) -> Finding:
        if not evidence.is_papers_setting:
            raise NotJudged("the claim is about a number of the paper’s own setting, which this is not")
        values, printed = evidence.sample(self.cell).numbers, evidence.cell(self.cell).paper.printed
        assert isinstance(printed, float), self.cell  # claims are checked when they are read
        interval, median = median_range(values), statistics.median(values)
        around = f"{self.points:g} points around the printed {printed:.2f} %"
        outcome, how = in_range(interval, printed - self.points, printed + self.points, around)
        if not covers_enough(interval):
            outcome, how = "inconclusive", f"and {runs(len(values))} cannot tell whether that is within {around}"
        effect = signed(median - printed) + ERROR.name if math.isfinite(median) else span([median])
        return Finding(
            outcome, effect, of_median(values), f"{evidence.label(self.cell)} ends at {span([median])}, {how}"
        )


@final
class GapGrows(Relation):
    """What the first cell of a pair has more than the second grows from each pair to the next, deeper one."""

    kind: Literal["gap_grows"]
    pairs: Annotated[list[tuple[str, str]], Field(min_length=2)]

    @property
    def cells(self) -> list[str]:
        return [cell for pair in self.pairs for cell in pair]

    def judge(self, evidence: Evidence) -> Finding:
        depths = [evidence.depth(cell) for cell, _ in self.pairs]
        layers = f"{listed(map(str, depths))} layers"
        if sorted(set(depths)) != depths:
            raise NotJudged(f"its networks have {layers}, which does not grow")
        gaps = [_gaps(evidence, *pair) for pair in self.pairs]
        unit = _unit(evidence, self.cells[0])
        ends = Pair(gaps[-1], gaps[0], ("", ""), unit)
        outcome, how = ends.higher()
        medians = [statistics.median(values) for values in gaps]
        if outcome == "reproduced" and sorted(set(medians)) != medians:
            outcome, how = "inconclusive", f"larger at the end {how.removeprefix('as claimed ')} but not at every step"
        shown = f"{listed(unit.change(m) if math.isfinite(m) else DIVERGED for m in medians)}{unit.name}"
        return Finding(outcome, f"{shown}, {ends.way}", ends.interval, f"with {layers} the gap is {shown}, {how}")


AnyRelation = Annotated[
    LowerThan | HigherInTraining | Fails | Within | AsPrinted | GapGrows, Field(discriminator="kind")
]


def _unit(evidence: Evidence, cell: str) -> Unit:
    return ERROR if is_error(evidence.cell(cell).metric) else RESPONSE


def _pair(first: Sample, second: Sample, names: tuple[str, str], unit: Unit) -> Pair:
    if first.configuration == second.configuration:
        raise NotJudged(f"{names[0]} and {names[1]} are the same runs")
    values = [[unit.transform(value) for value in sample.numbers] for sample in (first, second)]
    return Pair(values[0], values[1], names, unit)


def _higher(pair: Pair, contradicted_at: float = LEVEL) -> Finding:
    outcome, how = pair.higher(contradicted_at)
    return Finding(outcome, f"{pair.effect}, {pair.way}", pair.interval, f"{pair.sentence}, {how}")


def _gaps(evidence: Evidence, first: str, second: str) -> list[float]:
    """By seed, from −∞ where the second alone diverged to ∞ where the first did; where both did there is none."""
    a, b = evidence.sample(first).by_seed, evidence.sample(second).by_seed
    gaps = [a[seed] - b[seed] for seed in a if seed in b]
    if found := [gap for gap in gaps if not math.isnan(gap)]:
        return found
    raise NotJudged(f"no seed has results of both {evidence.label(first)} and {evidence.label(second)}")
