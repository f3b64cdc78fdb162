"""The power of each claim: simulated with the paper's numbers, in experiments/power.csv and docs/statistics.md."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats  # type: ignore[import-untyped]

from resnet_ablations.experiments import load_experiment
from resnet_ablations.report.claims.claim_file import deciding_scales, load_claims
from resnet_ablations.report.claims.power import SEEDS, advice, load_power
from scripts.claim_power import BEGIN, DOCS, END, ENOUGH, SPREAD, documented, paper_number, power, power_table

CLAIMS = {claim.id: claim for claim in load_claims()}


def test_the_file_and_the_documentation_have_the_power_of_each_claim() -> None:
    """`python scripts/claim_power.py` writes both."""
    table = power_table(list(CLAIMS.values()))
    pd.testing.assert_frame_equal(load_power(), table, atol=0.0005)
    assert documented(table) in DOCS.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]


@pytest.mark.parametrize("name", ["identity_beats_shortcut_only_gating_6", "full_preactivation_is_better_resnet164"])
def test_the_power_of_a_difference_by_another_simulation(name: str) -> None:
    """Five against five reject, as claimed, if at least 23 of the 25 pairs are as claimed (4 of 252 by chance)."""
    relation, experiment = CLAIMS[name].relation, load_experiment(CLAIMS[name].experiment)
    low, high = (paper_number(experiment, cell) for cell in relation.cells)
    rng = np.random.default_rng(1)
    first, second = rng.normal(low, SPREAD, (20_000, 5, 1)), rng.normal(high, SPREAD, (20_000, 1, 5))
    expected = ((first < second).sum((1, 2)) >= 23).mean()
    assert power(CLAIMS[name], SEEDS) == pytest.approx(expected, abs=0.05)


def test_the_power_of_a_printed_number_by_hand() -> None:
    """All five runs have to lie within the tolerance."""
    inside = stats.norm.cdf(0.8, scale=SPREAD) - stats.norm.cdf(-0.8, scale=SPREAD)
    assert power(CLAIMS["original_as_printed"], SEEDS) == pytest.approx(inside**5, abs=0.01)
    assert power(CLAIMS["original_as_printed"], 4) == 0


def test_power_grows_with_seeds_and_needs_a_number_of_the_paper() -> None:
    weak = CLAIMS["relu_before_addition_is_worse_resnet164"]
    assert power(weak, 5, 200) < power(weak, 10, 200) < power(weak, 20, 200)
    for name in ("plain_fails", "exclusive_gating_bias", "plain_110_hardly_learns"):
        assert math.isnan(power(CLAIMS[name], 5, 10))
    assert power(CLAIMS["identity_beats_dropout"], 5, 50) == 1, "“fail” is 20 % at least"


def test_below_one_half_there_are_the_seeds_that_do() -> None:
    table = load_power()
    weak = table[table["power"] < 0.5]
    assert set(table.index) == set(CLAIMS)
    assert weak["seeds_needed"].notna().all()
    assert table.loc[table.index.difference(weak.index), "seeds_needed"].isna().all()
    name, needed = "option_c_beats_b_by_little", int(weak.loc["option_c_beats_b_by_little", "seeds_needed"])
    assert power(CLAIMS[name], needed) >= ENOUGH > power(CLAIMS[name], 20)


def test_claims_that_no_declared_scale_can_decide() -> None:
    """One seed is declared where a run takes days, and for the search for b_g; one run decides nothing."""
    undecided = {name for name, claim in CLAIMS.items() if not deciding_scales(claim)}
    with_one_seed = {"imagenet_options", "imagenet_preactivation", "gate_bias"}
    assert undecided == {name for name, claim in CLAIMS.items() if claim.experiment in with_one_seed}
    for name, claim in CLAIMS.items():
        for scale in deciding_scales(claim):
            assert len(load_experiment(claim.experiment).scales[scale].seeds) >= 4, name


def test_a_plan_says_what_its_seeds_can_decide() -> None:
    assert advice("shortcuts", "quick", 1) == ["claims: 0 of 35 can be decided with 1 seed at this scale"]
    with_four, _ = advice("shortcuts", "paper", 4)
    absolute = sum(claim.relation.is_absolute for claim in CLAIMS.values() if claim.experiment == "shortcuts")
    assert with_four == f"claims: {35 - absolute} of 35 can be decided with 4 seeds at this scale"
    _, weak = advice("activations", "paper", 5)
    assert "full_preactivation_is_better_resnet110 (15)" in weak
    assert advice("shortcuts", "early", 5) == advice("lambda", "paper", 5) == []
