"""The kinds of relation that a claim can state: their fields in `experiments/claims.yaml`, and their findings."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from resnet_ablations.report.claims import rules
from resnet_ablations.report.claims.evidence import ClaimQuantity, Evidence, NotJudged, Sample, SamplesOf
from resnet_ablations.report.claims.rules import PValues
from resnet_ablations.report.claims.statistics import LEVEL, SIGN_LEVEL, median_interval, shift_interval
from resnet_ablations.report.claims.wording import covered, runs
from resnet_ablations.report.labels import listed

Cells = Annotated[list[str], Field(min_length=1)]
"""Cells that may each have several configurations; a cell in any other field must have exactly one."""
Points = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Finding:
    """An outcome with its numbers."""

    outcome: rules.VerdictOutcome
    statement: str
    """The finding as a sentence, without its opening (`At this scale: `) and its full stop."""
    effect: str = "–"
    """The difference, or the error, with its unit."""
    interval: str = "–"
    """The interval, with its coverage."""
    p: float = math.nan
    """The p-value of the claim, or of its opposite if the runs point there."""


Comparison = tuple[PValues, list[Sample]]
"""The p-values of one comparison, and its samples: the judged one, the one it is compared with, then the rest."""


class Relation(BaseModel, ABC):
    """A relation between cells, each named `ROW/COLUMN`, or `ROW` where there is one column."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    is_absolute: ClassVar[bool] = False
    """True for a relation about errors in the paper's own setting; it is judged only there."""
    level: ClassVar[float] = LEVEL
    seeds: ClassVar[int] = 4
    """The smallest number of seeds of each configuration with which the test can reach the level."""
    words: ClassVar[tuple[str, str]] = "as claimed", "against the claim"
    """The words for results for the claim and against it; the relation's fields replace the braces."""

    @property
    def sole(self) -> list[str]:
        """The cells that must have exactly one configuration."""
        return [value for name, value in self if name in ("cell", "other", "lower")]

    @property
    def cells(self) -> list[str]:
        """All cells of the relation."""
        return [*self.sole, *(cell for name, value in self if name in ("of", "higher") for cell in value)]

    @abstractmethod
    def compare(self, of: SamplesOf) -> list[Comparison]:
        """Return the comparisons, all of which must hold; raise `NotJudged` if there is nothing to compare."""

    def find(self, evidence: Evidence) -> Finding:
        """Return a sweep's finding on the relation; raise `NotJudged` if none of the sweep's runs can decide it."""
        found = self.compare(evidence.samples)
        ran = [(tested, samples) for tested, samples in found if samples[0].numbers]
        lacking = dict.fromkeys(samples[0].label for _, samples in found if not samples[0].numbers)
        without = f"no run of {listed(list(lacking))} {found[0][1][0].unit.has}" if lacking else ""
        if not ran:
            raise NotJudged(without)
        # The comparison that supports the claim least is shown.
        tested, worst = max(ran, key=lambda one: one[0].claim)
        numbers, effect, interval = _difference(*worst[:2]) if len(worst) > 1 else _errors(worst[0], ran)
        if self.is_absolute and not evidence.is_papers_setting:
            reason = "not judged because the claim is about errors in the paper’s own setting"
            return Finding("not run", f"{numbers}; {reason}", effect, interval)
        fewest = min(len(sample.numbers) for _, samples in ran for sample in samples)
        words = self.words[0].format(self), self.words[1].format(self)
        outcome, which, how, p = rules.decide([tested for tested, _ in found], tested, self.level, fewest, words)
        statement = "; ".join(filter(None, [numbers, which + how, without]))
        return Finding(outcome, statement, f"{effect}, {which}", interval, p)


class LowerThan(Relation):
    """`lower` has a lower value of a quantity than every configuration of every cell in `higher`.

    `than` is the quantity of the cells in `higher`, if it is another one.
    """

    kind: Literal["lower_than"]
    lower: str
    higher: Cells
    quantity: ClaimQuantity = "value"
    than: ClaimQuantity | None = None

    def compare(self, of: SamplesOf) -> list[Comparison]:
        """Return a comparison of each configuration of `higher` with `lower`."""
        lower = _sole(of(self.lower, self.quantity))
        samples = [sample for cell in self.higher for sample in of(cell, self.than or self.quantity)]
        return [(rules.higher(one.numbers, lower.numbers), [one, lower]) for one in samples]


