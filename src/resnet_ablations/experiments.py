"""What the papers claim: the schema of `experiments/NAME.yaml` and the papers' digitised curves."""

from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resnet_ablations.errors import UserError, mistakes_in_file

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCALES = ("quick", "small", "early", "paper")

Overrides = list[str]
"""Hydra overrides, for example `["shortcut=dropout", "shortcut.rate=0.5"]`."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scale(_Strict):
    """How big the experiment is run.

    `prefix_of` names another scale whose setting this one shares but stops after `iterations`, so that a finished
    run of that scale serves here too.
    """

    overrides: Overrides = []
    seeds: Annotated[list[int], Field(min_length=1)]
    prefix_of: str | None = None
    iterations: int | None = None

    @model_validator(mode="after")
    def _prefix_needs_iterations(self) -> "Scale":
        if (self.prefix_of is None) != (self.iterations is None):
            raise ValueError("prefix_of and iterations go together")
        return self


class Row(_Strict):
    """One line of the table: what the paper prints, and the configurations that reproduce it (usually one)."""

    id: str
    case: str
    panel: str
    on_shortcut: str
    on_residual: str
    configurations: Annotated[list[Overrides], Field(min_length=1)]
    printed: float | Literal["fail"]
    remark: str = ""
    curve: str | None = None


class Figure(_Strict):
    """One panel: the rows whose curves it shows together, the baseline first."""

    id: str
    title: str
    rows: Annotated[list[str], Field(min_length=1)]


class Experiment(_Strict):
    """One table of a paper with its figures, declared as data."""

    name: str
    title: str
    source: str
    caption: str
    overrides: Overrides = []
    scales: dict[str, Scale]
    rows: Annotated[list[Row], Field(min_length=1)]
    figures: list[Figure] = []

    @model_validator(mode="after")
    def _names_resolve(self) -> "Experiment":
        rows = [row.id for row in self.rows]
        if len(set(rows)) < len(rows):
            raise ValueError("two rows have the same id")
        for figure in self.figures:
            if unknown := set(figure.rows) - set(rows):
                raise ValueError(f"figure {figure.id} shows unknown rows {sorted(unknown)}")
        for name, scale in self.scales.items():
            if name not in SCALES:
                raise ValueError(f"scale {name!r} is none of {', '.join(SCALES)}")
            if scale.prefix_of is not None and scale.prefix_of not in self.scales:
                raise ValueError(f"scale {name!r} is a prefix of unknown scale {scale.prefix_of!r}")
        return self

    def row(self, row_id: str) -> Row:
        """The row of that id."""
        return next(row for row in self.rows if row.id == row_id)


def experiment_names() -> list[str]:
    """The experiments there are, one for each file."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))


def load_experiment(name: str) -> Experiment:
    """Read and check `experiments/NAME.yaml`; raise `UserError` for an unknown name or a broken file."""
    path = EXPERIMENTS / f"{name}.yaml"
    if name not in experiment_names():
        raise UserError(f"experiment={name}: no such experiment; allowed: {', '.join(experiment_names())}")
    try:
        return Experiment(name=name, **yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, TypeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a valid YAML mapping: {error}") from None
    except ValidationError as error:
        raise UserError(*(f"{path}: {mistake}" for mistake in mistakes_in_file(error))) from None


def paper_curve(curve: str, quantity: Literal["trainloss", "testerr"]) -> pd.Series:
    """A digitised curve of the paper, indexed by iteration: cross-entropy (±5 %) or test error in % (±0.02)."""
    table = pd.read_csv(EXPERIMENTS / "curves" / f"{curve}__{quantity}.csv", index_col="iter")
    return table.iloc[:, 0].sort_index(kind="stable")
