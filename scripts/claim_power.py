"""Write the power of each claim to `experiments/power.csv`, and the table of docs/statistics.md.

    python scripts/claim_power.py

The power is the probability that five seeds reproduce the claim if the paper's own numbers are true. It is simulated.
"""

import math
import zlib
from collections.abc import Sequence
from functools import cache

import pandas as pd

from resnet_ablations import experiments
from resnet_ablations.experiments import Experiment, load_experiment, paper_curve
from resnet_ablations.paths import ROOT
from resnet_ablations.report.claims import rules
from resnet_ablations.report.claims.claim_file import Claim, load_claims
from resnet_ablations.report.claims.evidence import SIGNALS, ClaimQuantity, NotJudged, Sample, SamplesOf
from resnet_ablations.report.claims.power import MOST_SEEDS, SEEDS, seeds_text
from resnet_ablations.report.claims.relations import Bounded
from resnet_ablations.report.claims.wording import RESPONSE
from resnet_ablations.report.curves import mean_of
from resnet_ablations.report.frame import FAIL
from resnet_ablations.streams import Purpose, Stream

SPREAD, SHARE = 0.2, 0.1
"""The standard deviation over seeds that is assumed: 0.2 points, but at most a tenth of the number."""
MORE_SEEDS = (6, 8, 10, 15, 20, 30, MOST_SEEDS)
"""The numbers of seeds that are tried if five have a power below one half."""
ENOUGH = 0.8
"""The power that `MORE_SEEDS` must reach."""
DRAWS = 1_000
"""The number of simulated sweeps."""
LAST_COMPARABLE = 450_000
"""The iteration up to which v1's Fig. 4 has the learning rates of our ImageNet schedule."""
DOCS = ROOT / "docs" / "statistics.md"
BEGIN, END = "<!-- begin power: written by python scripts/claim_power.py -->\n", "<!-- end power -->"


def paper_number(experiment: Experiment, name: str, quantity: ClaimQuantity = "value") -> float:
    """Return the paper's number of a cell, 20 for "fail", the logarithm of a loss; NaN if the paper has none."""
    cells = {f"{row.id}/{column.id}": cell for row, column, cell in experiment.cells()}
    cell = cells[experiment.full_cell_id(name)]
    if quantity == "value":
        number = cell.digitised if cell.printed is None else cell.printed
        return FAIL if number == "fail" else math.nan if number is None else float(number)
    curve = paper_curve(cell.curve or "", "train_loss" if quantity == "train_loss" else "train_error")
    return (
        math.nan
        if curve is None or quantity in SIGNALS
        else mean_of(quantity, curve, min(int(curve.index.max()), LAST_COMPARABLE))
    )


def power(claim: Claim, seeds: int, draws: int = DRAWS) -> float:
    """Return the share of simulated sweeps that reproduce a claim; NaN if the paper's numbers do not suffice."""
    experiment = load_experiment(claim.experiment)
    stream = Stream(zlib.crc32(claim.id.encode()), Purpose.SIMULATIONS, seeds)
    try:
        of = _simulated(claim, experiment, seeds, stream)
        levels = (rules.every([tested for tested, _ in claim.relation.compare(of)]).claim for _ in range(draws))
        return sum(level <= claim.relation.level for level in levels) / draws
    except NotJudged:
        return math.nan


def _simulated(claim: Claim, experiment: Experiment, seeds: int, stream: Stream) -> SamplesOf:
    configurations = {row.id: len(row.configurations) for row in experiment.rows}

    @cache
    def number_of(name: str, quantity: ClaimQuantity) -> float:
        number = paper_number(experiment, name, quantity)
        if math.isnan(number) or (isinstance(claim.relation, Bounded) and number == FAIL):
            raise NotJudged("the paper gives no number")
        return number

    def of(name: str, quantity: ClaimQuantity) -> list[Sample]:
        number = number_of(name, quantity)
        spread = SHARE if quantity == "train_loss" else min(SPREAD, SHARE * number)
        several = configurations[experiment.full_cell_id(name).partition("/")[0]]
        draws = stream.normal(number, spread, (several, seeds)).tolist()
        return [Sample(name, name, "", numbers, RESPONSE, number) for numbers in draws]

    return of


def power_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """Return the power of each claim with five seeds; below one half, also the seeds for 80 % (51: more than 50)."""
    lines = []
    for claim in claims:
        found = power(claim, SEEDS)
        needed = next((n for n in MORE_SEEDS if power(claim, n) >= ENOUGH), MOST_SEEDS + 1) if found < 0.5 else None
        lines.append((claim.id, found, needed))
    table = pd.DataFrame(lines, columns=["claim", "power", "seeds_needed"])
    return table.astype({"seeds_needed": "Int64"}).set_index("claim")


def documented(table: pd.DataFrame) -> str:
    """Return the table of docs/statistics.md: the claims that five seeds reproduce in fewer than 95 % of cases."""
    few = table[table["power"] < 0.95].sort_values("power")
    lines = [f"| `{claim}` | {power:.2f} | {seeds_text(needed)} |" for claim, power, needed in few.itertuples()]
    without = ", ".join(f"`{claim}`" for claim in table.index[table["power"].isna()])
    head = ["| claim | five seeds | seeds for 80 % |", "| --- | ---: | ---: |"]
    return "\n".join([*head, *lines, "", f"No number of the paper tells the power of {without}.", ""])


if __name__ == "__main__":
    table = power_table(load_claims())
    table.to_csv(experiments.EXPERIMENTS / "power.csv", float_format="%.3f")
    head, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
    DOCS.write_text(f"{head}{BEGIN}\n{documented(table)}\n{END}{rest.split(END)[1]}", encoding="utf-8")
