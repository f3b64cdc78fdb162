"""The frozen plans of sweeps."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from resnet_ablations.results.sweeps import SweepPlan, load_sweeps, save_sweep, sweep_path

PLAN: dict[str, Any] = {
    "name": "shortcuts-quick",
    "experiment": "shortcuts",
    "scale": "quick",
    "overrides": [],
    "seeds": [0, 1],
    "iterations": 900,
    "rows": {"original": ["a"], "gates −5": ["b", "c"]},
    "configurations": {
        name: {"overrides": [f"shortcut={name}"], "served_by": [], "config": {"network": {"depth": 56}}}
        for name in ("a", "b", "c")
    },
}


def make(**changes: Any) -> SweepPlan:
    return SweepPlan.model_validate(PLAN | changes)


def test_a_plan_comes_back(tmp_path: Path) -> None:
    save_sweep(tmp_path, make())
    assert load_sweeps(tmp_path) == [make()]
    assert sweep_path(tmp_path, "shortcuts-quick") == tmp_path / "sweeps" / "shortcuts-quick.json"
    assert [path.name for path in (tmp_path / "sweeps").iterdir()] == ["shortcuts-quick.json"]


def test_plans_are_ordered_by_name_and_there_may_be_none(tmp_path: Path) -> None:
    assert load_sweeps(tmp_path) == []
    for name in ("shortcuts-small", "shortcuts-paper"):
        save_sweep(tmp_path, make(name=name))
    assert [plan.name for plan in load_sweeps(tmp_path)] == ["shortcuts-paper", "shortcuts-small"]


def test_seeds_of_an_earlier_plan_stay(tmp_path: Path) -> None:
    save_sweep(tmp_path, make())
    save_sweep(tmp_path, make(seeds=[4, 1]))
    assert load_sweeps(tmp_path)[0].seeds == [0, 1, 4]


def test_a_plan_with_other_rows_replaces_the_earlier_one(tmp_path: Path) -> None:
    save_sweep(tmp_path, make())
    other = make(seeds=[4], rows={"original": ["d"]})
    save_sweep(tmp_path, other)
    assert load_sweeps(tmp_path) == [other]


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError):
        make(colour="red")
