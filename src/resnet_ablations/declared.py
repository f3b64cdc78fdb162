"""The settings that `experiments/` and `conf/` declare today, compared with those of a saved plan.

The report imports no Hydra, so this module composes the files itself; a test compares the result with Hydra's.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from resnet_ablations.cell_runs import Overrides, key_of, runs_of_cells
from resnet_ablations.errors import as_yaml
from resnet_ablations.experiments import Experiment
from resnet_ablations.paths import CONF
from resnet_ablations.results.frames import flat_settings
from resnet_ablations.results.keys import is_location
from resnet_ablations.results.sweeps import PlannedConfiguration, SweepPlan

GROUPS = ("network", "shortcut", "activation", "data", "schedule")
"""The groups whose settings can change a number."""


def changes_since(plan: SweepPlan, experiment: Experiment) -> dict[tuple[str, str], str]:
    """Return, by row and column, how the settings of a plan's cell differ from those that are declared today.

    `schedule.iterations=810, now 1980; …`. Cells without a difference, and cells that the experiment no longer has, are
    left out. A setting that only one side has, and that no override sets, was added or removed since; it does not
    count, because runs without it did what its default says.
    """
    scale = experiment.scales.get(plan.scale)
    cells = runs_of_cells(experiment, scale, plan.overrides) if scale is not None else []
    today = {(cell.row, cell.column): cell.own for cell in cells}
    found = {}
    for row, columns in plan.cells.items():
        for column, names in columns.items():
            own = today.get((row, column), None if cells else ())
            if own is None or not names:
                continue
            if len(own) != len(names):
                found[row, column] = f"configurations={len(names)}, now {len(own)}"
                continue
            pairs = zip(names, own, strict=True)
            texts = [text for name, lines in pairs for text in _differences(plan.configurations[name], lines)]
            if texts:
                found[row, column] = "; ".join(dict.fromkeys(texts))
    return found


def settings(overrides: Overrides) -> dict[str, Any]:
    """Return the settings of `conf/` with these overrides, by dotted names, without locations and interpolations."""
    train = _file(CONF / "train.yaml")
    chosen = {
        group: str(name) for line in train.pop("defaults", []) if isinstance(line, dict) for group, name in line.items()
    }
    own = _set_by(overrides)
    tree: dict[str, Any] = {}
    for group in GROUPS:
        content = _with_bases(CONF / group, own.get(group, chosen.get(group, "")))
        tree = _merged(tree, content if group == "schedule" else {group: content})  # schedules set bn_batch too
    flat = flat_settings(_merged(tree, train))
    flat |= {key: _value(text) for key, text in own.items() if key not in GROUPS and not is_location(f"{key}=")}
    return {key: value for key, value in flat.items() if "${" not in str(value) and value != "???"}


def _differences(planned: PlannedConfiguration, overrides: Overrides) -> list[str]:
    """Return `KEY=VALUE, now VALUE` for each setting of a planned configuration that has another value today."""
    then, now = flat_settings(planned.config), settings(overrides)
    set_by_either = [*_set_by(planned.overrides).items(), *_set_by(overrides).items()]
    interpolated = {key for key, text in set_by_either if "${" in text}  # the value is unknown here
    either = {key for key, _ in set_by_either} - {*GROUPS} - interpolated
    keys = [key for key in {**then, **now} if (key in then and key in now) or key in either]
    return [
        f"{key}={as_yaml(then.get(key))}, now {as_yaml(now.get(key))}"
        for key in keys
        if not is_location(f"{key}=") and then.get(key) != now.get(key)
    ]


def _set_by(overrides: Iterable[str]) -> dict[str, str]:
    """Return the value of each key that the overrides set, as text; a deletion, `~KEY`, sets none."""
    return {key_of(line): line.partition("=")[2] for line in overrides if not line.startswith("~")}


def _with_bases(folder: Path, name: str) -> dict[str, Any]:
    """Return a file of a group, with the files in its `defaults` as its bases; empty without such a file."""
    content = _file(folder / f"{name}.yaml")
    tree: dict[str, Any] = {}
    for base in content.pop("defaults", []):
        tree = _merged(tree, _with_bases(folder, base))
    return _merged(tree, content)


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return both trees as one; the values of the second win."""
    both = {
        name: _merged(first[name], value) if isinstance(value, dict) and isinstance(first.get(name), dict) else value
        for name, value in second.items()
    }
    return {**first, **both}


def _file(path: Path) -> dict[str, Any]:
    return dict(_read(path)) if path.exists() else {}


@cache
def _read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) or {}


def _value(text: str) -> Any:
    """Return the value of an override; its text if Hydra's grammar allows it and YAML does not."""
    try:
        return _with_numbers(yaml.load(text, yaml.CSafeLoader))
    except yaml.YAMLError:
        return text


def _with_numbers(value: Any) -> Any:
    """Return a value with its numbers, also those in lists: YAML 1.1 reads `1e-3` as a text."""
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