class Lowest(Relation):
    """`cell` has a lower value of a quantity than each cell in `of`: one claim about many cells, with one test."""

    kind: Literal["lowest"]
    cell: str
    of: Cells
    quantity: ClaimQuantity = "value"
    seeds: ClassVar[int] = 5

    def compare(self, of: SamplesOf) -> list[Comparison]:
        """Return one comparison with all cells in `of`; the one with the lowest median comes first."""
        first, *others = [_sole(of(cell, self.quantity)) for cell in self.cells]
        others.sort(key=lambda one: one.median)
        tested = rules.lowest(first.numbers, [one.numbers for one in others])
        return [(tested, [others[0], first, *others[1:]])]


class Within(Relation):
    """The number of `cell` differs from the number of `other` by at most `points`."""

    kind: Literal["within"]
    cell: str
    other: str
    points: Points
    words: ClassVar[tuple[str, str]] = "within {0.points:g} points", "not within {0.points:g} points"

    def compare(self, of: SamplesOf) -> list[Comparison]:
        """Return the comparison of the two cells."""
        first, second = _sole(of(self.cell, "value")), _sole(of(self.other, "value"))
        return [(rules.within(first.numbers, second.numbers, self.points), [first, second])]


class Absolute(Relation):
    """A relation between cells and a fixed number, decided by sign tests."""

    is_absolute: ClassVar[bool] = True
    level: ClassVar[float] = SIGN_LEVEL
    seeds: ClassVar[int] = 5


class AsPrinted(Absolute):
    """The number of `cell` differs from the number that the paper prints by at most `points`."""

    kind: Literal["as_printed"]
    cell: str
    points: Points
    words: ClassVar[tuple[str, str]] = "within {0.points:g} points of the paper", "not within {0.points:g} points of it"

    def compare(self, of: SamplesOf) -> list[Comparison]:
        """Return the comparison with the printed number."""
        one = _sole(of(self.cell, "value"))
        return [(rules.from_to(one.numbers, one.printed - self.points, one.printed + self.points), [one])]


class Bounded(Absolute):
    """The errors of all configurations of the cells are above `percent`, or all below; a diverged run is above."""

    kind: Literal["above", "below"]
    of: Cells
    percent: float
    words: ClassVar[tuple[str, str]] = "{0.kind} {0.percent:g} %", "not {0.kind} {0.percent:g} %"

    def compare(self, of: SamplesOf) -> list[Comparison]:
        """Return the comparison of each configuration with the bound."""
        low, high = (math.nextafter(self.percent, math.inf), math.inf) if self.kind == "above" else (0, self.percent)
        samples = [sample for cell in self.of for sample in of(cell, "value")]
        return [(rules.from_to(one.numbers, low, high), [one]) for one in samples]


def _sole(samples: list[Sample]) -> Sample:
    """Return the only sample; raise `NotJudged` if there are several, or if the sample has no number."""
    first = samples[0]
    if len(samples) > 1:
        raise NotJudged(f"{first.label.partition(' (')[0]} has {len(samples)} configurations")
    if not first.numbers:
        raise NotJudged(f"no run of {first.label} {first.unit.has}")
    return first


def _difference(first: Sample, second: Sample) -> tuple[str, str, str]:
    """Return the medians, their difference and its interval; raise `NotJudged` if both samples are the same runs."""
    if (first.configuration, first.metric, first.unit) == (second.configuration, second.metric, second.unit):
        raise NotJudged(f"{first.label} and {second.label} are the same runs")
    unit = first.unit
    a, b = unit.write(first.median), unit.write(second.median)
    # A diverged run has no difference, and zero no ratio to it.
    has_change = first.median < math.inf and math.isfinite(second.median)
    effect = unit.change_of(first.median - second.median) + unit.change if has_change else f"{a} against {b}"
    interval = shift_interval(first.numbers, second.numbers)
    shift = covered(interval, unit.changes(interval.low, interval.high))
    other = second.unit.subject * (second.unit != unit)
    return f"{unit.subject}{first.label}: {a}, {other}{second.label}: {b}", effect, shift


def _errors(worst: Sample, ran: list[Comparison]) -> tuple[str, str, str]:
    """Return the errors, the range of the medians, and, for a single configuration, the interval of the median."""
    medians = worst.unit.span([samples[0].median for _, samples in ran])
    if len(ran) > 1:
        return f"{len(ran)} configurations at {medians}, least as claimed: {worst.label}", medians, "–"
    interval = median_interval(worst.numbers)
    ends = covered(interval, worst.unit.span([interval.low, interval.high]))
    return f"{worst.label}: {runs(len(worst.numbers))} at {worst.unit.span(worst.numbers)}", medians, ends
