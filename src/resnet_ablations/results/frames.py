"""A results folder as tidy tables: one row a run, one row a logged step."""

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import ValidationError

from resnet_ablations.errors import mistakes_in_file
from resnet_ablations.results.keys import class_label
from resnet_ablations.results.run_folder import Result

KEY = re.compile(r"(?P<configuration>.+)-s(?P<seed>\d+)")

RESULT_COLUMNS = {
    "key": "str",
    "configuration": "str",
    "seed": "int64",
    "outcome": "str",
    "iterations": "int64",
    "train_loss": "float64",
    "train_error": "float64",
    "test_loss": "float64",
    "test_error": "float64",
    "parameters": "int64",
    "seconds": "float64",
    "images_per_second": "float64",
    "commit": "object",
    "dirty": "object",
    "path": "str",
}
CONFIG_COLUMNS = {
    "network.depth": "int64",
    "shortcut": "str",
    "data": "str",
    "schedule.iterations": "int64",
    "schedule.batch_size": "int64",
    "precision": "str",
    "bn_batch": "int64",
}
RESPONSE_COLUMNS = {
    "key": "str",
    "configuration": "str",
    "seed": "int64",
    "layer": "int64",
    "name": "str",
    "std": "float64",
}
CURVE_COLUMNS = {
    "iteration": "int64",
    "learning_rate": "float64",
    "train_loss": "float64",
    "train_error": "float64",
    "test_loss": "float64",
    "test_error": "float64",
}


def load_results(results: str | Path = "results") -> pd.DataFrame:
    """One row a run that has a result, finished or diverged: what it came to, its configuration and its `path`.

    Errors in %, NaN when diverged. A setting is a column of its dotted name, `network.depth`; a group with a class,
    such as `shortcut`, is a column of the class's name. A damaged result is left out with a warning, and named in
    `.attrs["damaged"]`.
    """
    rows, damaged = [], []
    for folder in _run_folders(results, "result.json"):
        try:
            rows.append(_read_run(folder))
        except (OSError, ValueError, yaml.YAMLError) as error:
            damaged.append(f"{folder}: damaged result, left out: {_reason(error)}; delete the folder and train again")
    frame = _frame(rows, RESULT_COLUMNS | CONFIG_COLUMNS) if not rows else pd.DataFrame(rows)
    frame = frame.astype({name: dtype for name, dtype in RESULT_COLUMNS.items() if name in frame})
    first = [name for name in (*RESULT_COLUMNS, *CONFIG_COLUMNS) if name in frame]
    frame = frame[[*first, *(name for name in frame if name not in first)]]
    frame = frame.sort_values(["configuration", "seed"], ignore_index=True)
    return _with_damage(frame, damaged)


def load_curves(results: str | Path = "results") -> pd.DataFrame:
    """One row a logged step of every run with a curve, whatever its outcome: key, configuration, seed, `curve.csv`.

    `train_*` are means over the iterations since the row before; `test_*` are NaN where not evaluated; errors in %.
    A last line that was never finished is dropped; a curve that cannot be read is left out with a warning, and named
    in `.attrs["damaged"]`.
    """
    curves, damaged = [], []
    for folder in _run_folders(results, "curve.csv"):
        try:
            curves.append(_read_curve(folder))
        except (OSError, ValueError) as error:
            damaged.append(f"{folder}: damaged curve, left out: {_reason(error)}; delete the folder and train again")
    columns = {name: RESULT_COLUMNS[name] for name in ("key", "configuration", "seed")} | CURVE_COLUMNS
    curves = [curve for curve in curves if len(curve)]
    frame = pd.concat(curves, ignore_index=True) if curves else _frame([], columns)
    frame = frame[list(columns)].sort_values(["configuration", "seed"], kind="stable", ignore_index=True)
    return _with_damage(frame, damaged)


def load_responses(results: str | Path = "results") -> pd.DataFrame:
    """One row a layer of every run with `layer_responses.csv`: key, configuration, seed, layer, name, std."""
    frames, damaged = [], []
    for folder in _run_folders(results, "layer_responses.csv"):
        match = KEY.fullmatch(folder.name)
        assert match is not None
        try:
            frame = pd.read_csv(folder / "layer_responses.csv")
            frame = frame.assign(key=folder.name, configuration=match["configuration"], seed=int(match["seed"]))
            frames.append(frame[list(RESPONSE_COLUMNS)].astype(RESPONSE_COLUMNS))
        except (OSError, ValueError, KeyError) as error:
            damaged.append(
                f"{folder}: damaged responses, left out: {_reason(error)}; delete the folder and train again"
            )
    return _with_damage(pd.concat(frames, ignore_index=True) if frames else _frame([], RESPONSE_COLUMNS), damaged)


def _run_folders(results: str | Path, file: str) -> Iterator[Path]:
    for path in sorted(Path(results).glob(f"runs/*/{file}")):
        if KEY.fullmatch(path.parent.name):
            yield path.parent


def _read_run(folder: Path) -> dict[str, Any]:
    result = Result.model_validate_json((folder / "result.json").read_bytes())
    if not result.key == folder.name == f"{result.configuration}-s{result.seed}":
        raise ValueError(f"it is the result of {result.key}")
    values = {**result.metrics, **result.model_dump(exclude={"provenance", "metrics"})}
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError("config.yaml is no mapping")
    provenance = {name: result.provenance.get(name) for name in ("commit", "dirty")}
    return {**_flat(config), **values, **provenance, "path": str(folder)}


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names; a group's `_target_` stands under the group's own name, as its class's name."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif name == "_target_":
            flat[prefix.removesuffix(".")] = class_label(str(value))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _read_curve(folder: Path) -> pd.DataFrame:
    text = (folder / "curve.csv").read_text(encoding="utf-8")
    # A line without its end was cut off while being written: its last number may lack digits and still be a number.
    whole_lines = text[: text.rfind("\n") + 1]
    if not whole_lines:
        return _frame([], CURVE_COLUMNS)
    curve = pd.read_csv(io.StringIO(whole_lines))
    if absent := [name for name in CURVE_COLUMNS if name not in curve]:
        raise ValueError(f"no column {', '.join(absent)}")
    curve = curve.astype(CURVE_COLUMNS)
    match = KEY.fullmatch(folder.name)
    assert match is not None
    return curve.assign(key=folder.name, configuration=match["configuration"], seed=int(match["seed"]))


def _frame(rows: list[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def _with_damage(frame: pd.DataFrame, damaged: list[str]) -> pd.DataFrame:
    for message in damaged:
        warnings.warn(message, stacklevel=3)
    frame.attrs["damaged"] = damaged
    return frame


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(mistakes_in_file(error, "result.json"))
    return " ".join(str(error).split())
