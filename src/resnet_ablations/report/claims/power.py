"""The power of each claim, read from `experiments/power.csv`, which `scripts/claim_power.py` writes.

The power is the probability that five seeds reproduce the claim if the paper's own numbers are true.
"""

import pandas as pd

from resnet_ablations import experiments
from resnet_ablations.report.claims.claim_file import load_claims

SEEDS, MOST_SEEDS = 5, 50
"""The number of seeds in the definition of power, and the largest number that is tried for a higher power."""


def load_power() -> pd.DataFrame:
    """Return the table of `experiments/power.csv`, empty if the file does not exist."""
    path = experiments.EXPERIMENTS / "power.csv"
    if not path.exists():
        return pd.DataFrame(columns=["power", "seeds_needed"])
    return pd.read_csv(path, index_col="claim", dtype={"seeds_needed": "Int64"})


def seeds_text(needed: int) -> str:
    """Return the number of seeds that are needed as text, empty if unknown."""
    return "" if pd.isna(needed) else f"{needed}" if needed <= MOST_SEEDS else f"more than {MOST_SEEDS}"


def advice(experiment: str, scale: str, seeds: int) -> list[str]:
    """Return sentences on the claims that a sweep with this number of seeds can decide."""
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
