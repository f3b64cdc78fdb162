import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import declared
import pytest
from made_up import Declare, MadeUp
from rich.console import Console
from scipy import stats  # type: ignore[import-untyped]

from resnet_ablations.report.claims.claim_file import Claim, load_claims
from resnet_ablations.report.claims.evidence import SIGNALS
from resnet_ablations.report.claims.verdict_table import pages, verdict_frame, verdict_table
from resnet_ablations.report.claims.verdicts import Verdict, judge
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.report.tables import formats
from resnet_ablations.results.signals import HEADER, UnitSignals, lines

SEEDS = (0, 1, 2, 3, 4)


def claim(experiment: str, **relation: Any) -> Claim:
    said = {"id": relation["kind"], "sentence": "A sentence", "where": "v2, Table 1", "experiment": experiment}
    return Claim.model_validate(said | {"relation": relation})


def lower(low: str, *higher: str, experiment: str = "shortcuts") -> Claim:
    return claim(experiment, kind="lower_than", lower=low, higher=list(higher))


def fails(*of: str, never: bool = False, experiment: str = "shortcuts") -> Claim:
    return claim(experiment, kind="below" if never else "above", percent=20, of=list(of))


def verdicts(made_up: MadeUp, *claims: Claim) -> list[Verdict]:
    data = read_report_data(made_up.path)
    return judge(data.sweeps, data, claims)


def verdict(made_up: MadeUp, claim: Claim) -> Verdict:
    (only,) = verdicts(made_up, claim)
    return only


def errors(made_up: MadeUp, cell: str, values: Sequence[float | None], scale: str = "paper", **run: Any) -> None:
    """A finished run a seed, one that diverged for an infinite error, none for None."""
    for seed, value in enumerate(values):
        if value == float("inf"):
            made_up.run(cell, seed=seed, scale=scale, outcome="diverged", every=10_000)
        elif value is not None:
            made_up.run(cell, value, seed, scale=scale, every=10_000, **run)


LOW, HIGH = (6.4, 6.5, 6.6, 6.7, 6.8), (12.0, 12.1, 12.2, 12.3, 12.5)
DIVERGED = float("inf")
BEATS = lower("original", "conv1x1")


