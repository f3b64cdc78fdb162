"""The power of each claim: the probability that five seeds reproduce it if the paper's own numbers are true.

`python -m resnet_ablations.report.claims.power` writes `experiments/power.csv` and the table in docs/statistics.md.
"""

import math
import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd

from resnet_ablations import experiments
from resnet_ablations.experiments import Experiment, load_experiment, paper_curve
from resnet_ablations.paths import ROOT
from resnet_ablations.report.claims import rules
from resnet_ablations.report.claims.claim_file import Claim, load_claims
from resnet_ablations.report.claims.evidence import NotJudged, Quantity, Sample, SamplesOf, mean_of
from resnet_ablations.report.claims.relations import Bounded
from resnet_ablations.report.claims.wording import RESPONSE
from resnet_ablations.report.frame import FAIL

SPREAD, SHARE = 0.2, 0.1
"""The standard deviation over seeds that is assumed: 0.2 points, but at most a tenth of the number."""
SEEDS, MORE_SEEDS = 5, (6, 8, 10, 15, 20, 30, 50)
ENOUGH = 0.8
"""The power that `MORE_SEEDS` have to reach."""
DRAWS = 1_000
LAST_COMPARABLE = 450_000
"""The iteration up to which v1's Fig. 4 has the learning rates of our ImageNet schedule."""
DOCS = ROOT / "docs" / "statistics.md"
BEGIN, END = "<!-- begin power: written by python -m resnet_ablations.report.claims.power -->\n", "<!-- end power -->"


def paper_number(experiment: Experiment, name: str, quantity: Quantity = "value") -> float:
    """Return the paper's number of a cell, 20 for "fail", the logarithm of a loss; NaN where the paper has none."""
    cells = {f"{row.id}/{column.id}": cell for row, column, cell in experiment.cells()}
    cell = cells[experiment.full_cell_id(name)]
    if quantity == "value":
        number = cell.digitised if cell.printed is None else cell.printed
        return FAIL if number == "fail" else math.nan if number is None else float(number)
    curve = paper_curve(cell.curve or "", "train_loss" if quantity == "train_loss" else "train_error")
    return math.nan if curve is None else mean_of(quantity, curve, min(int(curve.index.max()), LAST_COMPARABLE))


def power(claim: Claim, seeds: int, draws: int = DRAWS) -> float:
    """Return the share of simulated sweeps that reproduce a claim; NaN where the paper's numbers do not tell."""
    experiment, random = (
        load_experiment(claim.experiment),
        np.random.default_rng([zlib.crc32(claim.id.encode()), seeds]),
    )
    try:
        of = _simulated(claim, experiment, seeds, random)
        levels = (rules.every([tested for tested, _ in claim.relation.compare(of)]).claim for _ in range(draws))
        return sum(level <= claim.relation.level for level in levels) / draws
    except NotJudged:
        return math.nan


def _simulated(claim: Claim, experiment: Experiment, seeds: int, random: np.random.Generator) -> SamplesOf:
    configurations = {row.id: len(row.configurations) for row in experiment.rows}

    @cache
    def number_of(name: str, quantity: Quantity) -> float:
        number = paper_number(experiment, name, quantity)
        if math.isnan(number) or (isinstance(claim.relation, Bounded) and number == FAIL):
            raise NotJudged("the paper gives no number")
        return number

    def of(name: str, quantity: Quantity) -> list[Sample]:
        number = number_of(name, quantity)
        spread = SHARE if quantity == "train_loss" else min(SPREAD, SHARE * number)
        several = configurations[experiment.full_cell_id(name).partition("/")[0]]
        draws = random.normal(number, spread, (several, seeds)).tolist()
        return [Sample(name, name, "", numbers, RESPONSE, number) for numbers in draws]

    return of


def power_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """Return the power of each claim with five seeds; below one half, also the seeds for 80 %, 51 if 50 do not do."""
    lines = []
    for claim in claims:
        found = power(claim, SEEDS)
        needed = next((n for n in MORE_SEEDS if power(claim, n) >= ENOUGH), MORE_SEEDS[-1] + 1) if found < 0.5 else None
        lines.append((claim.id, found, needed))
    table = pd.DataFrame(lines, columns=["claim", "power", "seeds_needed"])
    return table.astype({"seeds_needed": "Int64"}).set_index("claim")


def load_power() -> pd.DataFrame:
    """Return the table of `experiments/power.csv`, empty where there is no such file."""
    path = experiments.EXPERIMENTS / "power.csv"
    if not path.exists():
        return pd.DataFrame(columns=["power", "seeds_needed"])
    return pd.read_csv(path, index_col="claim", dtype={"seeds_needed": "Int64"})


def seeds_text(needed: int) -> str:
    """Return how many seeds do, empty where that is not known."""
    return "" if pd.isna(needed) else f"{needed}" if needed <= MORE_SEEDS[-1] else f"more than {MORE_SEEDS[-1]}"


def documented(table: pd.DataFrame) -> str:
    """Return the table of docs/statistics.md: the claims that five seeds reproduce in fewer than 95 % of cases."""
    few = table[table["power"] < 0.95].sort_values("power")
    lines = [f"| `{claim}` | {power:.2f} | {seeds_text(needed)} |" for claim, power, needed in few.itertuples()]
    without = ", ".join(f"`{claim}`" for claim in table.index[table["power"].isna()])
    head = ["| claim | five seeds | seeds for 80 % |", "| --- | ---: | ---: |"]
    return "\n".join([*head, *lines, "", f"No number of the paper tells the power of {without}.", ""])


def advice(experiment: str, scale: str, seeds: int) -> list[str]:
    """Return what a sweep with so many seeds can decide of the claims on its experiment, in words."""
    claims = [claim for claim in load_claims() if claim.experiment == experiment]
    able = [one for one in claims if seeds >= one.relation.seeds and (scale == "paper" or not one.relation.is_absolute)]
    if not claims or scale == "early":
        return []
    lines = [f"claims: {len(able)} of {len(claims)} can be decided with {seeds} seed{'s' * (seeds != 1)} at this scale"]
    table = load_power().reindex([claim.id for claim in claims])
    if scale == "paper" and len(few := table[table["power"] < 0.5]):
        seeds_of = ", ".join(f"{claim} ({seeds_text(needed)})" for claim, needed in few["seeds_needed"].items())
        lines.append(
            f"claims that {SEEDS} seeds decide in less than half of cases, with the seeds for 80 %: {seeds_of}"
        )
    return lines


if __name__ == "__main__":
    table = power_table(load_claims())
    table.to_csv(experiments.EXPERIMENTS / "power.csv", float_format="%.3f")
    head, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
    DOCS.write_text(f"{head}{BEGIN}\n{documented(table)}\n{END}{rest.split(END)[1]}", encoding="utf-8")
