"""Which runs fill which cells, as a data frame."""

from pathlib import Path

import pytest

from resnet_ablations.errors import UserError
from resnet_ablations.results.frames import CELL_COLUMNS, load_cells
from resnet_ablations.results.sweeps import SweepPlan, save_sweep, sweep_path


def save(results: Path, name: str, cells: dict[str, dict[str, list[str]]], seeds: list[int]) -> None:
    experiment, scale = name.split("-")[:2]
    plan = {"overrides": [], "instead": {}, "configurations": {}, "experiment": experiment, "scale": scale}
    save_sweep(results, SweepPlan.model_validate(plan | {"name": name, "cells": cells, "seeds": seeds}))


def test_one_row_a_planned_run_of_a_cell(tmp_path: Path) -> None:
    save(tmp_path, "shortcuts-quick", {"original": {"error": ["a"]}, "gates": {"error": ["b", "c"]}}, [0, 3])
    save(tmp_path, "depth-small-1a2b3c", {"20": {"train": ["a"], "test": ["a"]}, "1202": {"test": []}}, [1])
    assert load_cells(tmp_path).to_dict("split")["data"] == [
        ["depth-small-1a2b3c", "depth", "small", "20", "train", "a", 1],
        ["depth-small-1a2b3c", "depth", "small", "20", "test", "a", 1],
        ["shortcuts-quick", "shortcuts", "quick", "original", "error", "a", 0],
        ["shortcuts-quick", "shortcuts", "quick", "original", "error", "a", 3],
        ["shortcuts-quick", "shortcuts", "quick", "gates", "error", "b", 0],
        ["shortcuts-quick", "shortcuts", "quick", "gates", "error", "b", 3],
        ["shortcuts-quick", "shortcuts", "quick", "gates", "error", "c", 0],
        ["shortcuts-quick", "shortcuts", "quick", "gates", "error", "c", 3],
    ]


def test_without_a_sweep_there_are_the_columns(tmp_path: Path) -> None:
    cells = load_cells(tmp_path / "nowhere")
    assert cells.empty
    assert list(cells.columns) == list(CELL_COLUMNS)
    assert cells["seed"].dtype == "int64"


def test_a_damaged_sweep_is_a_mistake(tmp_path: Path) -> None:
    save(tmp_path, "shortcuts-quick", {}, [0])
    sweep_path(tmp_path, "shortcuts-quick").write_text("{")
    with pytest.raises(UserError, match="damaged plan"):
        load_cells(tmp_path)