def test_five_seeds_as_the_paper_says(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", LOW)
    errors(made_up, "conv1x1", HIGH)
    found = verdict(made_up, BEATS)
    assert (found.finding.outcome, found.sweep, found.scale) == ("reproduced", "shortcuts-paper", "paper")
    assert found.finding.effect == "+5.60 points, as claimed"
    assert found.finding.interval == "+5.30 to +5.90 points (96.83 %)"
    assert found.seeds == "n = 5/5"
    assert found.flags == ()
    assert found.finding.statement == "“1×1 conv shortcut”: 12.20 %, “original”: 6.60 %; as claimed (p = 0.0079)."


def test_five_seeds_against_the_paper(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", HIGH)
    errors(made_up, "conv1x1", LOW)
    found = verdict(made_up, BEATS)
    assert found.finding.outcome == "contradicted"
    assert found.finding.effect == "−5.60 points, against the claim"
    assert "against the claim (p = 0.0079)" in found.finding.statement


def test_a_difference_that_can_be_chance(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", (6.4, 6.5, 6.6, 6.7, 12.1))
    errors(made_up, "conv1x1", (6.45, 6.55, 6.65, 6.75, 12.0))
    found = verdict(made_up, BEATS)
    assert found.finding.outcome == "inconclusive"
    assert "this can be chance (p = 0.84)" in found.finding.statement


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_too_few_seeds_never_show_a_difference(made_up: MadeUp, seeds: int) -> None:
    """Even if the two configurations differ by 80 points."""
    made_up.plan("paper", SEEDS[:seeds])
    errors(made_up, "original", LOW[:seeds])
    errors(made_up, "conv1x1", [90.0] * seeds)
    found = verdict(made_up, BEATS)
    assert found.finding.outcome == "inconclusive"
    assert "as claimed, but" in found.finding.statement
    assert ("one run decides nothing" in found.finding.statement) == (seeds == 1)
    assert found.finding.interval.startswith("none (too few runs)" if seeds == 1 else "+")
    assert found.flags == ()


def test_a_claim_counts_once_among_two_sweeps_of_a_scale(made_up: MadeUp) -> None:
    """The sweep with overrides is corrected by itself: its p of 0.84 would double the other's q."""
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", LOW)
    errors(made_up, "conv1x1", HIGH)
    errors(made_up, "dropout", [value + 0.01 for value in LOW])
    made_up.plan("paper", SEEDS, overrides=("precision=bf16-mixed",), name="shortcuts-paper-0a1b2c")
    plain, other = verdicts(made_up, BEATS)
    assert (plain.sweep, plain.q) == ("shortcuts-paper", plain.finding.p)
    assert (other.sweep, other.q) == ("shortcuts-paper-0a1b2c", other.finding.p)
    by_claim = verdicts(made_up, BEATS, lower("original", "dropout"))
    assert [found.sweep for found in by_claim] == ["shortcuts-paper", "shortcuts-paper-0a1b2c"] * 2
    first, _, second, _ = by_claim
    assert (first.q, second.q) == (pytest.approx(2 * first.finding.p), second.finding.p)


def test_missing_seeds_are_flagged_and_not_guessed(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", LOW)
    errors(made_up, "conv1x1", (12.0, None, 12.2, None, 12.5))
    found = verdict(made_up, BEATS)
    assert (found.finding.outcome, found.seeds) == ("reproduced", "n = 3/5")  # 2/56: three against five can tell
    assert found.flags == ("missing seeds: 2 of 10 runs",)
    made_up.run("dropout", scale="paper", every=10_000)
    none = verdict(made_up, lower("original", "constant_scaling_0_1"))
    assert (none.finding.outcome, none.seeds, none.finding.effect) == ("not run", "n = 0/5", "–")
    assert none.flags == ("missing seeds: 5 of 10 runs",)
    assert none.finding.statement == "Not judged because no run of “constant scaling (0, 1)” has a result."


def test_a_diverged_run_is_worse_than_any_finished_one_and_never_averaged(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", (*LOW[:4], 99.0))
    errors(made_up, "conv1x1", (DIVERGED, 12.1, DIVERGED, 12.3, 12.5))
    found = verdict(made_up, BEATS)
    # In order: 4 of the original, 3 finished, the original's 99, 2 diverged: U = 22 of 25.
    assert found.finding.outcome == "inconclusive"
    assert found.finding.effect == "+5.90 points, as claimed"
    assert found.finding.interval.startswith("−86.50 points and more (")
    assert found.seeds == "n = 5/5"
    assert found.flags == ("diverged: 2 of 10 runs",)
    errors(made_up, "dropout", [DIVERGED] * 5)
    against_all = verdict(made_up, lower("original", "dropout"))
    assert against_all.finding.outcome == "reproduced"
    assert against_all.finding.effect == "diverged against 6.60 %, as claimed"
    assert "“dropout shortcut”: diverged, “original”: 6.60 %" in against_all.finding.statement
    assert "inf" not in against_all.finding.statement + against_all.finding.effect + against_all.finding.interval


def test_mixed_versions_and_uncommitted_changes_are_flagged(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", LOW)
    errors(made_up, "conv1x1", HIGH, commit="badc0de0000000000", dirty=True)
    errors(made_up, "dropout", [90] * 5)
    found = verdict(made_up, BEATS)
    assert found.finding.outcome == "reproduced"
    assert found.flags == (
        "mixed code versions: commits badc0de000 and c0ffee0123",
        "uncommitted changes: 5 of 10 runs",
    )
    assert verdict(made_up, lower("original", "dropout")).flags == ()


def test_runs_of_an_unknown_version_are_another_version(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.run("original", 3.0)
    made_up.run("conv1x1", 6.0, commit=None, dirty=None)
    assert verdict(made_up, BEATS).flags == ("mixed code versions: commits c0ffee0123 and unknown",)


def test_each_scale_has_its_own_verdict(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    made_up.plan("quick")
    errors(made_up, "original", LOW)
    errors(made_up, "conv1x1", HIGH)
    made_up.run("original", 30.0)
    made_up.run("conv1x1", 20.0)
    quick, paper = verdicts(made_up, BEATS)
    assert (quick.scale, quick.finding.outcome, paper.scale, paper.finding.outcome) == (
        "quick",
        "inconclusive",
        "paper",
        "reproduced",
    )
    assert quick.finding.statement.startswith(
        "At this scale: “1×1 conv shortcut”: 20.00 %, “original”: 30.00 %; against the claim"
    )
    assert not paper.finding.statement.startswith("At this scale")


def test_the_early_scale_has_no_verdict_on_the_end_and_longer_runs_are_flagged(made_up: MadeUp) -> None:
    made_up.plan("early", (0, 1))
    for cell in ("original", "conv1x1"):
        made_up.run(cell, 6.6, scale="paper", every=400, error_at=lambda iteration: 40.0)
        made_up.run(cell, 41.0, seed=1, scale="early")
    found = verdict(made_up, fails("original", "conv1x1"))
    assert (found.finding.outcome, found.finding.effect) == ("not run", "–")
    assert found.flags == ("mixed scales: 2 of 4 runs use iteration 2,000 of longer runs of scale paper",)
    assert found.finding.statement.startswith(
        "At this scale: not judged because the claim is about the end of training"
    )


def test_mixed_settings_are_flagged(declare: Declare) -> None:
    made_up = declare(declared.PLACEMENTS.replace("[[activation=bn]]", "[[activation=bn, schedule.iterations=68000]]"))
    made_up.plan("paper", SEEDS)
    errors(made_up, "pre/r110", LOW)
    errors(made_up, "bn/r110", HIGH)
    found = verdict(made_up, lower("pre/r110", "bn/r110", experiment="declared"))
    assert found.flags == ("mixed settings: iterations 64000 and 68000",)


def test_overrides_are_named_and_are_not_the_papers_setting(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS, overrides=("data=fashion_mnist",), name="shortcuts-paper-123456")
    errors(made_up, "original", LOW)
    errors(made_up, "conv1x1", HIGH)
    found = verdict(made_up, BEATS)
    assert found.finding.statement.startswith("With data=fashion_mnist: “1×1")
    assert found.flags == ("not the experiment’s own setting: data=fashion_mnist",)
    assert (
        verdict(made_up, claim("shortcuts", kind="as_printed", cell="original", points=0.5)).finding.outcome
        == "not run"
    )


def test_the_location_of_data_is_no_change_of_a_setting(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS, overrides=("data.root=/somewhere",))
    errors(made_up, "original", LOW)
    assert (
        verdict(made_up, claim("shortcuts", kind="as_printed", cell="original", points=0.5)).finding.outcome
        == "reproduced"
    )


@pytest.mark.parametrize(
    ("values", "outcome", "never"),
    [
        ((20.01,), "inconclusive", "inconclusive"),
        ((20.0,), "inconclusive", "inconclusive"),
        ((DIVERGED,), "inconclusive", "inconclusive"),
        ((90.0,) * 4, "inconclusive", "inconclusive"),
        ((21, 22, 90, DIVERGED, 20.01), "reproduced", "contradicted"),
        ((21, 22, 90, 19, 30), "inconclusive", "inconclusive"),
        ((1, 2, 3, 4, 20.0), "contradicted", "reproduced"),
    ],
)
def test_failing_needs_the_seeds_of_a_printed_number(
    made_up: MadeUp, values: tuple[float, ...], outcome: str, never: str
) -> None:
    made_up.plan("paper", SEEDS[: len(values)])
    errors(made_up, "dropout", values)
    assert verdict(made_up, fails("dropout")).finding.outcome == outcome
    assert verdict(made_up, fails("dropout", never=True)).finding.outcome == never


@pytest.mark.parametrize("scale", ["quick", "small"])
def test_failing_has_no_verdict_at_a_smaller_scale(made_up: MadeUp, scale: str) -> None:
    """20 % is one of the paper's absolute numbers; five runs far above it say nothing at another scale."""
    made_up.plan(scale, SEEDS)
    errors(made_up, "dropout", (71, 72, 73, 90, DIVERGED), scale)
    for found in (verdict(made_up, fails("dropout")), verdict(made_up, fails("dropout", never=True))):
        assert (found.finding.outcome, found.finding.effect) == ("not run", "73.00 %")
        assert found.finding.statement == (
            "At this scale: “dropout shortcut”: 5 runs at 71.00 % to diverged; not judged because the claim is about "
            "errors in the paper’s own setting."
        )


def test_failing_has_no_verdict_with_overrides(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS, overrides=("data=fashion_mnist",), name="shortcuts-paper-123456")
    errors(made_up, "dropout", (71, 72, 73, 90, DIVERGED))
    assert verdict(made_up, fails("dropout")).finding.outcome == "not run"


def test_the_message_of_a_failing_run(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "dropout", (71, 72, 73, 90, DIVERGED))
    found = verdict(made_up, fails("dropout"))
    assert found.finding.statement == "“dropout shortcut”: 5 runs at 71.00 % to diverged; above 20 % (p = 0.062)."
    assert found.finding.interval == "71.00 % to diverged (93.75 %)"
    assert found.finding.effect == "73.00 %, above 20 %"


def test_another_percentage_than_20(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "dropout", (50, 51, 52, 53, 54))
    above = claim("shortcuts", kind="above", percent=60, of=["dropout"])
    assert verdict(made_up, above).finding.outcome == "contradicted"


def test_every_configuration_of_a_row_has_to_fail(made_up: MadeUp) -> None:
    row, seeds = "exclusive_gating_0_to_-5", tuple(range(8))
    made_up.plan("paper", seeds)
    for index in range(5):
        errors(made_up, row, [40.0 + index + seed / 100 for seed in SEEDS], index=index)
    found = verdict(made_up, fails(row))
    assert (found.finding.outcome, found.seeds) == ("inconclusive", "n = 0/8")
    assert "5 configurations at 40.02–44.02 %, least as claimed: “exclusive" in found.finding.statement
    assert found.finding.statement.endswith("(one of 6 configurations) has a result.")
    errors(made_up, row, [45.0 + seed / 100 for seed in SEEDS], index=5)
    assert verdict(made_up, fails(row)).finding.outcome == "reproduced"
    # Five runs of one configuration against the claim are not enough among six (6 × 0.0625), eight are.
    errors(made_up, row, [5.0] * 5, index=5)
    assert verdict(made_up, fails(row)).finding.outcome == "inconclusive"
    errors(made_up, row, [5.0] * 8, index=5)
    found = verdict(made_up, fails(row))
    assert (found.finding.outcome, found.finding.effect) == ("contradicted", "5.00–44.02 %, not above 20 %")


def test_the_cell_that_decides_against_a_claim_is_named(made_up: MadeUp) -> None:
    made_up.plan("paper", tuple(range(8)))
    errors(made_up, "original", [4.0] * 8)
    errors(made_up, "conv1x1", [33.0] * 8)
    found = verdict(made_up, fails("original", "conv1x1", never=True))
    assert found.finding.outcome == "contradicted"
    assert "2 configurations at 4.00–33.00 %, least as claimed: “1×1 conv shortcut”" in found.finding.statement


EVERY_RELATION = [
    lower("original", "conv1x1"),
    lower("original", "exclusive_gating_0_to_-5"),
    claim("shortcuts", kind="lower_than", lower="original", higher=["conv1x1"], quantity="train_loss"),
    claim("shortcuts", kind="lowest", cell="original", of=["conv1x1", "dropout"]),
    claim("shortcuts", kind="within", cell="original", other="shortcut_only_gating_-6", points=50),
    claim("shortcuts", kind="as_printed", cell="original", points=50),
    fails("dropout"),
    fails("original", "conv1x1", never=True),
]


@pytest.mark.parametrize("relation", EVERY_RELATION, ids=lambda one: one.id)
def test_one_run_decides_nothing(made_up: MadeUp, relation: Claim) -> None:
    """Not even against many runs of the other side, and with the numbers of the paper."""
    made_up.plan("paper", tuple(range(45)))
    for row, value in TABLE_1.items():
        for index in range(len(made_up.overrides("paper", row))):
            made_up.run(row, value, scale="paper", index=index, every=8_000)
    assert verdict(made_up, relation).finding.outcome == "inconclusive"
    for seed in range(1, 45):
        made_up.run("original", 6 + seed / 1_000, seed, scale="paper", every=8_000)
    found = verdict(made_up, relation).finding
    if relation.relation.kind != "as_printed":
        assert found.outcome == "inconclusive", found
        assert math.isnan(found.p) == ("one run decides nothing" in found.statement)


def test_the_lowest_of_many_is_one_claim(made_up: MadeUp) -> None:
    """Ten tests at 5 %/10 could never contradict it with five seeds; one test of all comparisons can."""
    made_up.plan("paper", SEEDS)
    best = claim("shortcuts", kind="lowest", cell="original", of=[row for row in TABLE_1 if "to_-5" not in row][1:])
    for place, row in enumerate(best.relation.cells):
        errors(made_up, row, [6.0 + 2 * place + seed / 10 for seed in SEEDS])
    found = verdict(made_up, best).finding
    assert (found.outcome, found.effect) == ("reproduced", "+2.00 points, as claimed")
    errors(made_up, "dropout", [5.0 + seed / 10 for seed in SEEDS])
    found = verdict(made_up, best).finding
    assert (found.outcome, found.effect) == ("contradicted", "−1.00 points, against the claim")
    assert found.statement.startswith("“dropout shortcut”: 5.20 %, “original”: 6.20 %; against the claim (p = 0.0")


def test_q_corrects_for_the_claims_of_a_scale(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    made_up.plan("quick", SEEDS)
    for scale, high in (("paper", HIGH), ("quick", (6.45, 6.55, 6.65, 6.75, 6.85))):
        errors(made_up, "original", LOW, scale)
        errors(made_up, "conv1x1", high, scale)
        errors(made_up, "dropout", (6.55, 6.65, 6.75, 6.85, 7.0), scale)
    found = verdicts(made_up, BEATS, lower("original", "dropout"), fails("constant_scaling_0_1"))
    for scale in ("paper", "quick"):
        ps = [one.finding.p for one in found if one.scale == scale]
        assert math.isnan(ps[2])
        expected = stats.false_discovery_control(ps[:2])
        assert [one.q for one in found if one.scale == scale][:2] == pytest.approx(list(expected))
    q = {one.claim.relation.cells[1]: one.q for one in found if one.scale == "paper" and not math.isnan(one.q)}
    assert q["conv1x1"] == pytest.approx(2 * 2 / 252)
    assert found[0].p_and_q == f"p = {found[0].finding.p:.2g}, q = {found[0].q:.2g}"


def test_lower_than_several_needs_each(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", LOW)
    errors(made_up, "conv1x1", HIGH)
    several = lower("original", "conv1x1", "dropout")
    found = verdict(made_up, several)  # dropout is not there yet
    assert found.finding.outcome == "inconclusive"
    assert found.finding.statement.endswith("; no run of “dropout shortcut” has a result.")
    errors(made_up, "dropout", [90] * 5)
    found = verdict(made_up, several)
    assert (found.finding.outcome, found.finding.effect) == (
        "reproduced",
        "+5.60 points, as claimed",
    )  # the nearest of them
    errors(made_up, "dropout", [1] * 5)
    assert verdict(made_up, several).finding.outcome == "contradicted"


def test_one_of_many_comparisons_contradicts_at_a_stricter_level(made_up: MadeUp) -> None:
    """p = 0.016 in one comparison contradicts it, but not a claim of six."""
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", (6.4, 6.6, 6.7, 6.8, 6.9))
    row = "exclusive_gating_0_to_-5"
    for index in range(6):
        errors(made_up, row, HIGH if index else (6.0, 6.1, 6.2, 6.3, 6.5), index=index)
    errors(made_up, "conv1x1", (6.0, 6.1, 6.2, 6.3, 6.5))
    assert verdict(made_up, BEATS).finding.outcome == "contradicted"
    found = verdict(made_up, lower("original", row))
    assert found.finding.outcome == "inconclusive"
    assert "(one of 6 configurations)" in found.finding.statement


@pytest.mark.parametrize(
    ("values", "points", "outcome"),
    [
        ((6.45, 6.55, 6.65, 6.75, 6.85), 0.5, "reproduced"),
        ((6.45, 6.55, 6.65, 6.75, 6.85), 0.1, "inconclusive"),
        ((8.1, 8.2, 8.3, 8.4, 8.5), 0.5, "contradicted"),
        ((5.1, 5.2, 5.3, 5.4, 5.5), 0.5, "contradicted"),
        ((6.9, 7.0, 7.1, 7.2, 7.3), 0.5, "inconclusive"),
        ((6.6, 6.6, 6.6), 5.0, "reproduced"),  # three against five cover 96.4 %
        ((6.6, 6.6), 5.0, "inconclusive"),
        ((6.6,), 50.0, "inconclusive"),
        ((DIVERGED,) * 5, 50.0, "contradicted"),
    ],
)
def test_within_a_tolerance(made_up: MadeUp, values: tuple[float, ...], points: float, outcome: str) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", LOW)
    errors(made_up, "shortcut_only_gating_-6", values)
    near = claim("shortcuts", kind="within", cell="shortcut_only_gating_-6", other="original", points=points)
    assert verdict(made_up, near).finding.outcome == outcome


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        (LOW, "reproduced"),
        ((6.4, 6.5, 6.6, 6.7, 7.2), "inconclusive"),
        ((7.2, 7.3, 7.4, 7.5, 7.6), "contradicted"),
        ((5.0, 5.1, 5.2, 5.3, 6.0), "contradicted"),
        (LOW[:4], "inconclusive"),
        ((6.61,), "inconclusive"),
    ],
)
def test_a_printed_number(made_up: MadeUp, values: tuple[float, ...], outcome: str) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", values)
    found = verdict(made_up, claim("shortcuts", kind="as_printed", cell="original", points=0.5))
    assert found.finding.outcome == outcome
    assert "within 0.5 points of " in found.finding.statement
    assert ("(93.75 %)" in found.finding.interval) == (len(values) == 5)


@pytest.mark.parametrize("scale", ["quick", "small"])
def test_a_scaled_down_run_says_nothing_of_printed_numbers(made_up: MadeUp, scale: str) -> None:
    made_up.plan(scale)
    made_up.all_runs({"original": 6.0}, scale=scale)
    printed = {str(cell.printed) for _, _, cell in made_up.experiment.cells()} - {"fail"}
    assert len(printed) == 7
    claims = [found for found in load_claims() if found.experiment == "shortcuts"]
    for found in verdicts(made_up, *claims):
        assert found.finding.statement.startswith("At this scale: ")
        if found.claim.relation.is_absolute:
            assert found.finding.outcome == "not run"
            assert not any(number in found.finding.statement for number in printed)
        assert "printed" not in found.finding.statement


def test_training_loss_at_the_end(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    for seed in SEEDS:
        made_up.run("original", 6.6, seed, scale="paper", every=1_000, loss=lambda i: 9.0 if i < 57_600 else 0.002)
        slow = lambda i, s=seed: 1e-6 if i < 57_600 else 0.1 + 0.01 * s  # noqa: E731
        made_up.run("conv1x1", 12.2, seed, scale="paper", every=1_000, loss=slow)
    found = verdict(
        made_up, claim("shortcuts", kind="lower_than", quantity="train_loss", higher=["conv1x1"], lower="original")
    )
    assert (found.finding.outcome, found.finding.effect) == ("reproduced", "×60, as claimed")
    assert found.finding.statement.startswith(
        "Training loss of “1×1 conv shortcut”: 0.12, “original”: 0.002; as claimed"
    )
    opposite = claim("shortcuts", kind="lower_than", quantity="train_loss", higher=["original"], lower="conv1x1")
    assert verdict(made_up, opposite).finding.outcome == "contradicted"
    errors(made_up, "dropout", [DIVERGED] * 5)
    diverged = claim("shortcuts", kind="lower_than", quantity="train_loss", higher=["dropout"], lower="conv1x1")
    assert verdict(made_up, diverged).finding.effect == "diverged against 0.12, as claimed"


def test_training_error_at_the_end(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", HIGH, train_error=0.1)
    errors(made_up, "conv1x1", LOW, train_error=3.0)
    relation = {"kind": "lower_than", "higher": ["conv1x1"], "lower": "original", "quantity": "train_error"}
    found = verdict(made_up, claim("shortcuts", **relation))
    assert (found.finding.outcome, found.finding.effect) == ("reproduced", "+2.90 points, as claimed")
    assert found.finding.statement.startswith("Training error of “1×1")


def test_responses_have_no_percent_and_diverged_runs_have_none(declare: Declare) -> None:
    made_up = declare(declared.RESPONSES)
    made_up.plan("paper", SEEDS)
    for seed in SEEDS:
        made_up.run("plain20/mean", seed=seed, scale="paper", every=10_000, metrics={"response_mean": 2 + seed / 100})
        made_up.run("resnet20/mean", seed=seed, scale="paper", every=10_000, metrics={"response_mean": 1.5})
    weaker = lower("resnet20/mean", "plain20/mean", experiment="declared")
    found = verdict(made_up, weaker)
    assert (found.finding.outcome, found.finding.effect) == ("reproduced", "+0.52, as claimed")
    assert ": 2.02, “ResNet-20, mean”: 1.50;" in found.finding.statement
    for seed in SEEDS:
        made_up.run("plain20/mean", seed=seed, scale="paper", every=10_000, outcome="diverged")
    found = verdict(made_up, weaker)
    assert (found.finding.outcome, found.flags) == ("not run", ("diverged: 5 of 10 runs",))


def test_cells_that_are_not_run_or_are_one_run_at_a_scale(declare: Declare) -> None:
    same = {"network.depth=164": ["network.depth=110"], "network.kernels=[1,3,1]": []}
    made_up = declare(declared.PLACEMENTS, replacements=same)
    made_up.plan("small")
    made_up.run("pre/r110", 5.0, scale="small")
    found = verdict(made_up, lower("pre/r164", "pre/r110", experiment="declared"))
    assert found.finding.outcome == "not run"
    assert "are the same runs" in found.finding.statement
    made_up = declare(declared.PLACEMENTS, replacements={"network.depth=164": None})
    made_up.plan("small")
    found = verdict(made_up, lower("pre/r164", "pre/r110", experiment="declared"))
    assert (found.finding.outcome, found.seeds) == ("not run", "n = 1/1")
    assert "“full pre-activation, ResNet-164” is not run" in found.finding.statement


def test_an_experiment_without_a_sweep(made_up: MadeUp) -> None:
    made_up.plan()
    found = verdict(made_up, fails("plain20/mean", experiment="depth"))
    assert (found.sweep, found.scale, found.finding.outcome, found.seeds) == ("", "", "not run", "–")
    assert (
        found.finding.statement
        == "Not judged because depth has no sweep yet; start one with: resnet-ablations sweep depth"
    )


TABLE_1 = {
    "original": 6.61,
    "constant_scaling_0_1": 90.0,
    "constant_scaling_0.5_1": 30.0,
    "constant_scaling_0.5_0.5": 12.35,
    "exclusive_gating_0_to_-5": 40.0,
    "exclusive_gating_-6": 8.70,
    "exclusive_gating_-7": 9.81,
    "shortcut_only_gating_0": 12.86,
    "shortcut_only_gating_-6": 6.91,
    "conv1x1": 12.22,
    "dropout": 50.0,
}


def table_1(made_up: MadeUp, error: dict[str, float]) -> dict[str, Verdict]:
    made_up.plan("paper", SEEDS)
    for row, value in error.items():
        for index in range(len(made_up.overrides("paper", row))):
            for seed in SEEDS:
                noise = (seed - 2) * 0.05
                made_up.run(
                    row,
                    value + noise,
                    seed,
                    scale="paper",
                    index=index,
                    every=8_000,
                    loss=lambda i, e=value + noise: e / 100,  # type: ignore[misc]
                )
    claims = [claim for claim in load_claims() if claim.experiment == "shortcuts"]
    claims = [claim for claim in claims if getattr(claim.relation, "quantity", "") not in SIGNALS]
    return {found.claim.id: found for found in verdicts(made_up, *claims)}


def test_results_that_agree_with_table_1(made_up: MadeUp) -> None:
    found = table_1(made_up, TABLE_1)
    assert {verdict.finding.outcome for verdict in found.values()} == {"reproduced"}, found
    assert {verdict.flags for verdict in found.values()} == {()}


def test_results_that_contradict_table_1(made_up: MadeUp) -> None:
    upside_down = {row: 100 - error for row, error in TABLE_1.items()}
    upside_down |= {"constant_scaling_0_1": 10.0, "exclusive_gating_0_to_-5": 10.0, "dropout": 10.0}
    upside_down |= {"constant_scaling_0.5_1": 10.0, "shortcut_only_gating_-6": 95.0}
    found = table_1(made_up, upside_down)
    upheld = {name for name, verdict in found.items() if verdict.finding.outcome != "contradicted"}
    # 95 is above 93.39: gating with its bias is still worse than identity. Five seeds of each configuration cannot
    # contradict that all of six fail, nor that none of seven does.
    assert upheld == {"identity_beats_shortcut_only_gating_6", "exclusive_gating_fails", "others_train"}


def shown(found: Sequence[Verdict]) -> str:
    console = Console(width=100, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        formats.terminal(verdict_table(found), console)
    return capture.get()


def test_the_table(made_up: MadeUp) -> None:
    made_up.plan("quick")
    made_up.plan("paper", SEEDS)
    made_up.plan("early")
    made_up.run("dropout", 71.0, dirty=True)
    table = verdict_table(verdicts(made_up, fails("dropout"), BEATS))
    assert [row[0] for row in table.rows] == ["1", "", "2", ""]
    assert table.rows[0] == (
        *("1", "A sentence (v2, Table 1)", "quick", "not run †", "71.00 %", "none (too few runs)", "1/1"),
    )
    assert table.rows[1][1:4] == ("", "paper", "not run †")
    assert table.notes == (
        "2 claims. Verdicts by scale: quick: 2 not run; paper: 2 not run.",
        "† uncommitted changes: 1 of 1 run: claim 1.",
        "† missing seeds: 5 of 5 runs: claim 1.",
        "† missing seeds: 2 of 2 runs: claim 2.",
        "† missing seeds: 10 of 10 runs: claim 2.",
        "Not judged because the claims are about the end of training: shortcuts-early.",
    )
    assert "booktabs" not in formats.markdown(table)
    assert r"\toprule" in formats.latex(table)


def test_the_table_of_all_claims_fits_a_terminal(made_up: MadeUp) -> None:
    made_up.plan("paper", SEEDS)
    errors(made_up, "original", LOW)
    errors(made_up, "conv1x1", HIGH)
    text = shown(verdicts(made_up, *load_claims()))
    assert max(map(len, text.splitlines())) <= 100
    assert "reproduced" in text


def test_each_table_of_the_latex_file_fits_a_page(made_up: MadeUp) -> None:
    made_up.plan("quick")
    whole = verdict_table(verdicts(made_up, *load_claims()))
    parts = pages(whole)
    assert [row for part in parts for row in part.rows] == list(whole.rows)
    assert max(len(part.rows) for part in parts) <= 12
    assert len({part.name for part in parts}) == len(parts) > 5
    assert [part.notes for part in parts[:-1]] == [()] * (len(parts) - 1)
    assert parts[-1].notes == whole.notes
    assert parts[0].caption == whole.caption
    assert pages(replace(whole, rows=whole.rows[:3])) == [replace(whole, rows=whole.rows[:3])]


def test_the_tidy_form(made_up: MadeUp) -> None:
    made_up.plan("quick")
    made_up.run("dropout", 71.0, dirty=True, commit=None)
    frame = verdict_frame(verdicts(made_up, fails("dropout"), BEATS))
    assert list(frame.columns) == [
        *("claim", "sentence", "where", "experiment", "sweep", "scale", "outcome", "effect", "interval", "p", "q"),
        *("seeds", "decided_at", "statement", "flags", "power", "seeds_needed"),
    ]
    assert frame["outcome"].tolist() == ["not run", "not run"]
    assert frame["decided_at"].tolist() == ["paper", "paper"]
    assert frame["flags"].iloc[0] == "uncommitted changes: 1 of 1 run"


def gradients(direct: float, negative: Sequence[float]) -> str:
    """Return a file of signals of one unit; `negative` is its share before and after training, the latter by seed."""
    text = HEADER
    for iteration, share in zip((0, 1_800), negative, strict=True):
        unit = UnitSignals(1, signal=1, gradient=4, direct=direct * 2, residual=1, negative=share, scale=1)
        text += lines(iteration, [unit, UnitSignals(2, signal=1, gradient=2, direct=2)])
    return text


HALF = claim("shortcuts", kind="lower_than", lower="dropout", higher=["original"], quantity="direct_term")
HALF_IN_STAGE = {"kind": "lower_than", "lower": "dropout", "higher": ["original"], "quantity": "direct_term_in_stage"}
LIFTS = claim(
    "shortcuts", kind="lower_than", lower="original", higher=["original"], quantity="negative", than="negative_before"
)


def test_claims_on_recorded_signals(made_up: MadeUp) -> None:
    made_up.plan("quick", SEEDS)
    for seed in SEEDS:
        made_up.run("original", 9.0, seed, signals=gradients(0.5 + seed / 100, (0.25, 0.5 + seed / 100)))
        made_up.run("dropout", 9.0, seed, signals=gradients(0.1, (0.25, 0.25)))
    half, lifts = verdicts(made_up, HALF, LIFTS)
    assert half.finding.outcome == "reproduced"
    assert half.finding.effect == "×5.2, as claimed"
    assert "dropout shortcut”: 10 %" in half.finding.statement
    assert lifts.finding.outcome == "contradicted"
    shown = (
        "negative values before training in “original”: 25.00 %, negative values after training in “original”: 52.00 %"
    )
    assert shown in lifts.finding.statement


def test_the_direct_term_inside_a_stage(made_up: MadeUp) -> None:
    """Unit 3 of the two stages of two units changes the shape of x: the terms up to there do not count."""

    def steps(in_stage: float, before: float) -> str:
        direct = [before] * 3 + [in_stage, 1.0]
        return HEADER + lines(
            1_800, [UnitSignals(unit, signal=1, gradient=1, direct=term) for unit, term in enumerate(direct, start=1)]
        )

    made_up.plan("quick", SEEDS)
    for seed in SEEDS:
        made_up.run("original", 9.0, seed, signals=steps(1.0, 0.01 + seed / 1000))
        made_up.run("dropout", 9.0, seed, signals=steps(0.5 + seed / 100, 0.4))
    found = [found.finding for found in verdicts(made_up, HALF, claim("shortcuts", **HALF_IN_STAGE))]
    assert [finding.outcome for finding in found] == ["contradicted", "reproduced"]
    assert found[1].effect == "×1.92, as claimed"
    assert "at the second unit of the last stage of “original”: 100 %" in found[1].statement


@pytest.mark.parametrize(
    ("original", "dropout", "effect", "interval"),
    [
        ([0.5] * 5, [0.0] * 5, "50 % against 0 %, as claimed", "unbounded"),
        ([0.5] * 5, [0.0, 0.0, 0.0, 0.25, 0.25], "50 % against 0 %, as claimed", "×2 and more"),
        ([0.0] * 5, [0.5] * 5, "×0, against the claim", "×0 to ×0"),
        ([0.0] * 5, [0.0] * 5, "0 % against 0 %, neither way", "×1 to ×1"),
    ],
)
def test_a_direct_term_may_be_zero(
    made_up: MadeUp, original: list[float], dropout: list[float], effect: str, interval: str
) -> None:
    """So is that of half the shortcut, where no path through positive values is left: there is no ratio to it."""
    made_up.plan("quick", SEEDS)
    for seed in SEEDS:
        made_up.run("original", 9.0, seed, signals=gradients(original[seed], (0.25, 0.5)))
        made_up.run("dropout", 9.0, seed, signals=gradients(dropout[seed], (0.25, 0.5)))
    (half,) = verdicts(made_up, HALF)
    assert half.finding.effect == effect
    assert half.finding.interval == f"{interval} (96.83 %)"
    assert ": 0 %" in half.finding.statement


def test_a_run_without_signals_does_not_count(made_up: MadeUp) -> None:
    made_up.plan("quick", SEEDS)
    for seed in SEEDS:
        made_up.run("original", 9.0, seed, signals=gradients(0.5, (0.25, 0.5)) if seed < 2 else "")
        made_up.run("dropout", 9.0, seed)
    half, lifts = verdicts(made_up, HALF, LIFTS)
    assert (half.finding.outcome, half.seeds) == ("not run", "n = 0/5")
    assert half.finding.statement.endswith("not judged because no run of “dropout shortcut” has recorded its signals.")
    assert half.flags == ("without recorded signals: 8 of 10 runs",)
    assert (lifts.finding.outcome, lifts.seeds) == ("inconclusive", "n = 2/5")
