"""The saved plan of a sweep: the configurations of each cell of an experiment's table."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from resnet_ablations.errors import UserError, mistakes_in_file, reason_of
from resnet_ablations.results.atomic_write import remove_temporary_files, write_atomically
from resnet_ablations.results.keys import run_key
from resnet_ablations.results.locks import file_lock


class PlannedConfiguration(BaseModel):
    """A configuration of a sweep: its overrides, the longer configurations that serve it, and its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    overrides: list[str]
    served_by: list[str]
    config: dict[str, Any]

    @property
    def iterations(self) -> int:
        """The iteration at which a run of the configuration has its result."""
        return int(self.config["schedule"]["iterations"])


class SweepPlan(BaseModel):
    """`results/sweeps/NAME.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    experiment: str
    scale: str
    overrides: list[str]
    replacements: Annotated[
        dict[str, list[str] | None], Field(validation_alias=AliasChoices("replacements", "instead"))
    ]
    """See `resnet_ablations.experiments.Scale`; plans of earlier versions call it `instead`."""
    seeds: list[int]
    cells: dict[str, dict[str, list[str]]]
    """The configurations of each cell, by row and column; empty if the cell is not run at this scale."""
    numbers: int = 1
    """`NUMBERS` of `results.keys` when the configurations were named; plans of version 1 do not contain it."""
    configurations: dict[str, PlannedConfiguration]

    @property
    def run_keys(self) -> list[str]:
        """The keys of all runs that can fill the sweep's cells: the planned runs, and longer runs that serve them."""
        names = dict.fromkeys(
            name
            for configuration, planned in self.configurations.items()
            for name in (configuration, *planned.served_by)
        )
        return [run_key(name, seed) for name in names for seed in self.seeds]


def sweep_path(results: str | Path, name: str) -> Path:
    """Return the path of a plan."""
    return Path(results) / "sweeps" / f"{name}.json"


def save_sweep(results: str | Path, plan: SweepPlan) -> None:
    """Write the plan; keep the seeds of an earlier plan with the same cells.

    Raise `UserError` if the earlier plan is damaged.
    """
    path = sweep_path(results, plan.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(Path(results) / ".lock"):
        remove_temporary_files(path.parent)
        if path.exists():
            earlier = _read(path)
            if earlier.cells == plan.cells:
                plan = plan.model_copy(update={"seeds": sorted({*earlier.seeds, *plan.seeds})})
        write_atomically(path, plan.model_dump_json(indent=1) + "\n")


def plan_files(results: Path) -> list[Path]:
    """Return the files of the plans in a results folder, sorted; a hidden file, such as `._x.json`, is no plan."""
    return sorted(results.glob("sweeps/[!.]*.json"))


def load_sweeps(results: str | Path) -> list[SweepPlan]:
    """Return every plan in a results folder, sorted by name; raise `UserError` for a damaged one."""
    return [_read(path) for path in plan_files(Path(results))]


def _read(path: Path) -> SweepPlan:
    try:
        return SweepPlan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        mistakes = "; ".join(mistakes_in_file(error)) if isinstance(error, ValidationError) else reason_of(error)
        raise UserError(f"{path}: damaged plan: {mistakes}; delete the file and run the sweep again") from None
