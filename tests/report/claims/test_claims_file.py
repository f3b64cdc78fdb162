"""experiments/claims.yaml: each claim speaks of cells that are there and is what the papers' own numbers say."""

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import declared
import pandas as pd
import pytest
import yaml
from made_up import Declare

from resnet_ablations import experiments
from resnet_ablations.errors import UserError
from resnet_ablations.experiments import experiment_names, load_experiment
from resnet_ablations.paths import ROOT
from resnet_ablations.report.claims.claim_file import Claim, load_claims
from resnet_ablations.report.claims.relations import AsPrinted, Bounded, LowerThan, Lowest, Within
from resnet_ablations.report.frame import FAIL
from scripts.claim_power import paper_number

CLAIMS = load_claims()
WITHOUT_NUMBERS = {
    "exclusive_gating_bias",
    "half_the_shortcut_lowers_the_direct_gradient",
    "half_of_both_lowers_the_direct_gradient",
    "dropout_lowers_the_direct_gradient",
    "half_open_gates_lower_the_direct_gradient",
    "biased_gates_are_nearer_to_the_identity",
    "identity_after_addition_passes_the_direct_gradient",
    "training_lifts_y_above_zero",
    "relu_cuts_off_more_in_resnet1001",
    "plain_110_hardly_learns",
    "preactivation_regularises_resnet110",
    "preactivation_regularises_resnet110_1layer",
    "preactivation_regularises_cifar100",
    "preactivation_1001_trains_best",
    "original_resnet200_overfits",
}
"""The claims that the paper states in words alone."""


def test_the_claims_are_no_experiment() -> None:
    assert "claims" not in experiment_names()
    with pytest.raises(UserError, match="no such experiment"):
        load_experiment("claims")


ADDED = [
    # v2, p. 12: a higher training loss with the lower error
    ("preactivation", "lower_than", "cifar10_resnet110/original", "train_loss"),
    ("preactivation", "lower_than", "cifar10_resnet110_1layer/original", "train_loss"),
    ("preactivation", "lower_than", "cifar100_resnet164/original", "train_loss"),
    ("preactivation", "lowest", "cifar10_resnet1001/preactivation", "train_loss"),
    ("imagenet_preactivation", "lower_than", "resnet152_320/top1", "value"),
    ("imagenet_preactivation", "lower_than", "preactivation_resnet200_320/top1", "value"),
    ("imagenet_preactivation", "lower_than", "resnet200_320/top1", "train_error"),
    ("depth", "below", "depth1202/resnet_train", ""),
    ("depth", "above", "depth110/plain_test", ""),
    ("imagenet_options", "lower_than", "resnet34_b/top1", "value"),
    ("imagenet_options", "lower_than", "resnet34_c/top1", "value"),
    ("imagenet_options", "lower_than", "resnet18/top1", "early_train_error"),
    ("shortcuts", "as_printed", "constant_scaling_0.5_0.5", ""),
    ("shortcuts", "as_printed", "exclusive_gating_-6", ""),
    ("shortcuts", "as_printed", "shortcut_only_gating_0", ""),
    ("shortcuts", "as_printed", "shortcut_only_gating_-6", ""),
    ("shortcuts", "as_printed", "conv1x1", ""),
    ("gate_bias", "lowest", "-6/exclusive", "value"),
    # v2, sections 2, 3.1 and 4.2
    ("shortcuts", "lower_than", "constant_scaling_0.5_1", "direct_term"),
    ("activations", "lower_than", "original/resnet110", "direct_term_in_stage"),
    ("preactivation", "lower_than", "cifar10_resnet164/original", "negative"),
]
"""Experiment, kind, first cell and quantity of claims that the papers make."""


@pytest.mark.parametrize(("experiment", "kind", "cell", "quantity"), ADDED)
def test_every_claim_of_the_papers_is_in_the_file(experiment: str, kind: str, cell: str, quantity: str) -> None:
    assert any(
        claim.experiment == experiment
        and claim.relation.kind == kind
        and claim.relation.cells[0] == cell
        and getattr(claim.relation, "quantity", "") == quantity
        for claim in CLAIMS
    )


def test_no_claim_is_in_the_file_that_the_papers_do_not_make() -> None:
    """No gap that grows at every depth, no gain from aspect ratios or small batches, whose rows are other recipes."""
    cells = {cell for claim in CLAIMS if not claim.relation.is_absolute for cell in claim.relation.cells}
    assert not cells & {"preactivation_resnet200_320_aspect/top1", "preactivation_resnet1001_64/cifar10"}
    assert {claim.relation.kind for claim in CLAIMS} == {
        "lower_than",
        "lowest",
        "within",
        "as_printed",
        "above",
        "below",
    }


