"""The papers' claims and the relations that they state: the schema of `experiments/claims.yaml`."""

from typing import Annotated, Any, ClassVar, Literal, final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resnet_ablations import experiments
from resnet_ablations.errors import UserError, mistakes_in_file
from resnet_ablations.experiments import CLAIMS, Experiment, load_experiment
from resnet_ablations.report.frame import is_error

Points = Annotated[float, Field(gt=0)]
Names = Annotated[list[str], Field(min_length=1)]
CELL_FIELDS = ("cell", "of", "lower", "higher", "pairs")
"""The fields of a relation that name cells."""


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Relation(_Declared):
    """A relation between cells, each named `ROW/COLUMN`, or `ROW` where there is one column."""

    is_about_errors: ClassVar[bool] = False
    several: ClassVar[str | None] = None
    """The field whose cells may have several configurations."""

    @property
    def cells(self) -> list[str]:
        """All cells of the relation."""
        return _flat([value for name, value in self if name in CELL_FIELDS])

    @property
    def sole(self) -> list[str]:
        """The cells that must have one configuration."""
        return _flat([value for name, value in self if name in CELL_FIELDS and name != self.several])


@final
class LowerThan(Relation):
    """The number of `lower` is lower than that of each configuration of each of `higher`."""

    kind: Literal["lower_than"]
    lower: str
    higher: Names
    several: ClassVar[str | None] = "higher"


@final
class HigherInTraining(Relation):
    """`higher` ends with a higher training loss, or training error, than `lower`."""

    kind: Literal["higher_in_training"]
    higher: str
    lower: str
    quantity: Literal["train_loss", "train_error"] = "train_loss"


@final
class Fails(Relation):
    """Every configuration of the cells fails (test error above 20 %) or diverges; with `never`, none does."""

    kind: Literal["fails"]
    of: Names
    never: bool = False
    is_about_errors: ClassVar[bool] = True
    several: ClassVar[str | None] = "of"


@final
class Within(Relation):
    """The number of `cell` is within `points` of that of `of`."""

    kind: Literal["within"]
    cell: str
    of: str
    points: Points


@final
class AsPrinted(Relation):
    """The number of `cell` is within `points` of the printed one; only the paper's own setting can tell."""

    kind: Literal["as_printed"]
    cell: str
    points: Points
    is_about_errors: ClassVar[bool] = True


@final
class GapGrows(Relation):
    """The first cell of a pair minus the second grows from each pair to the next, deeper one."""

    kind: Literal["gap_grows"]
    pairs: Annotated[list[tuple[str, str]], Field(min_length=2)]


def _flat(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [cell for one in value for cell in _flat(one)]


class Claim(_Declared):
    """A claim: a sentence in our words, where the paper makes it, and the relation between cells that it states."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    sentence: str
    where: str
    experiment: str
    relation: Annotated[
        LowerThan | HigherInTraining | Fails | Within | AsPrinted | GapGrows, Field(discriminator="kind")
    ]


class _File(_Declared):
    claims: list[Claim]


def load_claims() -> list[Claim]:
    """Return the claims of `experiments/claims.yaml`, none where there is no such file.

    Raise `UserError` for a broken file, and for each claim that does not fit the cells of its experiment.
    """
    path = experiments.EXPERIMENTS / f"{CLAIMS}.yaml"
    if not path.exists():
        return []
    try:
        claims = _File.model_validate(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)).claims
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    except ValidationError as error:
        raise UserError(*(f"{path}: {mistake}" for mistake in mistakes_in_file(error))) from None
    ids = [claim.id for claim in claims]
    mistakes = [f"{path}: {name}: two claims have this id" for name in sorted({i for i in ids if ids.count(i) > 1})]
    declared = {name: load_experiment(name) for name in dict.fromkeys(claim.experiment for claim in claims)}
    for claim in claims:
        mistakes += [f"{path}: {claim.id}: {mistake}" for mistake in _mistakes(claim, declared[claim.experiment])]
    if mistakes:
        raise UserError(*mistakes)
    return claims


def _mistakes(claim: Claim, experiment: Experiment) -> list[str]:
    relation = claim.relation
    known = {f"{row.id}/{column.id}": (row, column, cell) for row, column, cell in experiment.cells()}
    ids = {name: experiment.full_cell_id(name) for name in relation.cells}
    if unknown := [name for name, cell_id in ids.items() if cell_id not in known]:
        return [f"no cell {', '.join(unknown)} in {experiment.name}; allowed: {', '.join(known)}"]
    found = [known[cell_id] for cell_id in ids.values()]
    mistakes = [f"{row.id} is not ours to run" for row, _, _ in found if not row.configurations]
    for name in relation.sole:
        row, _, cell = known[ids[name]]
        if len(row.configurations) > 1:
            mistakes.append(f"{name} has {len(row.configurations)} configurations; {relation.kind} needs a single one")
        if isinstance(relation, AsPrinted) and not isinstance(cell.printed, float):
            mistakes.append(f"the paper prints no number for {name}")
    metrics = sorted({cell.metric or column.metric for _, column, cell in found})
    if len(metrics) > 1:
        mistakes.append(f"its cells show different metrics: {', '.join(metrics)}")
    if relation.is_about_errors and not all(map(is_error, metrics)):
        mistakes.append(f"{relation.kind} is about errors, not about {', '.join(metrics)}")
    return mistakes
