"""Experiments whose rows differ from a first row in what their labels say, and in nothing else."""

from pathlib import Path
from typing import Any

import pytest

from resnet_ablations.cell_runs import runs_of_cells
from resnet_ablations.experiments import load_experiment
from resnet_ablations.overrides import compose

Settings = dict[str, Any]


def settings_of_rows(experiment: str, data: Path) -> dict[str, Settings]:
    """Return the resolved settings of each row at the paper's scale, by their full names."""
    declared = load_experiment(experiment)
    cells = runs_of_cells(declared, declared.scales["paper"], [f"paths.data={data}"])
    return {cell.row: flat(compose(cell.own[0]).scientific) for cell in cells}


def flat(tree: Settings, prefix: str = "") -> Settings:
    leaves: Settings = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves


def changed(first: Settings, other: Settings) -> Settings:
    return {name: other.get(name) for name in first.keys() | other.keys() if first.get(name) != other.get(name)}


def test_a_reading_changes_one_setting(tmp_path: Path) -> None:
    rows = settings_of_rows("interpretations", tmp_path)
    defaults = {row: row.removesuffix("_default") for row in rows if row.endswith("_default")}
    of_table_1 = settings_of_rows("shortcuts", tmp_path)
    assert rows["exclusive_default"] == of_table_1["exclusive_gating_-6"]
    assert rows["shortcut_only_-6_default"] == of_table_1["shortcut_only_gating_-6"]
    readings = 0
    for row, settings in rows.items():
        group = max((prefix for prefix in defaults.values() if row.startswith(f"{prefix}_")), key=len)
        if row != f"{group}_default":
            assert len(changed(rows[f"{group}_default"], settings)) == 1, row
            readings += 1
    assert readings == len(rows) - len(defaults)
    for gate in ("exclusive", "shortcut_only_-6"):
        found = [changed(rows[f"{gate}_default"], settings) for row, settings in rows.items() if row.startswith(gate)]
        assert {name: value for change in found for name, value in change.items()} == {
            "shortcut.varied_units": "all",
            "shortcut.gate_weights": "zero",
            "shortcut.decay_gate_bias": True,
            "shortcut.gate_bias_rate": 2.0,
            "shortcut.batch_norm": True,
            "shortcut.gate_reads": "normalised_x",
        }


HIGHWAY: dict[str, Settings] = {
    "relu_before": {
        "activation.label": "relu_before_addition",
        "activation.last": ["bn", "relu"],
        "activation.after_addition": [],
    },
    "option_b": {"network.dimension_change": "projection"},
    "width": {"network.widths": [14, 28, 56], "network.stem.width": 14},
    "no_warmup": {"schedule.warmup_iterations": 0},
    "all_units": {"shortcut.varied_units": "all"},
    "decayed": {"shortcut.decay_gate_bias": True},
}


def test_each_row_of_highway_is_one_difference_and_the_last_but_one_is_all(tmp_path: Path) -> None:
    rows = settings_of_rows("highway", tmp_path)
    exclusive = rows["exclusive"]
    assert exclusive == settings_of_rows("shortcuts", tmp_path)["exclusive_gating_-6"]
    assert {row: changed(exclusive, rows[row]) for row in HIGHWAY} == HIGHWAY
    of_gates = {name for name in exclusive if name.startswith("shortcut.")}
    gate = changed(exclusive, rows["gate"])
    assert gate["shortcut._target_"].endswith(".HighwayGating")
    assert gate.keys() <= of_gates
    assert all(
        rows["gate"][f"shortcut.{name}"] == exclusive[f"shortcut.{name}"] for name in ("gate_bias", "decay_gate_bias")
    )
    together = {name: value for change in HIGHWAY.values() for name, value in change.items()}
    together["network.stem.width"] = 16  # option B's first projection leads from 16 to 14 channels
    assert {name: rows["highway"][name] for name in together} == together
    assert changed(exclusive, rows["highway"]).keys() == (together.keys() | gate.keys()) - {"network.stem.width"}
    beside = changed(rows["highway"], rows["highway_identity"])
    assert beside["shortcut._target_"].endswith(".Identity")
    assert {name for name in beside if not name.startswith("shortcut.")} == set()


def test_shortcuts_that_came_after_change_nothing_but_the_unit(tmp_path: Path) -> None:
    rows = settings_of_rows("after", tmp_path)
    for row, settings in rows.items():
        change = changed(rows["original"], settings)
        if row == "zero_gamma":
            assert change == {"activation.label": "zero_last_gamma", "activation.last": ["zero_bn"]}
        else:
            assert all(name.startswith("shortcut.") for name in change), row
            assert bool(change) == (row != "original")
    scales = [settings["shortcut.residual_scale"] for row, settings in rows.items() if "scaling" in row]
    assert scales == pytest.approx([0.1, 0.2, 0.3])