def test_no_two_claims_are_the_same_comparison_of_the_same_runs() -> None:
    """Two tables may share runs; a comparison of them is one claim. Cells are told apart by all their overrides."""
    seen: dict[str, str] = {}
    for claim in CLAIMS:
        experiment = load_experiment(claim.experiment)
        configurations = {
            f"{row.id}/{column.id}": [
                cell.metric or column.metric,
                *sorted(
                    {*DEFAULTS, *experiment.overrides, *experiment.scales["paper"].overrides}
                    | {*column.overrides, *lines, *cell.overrides}
                ),
            ]
            for row, column, cell in experiment.cells()
            for lines in row.configurations[:1]
        }
        relation = claim.relation.model_dump()
        for name in ("cell", "other", "lower", "of", "higher"):
            if name in relation:
                cells = [relation[name]] if isinstance(relation[name], str) else relation[name]
                relation[name] = [configurations[experiment.full_cell_id(cell)] for cell in cells]
        key = str(sorted(relation.items()))
        assert key not in seen, f"{claim.id} is {seen[key]}"
        seen[key] = claim.id


DEFAULTS = ("shortcut=identity", "activation=original")


def test_tolerances_follow_their_rule() -> None:
    """docs/statistics.md: twice the spread between implementations around printed numbers."""
    for claim in CLAIMS:
        if isinstance(claim.relation, AsPrinted):
            printed = paper_number(load_experiment(claim.experiment), claim.relation.cell)
            assert claim.relation.points == (0.8 if printed < 10 else 1.5), claim.id
    others = pd.read_csv(experiments.EXPERIMENTS / "independent.csv").query("network == 'ResNet-110'")["value"].tolist()
    text = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    spread = statistics.stdev(others)
    assert f"range from {min(others)} to {max(others)} % (mean {statistics.mean(others):.2f}, SD {spread:.2f})" in text
    assert round(2 * spread, 1) == 0.8


def test_every_row_of_table_1_fails_or_does_not_as_printed() -> None:
    said = {
        cell: claim.relation.kind
        for claim in CLAIMS
        if claim.experiment == "shortcuts" and isinstance(claim.relation, Bounded)
        if claim.relation.percent == FAIL
        for cell in claim.relation.of
    }
    assert said == {
        row.id: "above" if cell.printed == "fail" else "below" for row, _, cell in load_experiment("shortcuts").cells()
    }


def test_identity_is_held_against_every_other_shortcut() -> None:
    others = [
        cell
        for claim in CLAIMS
        if isinstance(claim.relation, LowerThan) and claim.relation.lower == "original"
        if claim.relation.quantity == "value"
        for cell in claim.relation.higher
    ]
    assert sorted(others) == sorted(row.id for row in load_experiment("shortcuts").rows if row.id != "original")


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.id not in WITHOUT_NUMBERS], ids=lambda claim: claim.id)
def test_the_papers_own_numbers_say_so(claim: Claim) -> None:
    experiment, relation = load_experiment(claim.experiment), claim.relation
    quantity = getattr(relation, "quantity", "value")
    of: Callable[[str], float] = lambda name: paper_number(experiment, name, quantity)  # noqa: E731
    match relation:
        case LowerThan():
            assert all(of(relation.lower) < of(higher) for higher in relation.higher)
        case Lowest():
            assert all(of(relation.cell) < of(other) for other in relation.of)
        case Bounded():
            for name in relation.of:
                least = FAIL + 0.01 if of(name) == FAIL else of(name)
                assert (least > relation.percent) == (relation.kind == "above")
        case Within():
            assert abs(of(relation.cell) - of(relation.other)) <= relation.points
        case AsPrinted():
            assert isinstance(of(relation.cell), float)


@pytest.mark.parametrize("name", sorted(WITHOUT_NUMBERS))
def test_claims_without_numbers_have_none(name: str) -> None:
    (claim,) = (claim for claim in CLAIMS if claim.id == name)
    quantity = getattr(claim.relation, "quantity", "value")
    numbers = [paper_number(load_experiment(claim.experiment), cell, quantity) for cell in claim.relation.cells]
    assert any(map(math.isnan, numbers))


