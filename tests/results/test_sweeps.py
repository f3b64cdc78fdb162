"""The frozen plans of sweeps."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from resnet_ablations.errors import UserError
from resnet_ablations.results.sweeps import SweepPlan, load_sweeps, save_sweep, sweep_path

PLAN: dict[str, Any] = {
    "name": "shortcuts-quick",
    "experiment": "shortcuts",
    "scale": "quick",
    "overrides": [],
    "replacements": {"network=resnet110": ["network=resnet56"], "data=imagenet": None},
    "seeds": [0, 1],
    "cells": {"original": {"test": ["a"], "train": ["a"]}, "gates −5": {"test": ["b", "c"], "train": []}, "others": {}},
    "configurations": {
        name: {"overrides": [f"shortcut={name}"], "served_by": [], "config": {"schedule": {"iterations": 900}}}
        for name in ("a", "b", "c")
    },
}


def make(**changes: Any) -> SweepPlan:
    return SweepPlan.model_validate(PLAN | changes)


def test_a_plan_comes_back(tmp_path: Path) -> None:
    save_sweep(tmp_path, make())
    assert load_sweeps(tmp_path) == [make()]
    assert [planned.iterations for planned in load_sweeps(tmp_path)[0].configurations.values()] == [900] * 3
    assert sweep_path(tmp_path, "shortcuts-quick") == tmp_path / "sweeps" / "shortcuts-quick.json"
    assert {path.name for path in (tmp_path / "sweeps").iterdir()} == {"shortcuts-quick.json"}


def test_a_plan_of_an_earlier_version_is_read() -> None:
    earlier = {"instead" if field == "replacements" else field: value for field, value in PLAN.items()}
    assert SweepPlan.model_validate(earlier) == make()


def test_plans_are_ordered_by_name_and_there_may_be_none(tmp_path: Path) -> None:
    assert load_sweeps(tmp_path) == []
    for name in ("shortcuts-small", "shortcuts-paper"):
        save_sweep(tmp_path, make(name=name))
    assert [plan.name for plan in load_sweeps(tmp_path)] == ["shortcuts-paper", "shortcuts-small"]


def test_seeds_of_an_earlier_plan_stay(tmp_path: Path) -> None:
    save_sweep(tmp_path, make())
    save_sweep(tmp_path, make(seeds=[4, 1]))
    assert load_sweeps(tmp_path)[0].seeds == [0, 1, 4]


@pytest.mark.parametrize(
    "cells", [{"original": {"test": ["c"]}}, PLAN["cells"] | {"original": {"test": ["a"], "train": []}}]
)
def test_a_plan_with_other_cells_replaces_the_earlier_one(tmp_path: Path, cells: dict[str, Any]) -> None:
    save_sweep(tmp_path, make())
    other = make(seeds=[4], cells=cells)
    save_sweep(tmp_path, other)
    assert load_sweeps(tmp_path) == [other]


@pytest.mark.parametrize("name", list(PLAN))
def test_every_field_is_needed(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        SweepPlan.model_validate({field: value for field, value in PLAN.items() if field != name})


@pytest.mark.parametrize("content", ["", '{"name": "shortcuts-quick"', '{"name": "shortcuts-quick", "rows": {}}'])
def test_a_damaged_plan_is_named(tmp_path: Path, content: str) -> None:
    save_sweep(tmp_path, make())
    path = sweep_path(tmp_path, "shortcuts-quick")
    path.write_text(content)
    for use in (lambda: load_sweeps(tmp_path), lambda: save_sweep(tmp_path, make())):
        with pytest.raises(UserError, match="damaged plan") as error:
            use()
        assert str(path) in str(error.value)
    assert path.read_text() == content


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError):
        make(colour="red")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": {"original": {"test": ["d"]}}}, "cells: unknown configurations d"),
        ({"name": "other"}, "name: must be that of the file, shortcuts-quick"),
        (
            {"configurations": PLAN["configurations"] | {"a": {"overrides": [], "served_by": [], "config": {}}}},
            "configurations.a: config: schedule.iterations: must be a whole number",
        ),
    ],
)
def test_a_plan_that_cannot_be_used_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = sweep_path(tmp_path, "shortcuts-quick")
    path.parent.mkdir()
    path.write_text(json.dumps(PLAN | changes))
    with pytest.raises(UserError, match=f"^{path}: damaged plan: {message}; delete the file"):
        load_sweeps(tmp_path)
