"""experiments/claims.yaml: each claim speaks of cells that are there and is what the papers' own numbers say."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import declared
import pytest
import yaml
from made_up import Declare

from resnet_ablations import experiments
from resnet_ablations.errors import UserError
from resnet_ablations.experiments import Experiment, Quantity, experiment_names, load_experiment, paper_curve
from resnet_ablations.report.claims.claim_file import Claim, load_claims
from resnet_ablations.report.claims.relations import AsPrinted, Fails, GapGrows, LowerThan, Within
from resnet_ablations.report.frame import FAIL

CLAIMS = load_claims()
WITHOUT_NUMBERS = {"exclusive_gating_bias", "plain_110_fails"}
"""What the paper says in words alone."""


def test_the_claims_are_no_experiment() -> None:
    assert "claims" not in experiment_names()
    with pytest.raises(UserError, match="no such experiment"):
        load_experiment("claims")


@pytest.mark.parametrize(
    ("experiment", "kind", "least"),
    [
        ("shortcuts", "lower_than", 13),
        ("shortcuts", "fails", 5),
        ("shortcuts", "within", 1),
        ("activations", "lower_than", 7),
        ("activations", "within", 2),
        ("preactivation", "lower_than", 7),
        ("preactivation", "gap_grows", 2),
        ("depth", "gap_grows", 1),
        ("imagenet_options", "lower_than", 4),
        ("imagenet_options", "within", 1),
        ("layer_responses", "lower_than", 2),
    ],
)
def test_what_the_papers_claim_is_there(experiment: str, kind: str, least: int) -> None:
    assert sum(c.experiment == experiment and c.relation.kind == kind for c in CLAIMS) >= least


def test_every_row_of_table_1_fails_or_does_not_as_printed() -> None:
    said = {
        cell: claim.relation.never
        for claim in CLAIMS
        if claim.experiment == "shortcuts" and isinstance(claim.relation, Fails)
        for cell in claim.relation.of
    }
    assert said == {row.id: cell.printed != "fail" for row, _, cell in load_experiment("shortcuts").cells()}


def test_identity_is_held_against_every_other_shortcut() -> None:
    others = [
        cell
        for claim in CLAIMS
        if isinstance(claim.relation, LowerThan) and claim.relation.lower == "original"
        if claim.relation.quantity == "value"
        for cell in claim.relation.higher
    ]
    assert sorted(others) == sorted(row.id for row in load_experiment("shortcuts").rows if row.id != "original")


def number(experiment: Experiment, name: str) -> float:
    cells = {f"{row.id}/{column.id}": cell for row, column, cell in experiment.cells()}
    cell = cells[experiment.full_cell_id(name)]
    if cell.printed == "fail":
        return FAIL + 0.01
    value = cell.digitised if cell.printed is None else cell.printed
    assert value is not None, name
    return value


def end(experiment: Experiment, name: str, quantity: Quantity) -> float:
    """The end of a digitised curve."""
    cells = {f"{row.id}/{column.id}": cell for row, column, cell in experiment.cells()}
    curve = paper_curve(cells[experiment.full_cell_id(name)].curve or "", quantity)
    assert curve is not None, name
    return statistics.geometric_mean(curve[curve.index > 0.9 * curve.index.max()])


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.id not in WITHOUT_NUMBERS], ids=lambda claim: claim.id)
def test_the_papers_own_numbers_say_so(claim: Claim) -> None:
    experiment, relation = load_experiment(claim.experiment), claim.relation
    of: Callable[[str], float] = lambda name: number(experiment, name)  # noqa: E731
    match relation:
        case LowerThan(quantity="train_loss" | "train_error" as quantity):
            lower = end(experiment, relation.lower, quantity)
            assert all(lower < end(experiment, higher, quantity) for higher in relation.higher)
        case LowerThan():
            assert all(of(relation.lower) < of(higher) for higher in relation.higher)
        case Fails():
            assert all((of(cell) > FAIL) != relation.never for cell in relation.of)
        case Within():
            assert abs(of(relation.cell) - of(relation.of)) <= relation.points
        case AsPrinted():
            assert isinstance(of(relation.cell), float)
        case GapGrows():
            gaps = [of(first) - of(second) for first, second in relation.pairs]
            assert sorted(set(gaps)) == gaps


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
    (declared.METHODS, lower("r1001/c10", "nin/c10"), "one: nin is not ours to run"),
    (declared.DEPTHS, lower("d20/plain", "d20/plain_train"), "different metrics: test_error, train_error"),
    (
        declared.RESPONSES,
        {"id": "one", "relation": {"kind": "fails", "of": ["plain20/mean"]}},
        "fails is about errors, not about response_mean",
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
        {"id": "one", "relation": {"kind": "within", "cell": "pre/r110", "of": "bn/r110", "points": 0}},
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
    assert "one: two claims have this id" in error.value.messages[0]


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