def test_sentences_are_ones_and_say_no_number_of_the_papers() -> None:
    """They stand beside verdicts of scaled-down runs, too."""
    assert len({claim.sentence for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert not claim.sentence.endswith("."), claim.id
        assert "%" not in claim.sentence, claim.id
        assert claim.where.startswith(("v1, ", "v2, ")), claim.id


def file_of(declare: Declare, text: str, *claims: dict[str, Any]) -> Path:
    declare(text)
    path = experiments.EXPERIMENTS / "claims.yaml"
    whole = {"sentence": "A sentence", "where": "v2, Table 2", "experiment": "declared"}
    path.write_text(yaml.safe_dump({"claims": [whole | claim for claim in claims]}), encoding="utf-8")
    return path


def lower(low: str, *higher: str, name: str = "one") -> dict[str, Any]:
    return {"id": name, "relation": {"kind": "lower_than", "lower": low, "higher": list(higher)}}


def test_a_claims_file_is_read(declare: Declare) -> None:
    file_of(declare, declared.PLACEMENTS, lower("pre/r110", "original/r110"))
    (claim,) = load_claims()
    assert (claim.id, claim.relation.cells) == ("one", ["pre/r110", "original/r110"])


def test_without_a_file_there_are_no_claims(declare: Declare) -> None:
    declare(declared.PLACEMENTS)
    assert load_claims() == []


WRONG: list[tuple[str, dict[str, Any], str]] = [
    (
        declared.PLACEMENTS,
        lower("pre/r11", "original/r110"),
        "one: no cell pre/r11 in declared; allowed: original/r110",
    ),
    (declared.PLACEMENTS, lower("pre", "original/r110"), "one: no cell pre in declared"),
    (declared.METHODS, lower("r1001/c10", "nin/c10"), "one: row nin is another author’s method and is never run here"),
    (declared.DEPTHS, lower("d20/plain", "d20/plain_train"), "different metrics: test_error, train_error"),
    (
        declared.RESPONSES,
        {"id": "one", "relation": {"kind": "above", "percent": 20, "of": ["plain20/mean"]}},
        "above is about errors, not about response_mean",
    ),
    (
        declared.DEPTHS,
        {"id": "one", "relation": {"kind": "as_printed", "cell": "d20/plain", "points": 1}},
        "the paper prints no number for d20/plain",
    ),
    (
        declared.PLACEMENTS,
        {"id": "one", "relation": {"kind": "like", "cell": "pre/r110"}},
        "claims.0.relation: .*'like'",
    ),
    (
        declared.PLACEMENTS,
        {"id": "one", "relation": {"kind": "within", "cell": "pre/r110", "other": "bn/r110", "points": 0}},
        "claims.0.relation.within.points: .*greater than 0",
    ),
    (declared.PLACEMENTS, {"id": "one"}, "claims.0.relation: Field required"),
    (declared.PLACEMENTS, lower("pre/r110", "bn/r110") | {"experiment": "gone"}, "experiment=gone: no such experiment"),
    (declared.PLACEMENTS, lower("pre/r110", "bn/r110", name="A b"), "claims.0.id: "),
]


@pytest.mark.parametrize(("text", "claim", "message"), WRONG)
def test_a_wrong_claim_is_named(declare: Declare, text: str, claim: dict[str, Any], message: str) -> None:
    path = file_of(declare, text, claim)
    with pytest.raises(UserError, match=message) as error:
        load_claims()
    if "gone" not in message:
        assert all(str(path) in line for line in error.value.messages)


def test_all_mistakes_at_once(declare: Declare) -> None:
    wrong = lower("pre/r110", "there/r110")
    file_of(declare, declared.PLACEMENTS, wrong, wrong)
    with pytest.raises(UserError) as error:
        load_claims()
    assert len(error.value.messages) == 3
    assert "several claims have the id one" in error.value.messages[0]


def test_crops_of_one_kind_of_error_can_be_compared(declare: Declare) -> None:
    file_of(declare, declared.CROPS, lower("r152_320/top1", "r152_224/top1"))
    assert len(load_claims()) == 1
    file_of(declare, declared.CROPS, lower("r152_320/top5", "r152_224/top1"))
    with pytest.raises(UserError, match="different metrics: crop320_top5_error, test_error"):
        load_claims()


def test_a_cell_of_several_configurations(declare: Declare) -> None:
    several = declared.PLACEMENTS.replace("[[activation=bn]]", "[[activation=bn], [activation=bn2]]")
    file_of(declare, several, lower("bn/r110", "pre/r110"))
    with pytest.raises(UserError, match="bn/r110 has 2 configurations"):
        load_claims()
    file_of(declare, several, lower("pre/r110", "bn/r110"))
    assert len(load_claims()) == 1


@pytest.mark.parametrize("text", ["- a\n", "claims: [\n", ""])
def test_a_broken_file(declare: Declare, text: str) -> None:
    path = file_of(declare, declared.PLACEMENTS)
    path.write_text(text)
    with pytest.raises(UserError, match=r"claims\.yaml: "):
        load_claims()
