"""The papers' claims: the schema of `experiments/claims.yaml`."""

from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resnet_ablations import experiments
from resnet_ablations.errors import UserError, mistakes_in_file, reason_in_yaml
from resnet_ablations.experiments import CLAIMS, Experiment, load_experiment
from resnet_ablations.report.claims.relations import AsPrinted, Bounded, LowerThan, Lowest, Within
from resnet_ablations.report.frame import is_error

TOP1 = ("test_error", "crop320_error", "crops10_error")
"""The metrics that differ in the crops alone, so that a claim may compare them."""


class Claim(BaseModel):
    """A claim: a sentence in our words, where the paper makes it, and the relation between cells that it states."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    sentence: str
    where: str
    experiment: str
    relation: Annotated[LowerThan | Lowest | Within | AsPrinted | Bounded, Field(discriminator="kind")]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    claims: list[Claim]


def load_claims() -> list[Claim]:
    """Return the claims in `experiments/claims.yaml`, or an empty list if the file does not exist.

    Raise one `UserError` with all mistakes: invalid YAML or fields, repeated ids, claims that do not fit their cells.
    """
    path = experiments.EXPERIMENTS / f"{CLAIMS}.yaml"
    if not path.exists():
        return []
    try:
        claims = _File.model_validate(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)).claims
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {reason_in_yaml(error)}") from None
    except ValidationError as error:
        raise UserError(*(f"{path}: {mistake}" for mistake in mistakes_in_file(error))) from None
    ids = [claim.id for claim in claims]
    mistakes = [f"{path}: several claims have the id {name}" for name in sorted({i for i in ids if ids.count(i) > 1})]
    declared = {name: load_experiment(name) for name in dict.fromkeys(claim.experiment for claim in claims)}
    for claim in claims:
        mistakes += [f"{path}: {claim.id}: {mistake}" for mistake in _mistakes(claim, declared[claim.experiment])]
    if mistakes:
        raise UserError(*mistakes)
    return claims


def deciding_scales(claim: Claim) -> list[str]:
    """Return the scales of the claim's experiment that can decide it with their declared seeds."""
    return [
        name
        for name, scale in load_experiment(claim.experiment).scales.items()
        if scale.prefix_of is None and len(scale.seeds) >= claim.relation.seeds
        if name == "paper" or not claim.relation.is_absolute
    ]


def _mistakes(claim: Claim, experiment: Experiment) -> list[str]:
    relation = claim.relation
    known = {f"{row.id}/{column.id}": (row, column, cell) for row, column, cell in experiment.cells()}
    ids = {name: experiment.full_cell_id(name) for name in relation.cells}
    if unknown := [name for name, cell_id in ids.items() if cell_id not in known]:
        return [f"no cell {', '.join(unknown)} in {experiment.name}; allowed: {', '.join(known)}"]
    found = {name: known[cell_id] for name, cell_id in ids.items()}
    not_ours = "is another author’s method and is never run here"
    mistakes = [f"row {row.id} {not_ours}" for row, _, _ in found.values() if not row.configurations]
    for name in relation.sole:
        row, _, cell = found[name]
        if len(row.configurations) > 1:
            mistakes.append(f"{name} has {len(row.configurations)} configurations; {relation.kind} needs a single one")
        if isinstance(relation, AsPrinted) and not isinstance(cell.printed, float):
            mistakes.append(f"the paper prints no number for {name}")
    metrics = sorted({cell.metric or column.metric for _, column, cell in found.values()})
    if len({"top-1" if metric in TOP1 else metric for metric in metrics}) > 1:
        mistakes.append(f"its cells show different metrics: {', '.join(metrics)}")
    if relation.is_absolute and not all(map(is_error, metrics)):
        mistakes.append(f"{relation.kind} is about errors, not about {', '.join(metrics)}")
    return mistakes
