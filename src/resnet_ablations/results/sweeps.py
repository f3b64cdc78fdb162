"""The saved plan of a sweep: the configurations of each cell of an experiment's table."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

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

    @model_validator(mode="after")
    def _has_iterations(self) -> Self:
        schedule = self.config.get("schedule")
        if not isinstance(schedule, dict) or not isinstance(schedule.get("iterations"), int):
            raise ValueError("config: schedule.iterations: must be a whole number")
        return self


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

    @model_validator(mode="after")
    def _cells_are_configured(self) -> Self:
        in_cells = {name for row in self.cells.values() for names in row.values() for name in names}
        if unknown := in_cells - set(self.configurations):
            raise ValueError(f"cells: unknown configurations {', '.join(sorted(unknown))}")
        return self

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
            earlier = read_plan(path)
            if earlier.cells == plan.cells:
                plan = plan.model_copy(update={"seeds": sorted({*earlier.seeds, *plan.seeds})})
        write_atomically(path, plan.model_dump_json(indent=1) + "\n")


def plan_files(results: Path) -> list[Path]:
    """Return the files of the plans in a results folder, sorted; a hidden file, such as `._x.json`, is no plan."""
    return sorted(results.glob("sweeps/[!.]*.json"))


def load_sweeps(results: str | Path) -> list[SweepPlan]:
    """Return every plan in a results folder, sorted by name; raise `UserError` for a damaged one."""
    return [read_plan(path) for path in plan_files(Path(results))]


def read_plan(path: Path) -> SweepPlan:
    """Return the plan in a file; raise `UserError` if it is damaged, cannot be read, or has another name."""
    try:
        plan = SweepPlan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {reason_of(error)}; make it readable") from None
    except ValidationError as error:
        raise _damaged(path, "; ".join(mistakes_in_file(error)[:3])) from None
    if plan.name != path.stem:  # the report's files are named after it
        raise _damaged(path, f"name: must be that of the file, {path.stem}")
    return plan


def _damaged(path: Path, mistakes: str) -> UserError:
    return UserError(f"{path}: damaged plan: {mistakes}; delete the file and run the sweep again")
