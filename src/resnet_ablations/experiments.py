"""The tables and figures of the papers: the schema of `experiments/NAME.yaml`, and the digitised curves."""

import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resnet_ablations.errors import UserError, mistakes_in_file, reason_in_yaml
from resnet_ablations.paths import ROOT

if TYPE_CHECKING:  # a sweep is planned without pandas, which takes half a second to import
    import pandas as pd

EXPERIMENTS = ROOT / "experiments"
OTHERS = "independent.csv"
"""The file in `experiments/` with what other people measured."""
CLAIMS = "claims"
"""The file in `experiments/` that is not an experiment: the claims of the papers."""
SCALES = {
    "quick": "handwritten digits or drawn images, short schedules",
    "small": "CIFAR with a short schedule, hours on a CPU",
    "early": "the paper’s own setting, stopped early",
    "paper": "the paper’s own setting",
}
"""The scales with their meanings, from the least to the most like the paper."""

METRICS = {
    "test_error": "test error (%)",
    "train_error": "training error (%)",
    "top5_error": "top-5 test error (%)",
    "crop320_error": "test error (%), one crop of 320",
    "crop320_top5_error": "top-5 test error (%), one crop of 320",
    "crops10_error": "test error (%), 10 crops",
    "crops10_top5_error": "top-5 test error (%), 10 crops",
    "multi_scale_error": "test error (%), whole images at five scales",
    "multi_scale_top5_error": "top-5 test error (%), whole images at five scales",
    "response_mean": "mean over layers of the standard deviation of responses",
    "response_median": "median over layers of the standard deviation of responses",
    "response_max": "maximum over layers of the standard deviation of responses",
    "first_gradient": "gradient at the first unit, that at the output of the last unit being 1, before training",
}
"""The metrics that a table can show, with their names in the report; every run has the first two."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scale(_Strict):
    """The size at which the experiment is run.

    `replacements` maps an override of the paper's setting to the overrides used at this scale, for example
    `network=resnet110: [network=resnet56]`; null leaves out every cell that has the override. `prefix_of` names another
    scale: this scale has the same setting and stops after `iterations`, so a finished run of the other scale also
    serves here.
    """

    overrides: list[str] = []
    seeds: Annotated[list[int], Field(min_length=1)]
    replacements: dict[str, list[str] | None] = {}
    prefix_of: str | None = None
    iterations: int | None = None

    @model_validator(mode="after")
    def _prefix_needs_iterations(self) -> "Scale":
        if (self.prefix_of is None) != (self.iterations is None):
            raise ValueError("prefix_of and iterations: give both or neither")
        return self


class Column(_Strict):
    """A column of the table: the metric that it shows, and the overrides that its runs share."""

    id: str
    heading: str = ""
    overrides: list[str] = []
    metric: str = "test_error"


class Cell(_Strict):
    """A number of the table.

    `printed`: as in the paper's table. `digitised`: read from a figure. `curve`: the name of its digitised curve.
    `metric` and `overrides` are set only if the cell differs from its column.
    """

    printed: float | Literal["fail"] | None = None
    digitised: float | None = None
    curve: str | None = None
    metric: str | None = None
    overrides: list[str] = []


class Row(_Strict):
    """A row of the table: its labels, its cells by column, and the overrides of its configurations.

    A row has one configuration; or several, if the paper prints one number for all of them; or none, for a method of
    other authors. A column without a cell is empty in the paper's table and is not run.
    """

    id: str
    labels: list[str]
    configurations: list[list[str]] = []
    cells: dict[str, Cell]
    remark: str = ""


class Panel(_Strict):
    """A panel of a figure: the cells whose curves it shows, `ROW/COLUMN` or `ROW`, the baseline first.

    `kind` is the form: `loss_and_error` as in v2 (training loss dashed on a log axis, test error solid), `errors` as in
    v1's Fig. 4 and 6 (training error dashed, test error bold), `test_error` alone, `responses` as in v1's Fig. 7
    (standard deviation of each layer's response, in the order of the layers, or, if `sorted`, the largest first).
    """

    id: str
    title: str
    cells: Annotated[list[str], Field(min_length=1)]
    kind: Literal["loss_and_error", "errors", "test_error", "responses"] = "loss_and_error"
    sorted: bool = False

    @property
    def whole(self) -> str:
        """The figure that the panel belongs to: the id up to its first number (`fig6` for fig6left)."""
        match = re.match(r"\D*\d+", self.id)
        return match[0] if match else self.id


class Experiment(_Strict):
    """A table or figure of a paper, declared as data.

    `headings` are the headings of the columns of labels. `baseline` is what a cell is compared with: the first row of
    its column, or the first column of its row.
    """

    name: str
    title: str
    source: str
    caption: str
    headings: list[str]
    overrides: list[str] = []
    columns: Annotated[list[Column], Field(min_length=1)] = [Column(id="error")]
    baseline: Literal["first_row", "first_column"] | None = None
    scales: dict[str, Scale]
    rows: Annotated[list[Row], Field(min_length=1)]
    figures: list[Panel] = []

    @model_validator(mode="after")
    def _names_resolve(self) -> "Experiment":
        rows, columns = [row.id for row in self.rows], [column.id for column in self.columns]
        for what, ids in (("rows", rows), ("columns", columns), ("figures", [figure.id for figure in self.figures])):
            if len(set(ids)) < len(ids):
                raise ValueError(f"two {what} have the same id")
        for row in self.rows:
            if len(row.labels) != len(self.headings):
                raise ValueError(f"row {row.id} has {len(row.labels)} labels for {len(self.headings)} headings")
            if unknown := set(row.cells) - set(columns):
                raise ValueError(f"row {row.id} has cells in unknown columns {sorted(unknown)}")
        metrics = [*(column.metric for column in self.columns), *(cell.metric for _, _, cell in self.cells())]
        if wrong := {metric for metric in metrics if metric is not None} - set(METRICS):
            raise ValueError(f"metric {sorted(wrong)[0]!r} is not one of {', '.join(METRICS)}")
        known = {f"{row.id}/{column.id}" for row, column, _ in self.cells()}
        for figure in self.figures:
            if missing := {self.full_cell_id(cell) for cell in figure.cells} - known:
                raise ValueError(f"figure {figure.id} shows unknown cells {sorted(missing)}")
            if any(other.whole == figure.whole and other.kind != figure.kind for other in self.figures):
                raise ValueError(f"figure {figure.id} has another kind than the other panels of {figure.whole}")
        for name, scale in self.scales.items():
            if name not in SCALES:
                raise ValueError(f"scale {name!r} is not one of {', '.join(SCALES)}")
            if scale.prefix_of is not None and scale.prefix_of not in self.scales:
                raise ValueError(f"scale {name!r} is a prefix of unknown scale {scale.prefix_of!r}")
            if unused := set(scale.replacements) - self._all_overrides():
                raise ValueError(
                    f"scales.{name}.replacements: no override of this experiment: {', '.join(sorted(unused))}; "
                    "correct or remove"
                )
        return self

    def _all_overrides(self) -> set[str]:
        """Return every override of the experiment, its scales, columns, rows and cells."""
        lists = [self.overrides, *(scale.overrides for scale in self.scales.values())]
        lists += [column.overrides for column in self.columns]
        lists += [*(lines for row in self.rows for lines in row.configurations)]
        lists += [cell.overrides for _, _, cell in self.cells()]
        return {line for lines in lists for line in lines}

    def cells(self) -> Iterator[tuple[Row, Column, Cell]]:
        """Yield every cell with its row and column, row by row."""
        for row in self.rows:
            for column in self.columns:
                if column.id in row.cells:
                    yield row, column, row.cells[column.id]

    def full_cell_id(self, cell: str) -> str:
        """Return `ROW/COLUMN` for a cell that a figure names; `ROW` is enough if there is one column."""
        return cell if "/" in cell or len(self.columns) > 1 else f"{cell}/{self.columns[0].id}"


def experiment_names() -> list[str]:
    """Return the names of the experiments, sorted."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if path.stem != CLAIMS)


def load_experiment(name: str) -> Experiment:
    """Read and check `experiments/NAME.yaml`; raise `UserError` for an unknown name or a broken file."""
    path = EXPERIMENTS / f"{name}.yaml"
    if name not in experiment_names():
        raise UserError(f"experiment={name}: no such experiment; allowed: {', '.join(experiment_names())}")
    try:
        return _parsed(name, path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, TypeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a valid YAML mapping: {reason_in_yaml(error)}") from None
    except ValidationError as error:
        raise UserError(*(f"{path}: {mistake}" for mistake in mistakes_in_file(error))) from None


@cache
def _parsed(name: str, text: str) -> Experiment:
    return Experiment(name=name, **yaml.load(text, yaml.CSafeLoader))


def load_paper(experiment: str) -> "pd.DataFrame":
    """Return the paper's numbers of an experiment: one row a cell, indexed by `row` and `column`.

    The columns are the table's headings with the row's labels, then `metric` (a key of `METRICS`), `printed` (a number
    or "fail"), `digitised` (a number from a figure), `curve` and the row's `remark`; NaN where the paper has none.
    Raise `UserError` for an unknown name or a broken file.
    """
    import pandas as pd

    table = load_experiment(experiment)
    cells = list(table.cells())
    rows = [
        {
            **dict(zip(table.headings, row.labels, strict=True)),
            "metric": cell.metric or column.metric,
            "printed": cell.printed,
            "digitised": cell.digitised,
            "curve": cell.curve,
            "remark": row.remark,
        }
        for row, column, cell in cells
    ]
    index = pd.MultiIndex.from_tuples([(row.id, column.id) for row, column, _ in cells], names=["row", "column"])
    return pd.DataFrame(rows, index).fillna(math.nan).astype({"digitised": "float64"})


def load_others(experiment: str) -> "pd.DataFrame":
    """Return what other people measured of an experiment: one row for each value and each cell that it belongs to.

    The columns are `row`, `column`, `network`, `metric` (a key of `METRICS`), `value` and its `spread`, `n` (the number
    of runs, NA if not stated), `statistic` (which number of a run), `protocol`, `source` and `year`.
    """
    import pandas as pd

    columns = ["row", "column", "network", "metric", "value", "spread", "n", "statistic", "protocol", "source", "year"]
    path = EXPERIMENTS / OTHERS
    if not path.exists():
        return pd.DataFrame(columns=columns)
    values = pd.read_csv(path, dtype={"n": "Int64"})
    values = values.assign(cells=values["cells"].str.split()).explode("cells", ignore_index=True)
    values[["experiment", "row", "column"]] = values["cells"].str.split("/", expand=True)
    return values.loc[values["experiment"] == experiment, columns]


CurveQuantity = Literal["train_loss", "train_error", "test_error"]
_FILES: dict[CurveQuantity, tuple[str, ...]] = {
    "train_loss": ("__trainloss",),
    "train_error": ("_train",),
    "test_error": ("__testerr", "_test", "_val"),
}


def paper_curve(curve: str, quantity: CurveQuantity) -> "pd.Series | None":
    """Return a digitised curve by iteration: cross-entropy (±5 %) or error in % (±0.02); None if the paper has none."""
    for suffix in _FILES[quantity]:
        path = EXPERIMENTS / "curves" / f"{curve}{suffix}.csv"
        if path.exists():
            return _read_curve(path)
    return None


def paper_responses(curve: str) -> "pd.Series | None":
    """Return the standard deviation of each layer's response by layer from 1 (v1, Fig. 7), or None."""
    path = EXPERIMENTS / "curves" / f"{curve}.csv"
    return _read_curve(path) if path.exists() else None


def _read_curve(path: Path) -> "pd.Series":
    import pandas as pd

    return pd.read_csv(path, index_col=0).iloc[:, 0].sort_index(kind="stable")
