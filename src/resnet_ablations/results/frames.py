"""A results folder as tidy tables: one row for each run, logged step or layer."""

import io
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import ValidationError

from resnet_ablations.errors import UserError, mistakes_in_file, reason_of
from resnet_ablations.results import lesions, signals
from resnet_ablations.results.keys import KEY, class_label, run_key
from resnet_ablations.results.provenance import attempts
from resnet_ablations.results.results_folder import readable
from resnet_ablations.results.run_folder import RunFolder, content_of, run_folders

T = TypeVar("T")

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
    "multiply_adds": "Int64",
    "seconds": "float64",
    "images_per_second": "float64",
    "commit": "object",
    "dirty": "object",
    "machine": "object",
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
CURVE_COLUMNS = {
    "iteration": "int64",
    "learning_rate": "float64",
    "train_loss": "float64",
    "train_error": "float64",
    "test_loss": "float64",
    "test_error": "float64",
}
SIGNAL_COLUMNS = {name: "int64" if name in ("iteration", "unit") else "float64" for name in signals.COLUMNS}
_LESION_TYPES = {"lesion": "str", "count": "int64", "draw": "Int64", "units": "str"}
LESION_COLUMNS = {name: _LESION_TYPES.get(name, "float64") for name in lesions.LESION_COLUMNS}
PATH_GRADIENT_COLUMNS = {name: "int64" if name == "length" else "float64" for name in lesions.PATH_GRADIENT_COLUMNS}
RESPONSE_COLUMNS = {
    "layer": "int64",
    "name": "str",
    "std": "float64",
}

TRAIN_AGAIN = "delete the folder and train again"
MEASURE_AGAIN = "measure the run again with resnet-ablations lesions --again"
"""The remedies for a damaged run and for a damaged measurement of a trained network."""


def load_results(results: str | Path = "results") -> pd.DataFrame:
    """Return one row for each run with a result (finished or diverged): its numbers, its settings and its `path`.

    Errors are in %, NaN if the run diverged. Other metrics, such as `response_mean`, are columns with that name, NaN if
    a run lacks them. Settings are columns with dotted names, such as `network.depth`; for a group with a class, such as
    `shortcut`, the column holds the name of the class. For a run that was resumed with another commit or on another
    machine, `commit` or `machine` is `FIRST; SECOND`, and `dirty` is true if one attempt had uncommitted changes.
    Results that are damaged or cannot be read, or whose curve is or cannot, are left out with a warning and are listed
    in `.attrs["damaged"]`.
    """
    rows, damaged = _read_each(results, _read_run, "result", TRAIN_AGAIN)
    frame = pd.DataFrame(rows) if rows else _empty(RESULT_COLUMNS | CONFIG_COLUMNS)
    frame = frame.astype({name: dtype for name, dtype in RESULT_COLUMNS.items() if name in frame})
    first = [name for name in (*RESULT_COLUMNS, *CONFIG_COLUMNS) if name in frame]
    frame = frame[[*first, *(name for name in frame if name not in first)]]
    frame = frame.sort_values(["configuration", "seed"], ignore_index=True)
    return _with_damage(frame, damaged)


def load_curves(results: str | Path = "results") -> pd.DataFrame:
    """Return one row for each logged step of every run with a curve: key, configuration, seed and `curve.csv`.

    `train_*` are means over the iterations since the previous row; `test_*` are NaN at steps without evaluation; errors
    are in %. An incomplete last line is dropped. Curves that are damaged or cannot be read are left out with a warning
    and are listed in `.attrs["damaged"]`.
    """
    frame, damaged = _stacked(results, "curve.csv", _read_curve, CURVE_COLUMNS, "curve")
    return _with_damage(frame, damaged)


def load_responses(results: str | Path = "results") -> pd.DataFrame:
    """Return one row for each layer of every run with responses: key, configuration, seed, `layer_responses.csv`.

    `std` is the standard deviation of the layer's response (v1, Fig. 7), `layer` counts from the input, `name` is the
    module. Files that are damaged or cannot be read are left out with a warning and are listed in `.attrs["damaged"]`.
    """
    file = "layer_responses.csv"
    frame, damaged = _stacked(results, file, _read_responses, RESPONSE_COLUMNS, "layer responses")
    return _with_damage(frame, damaged)


def load_signals(results: str | Path = "results") -> pd.DataFrame:
    """Return one row for each unit at each recorded iteration of every run: key, configuration, seed, `signals.csv`.

    `results.signals.UnitSignals` explains the columns; a value that a unit lacks is NaN. Damaged files are left out
    with a warning and are listed in `.attrs["damaged"]`.
    """
    frame, damaged = _stacked(results, "signals.csv", _read_signals, SIGNAL_COLUMNS, "signals")
    return _with_damage(frame, damaged)


def load_lesions(results: str | Path = "results") -> pd.DataFrame:
    """Return one row for each lesion of every run with `lesions.csv`: key, configuration, seed, the lesion, the error.

    `results.lesions.Lesion` explains the columns; `units` is a text of numbers with spaces between them, `error` the
    test error in % after the lesion. Files that are damaged or cannot be read are left out with a warning and are
    listed in `.attrs["damaged"]`.
    """
    frame, damaged = _stacked(results, "lesions.csv", _read_lesions, LESION_COLUMNS, "lesions", MEASURE_AGAIN)
    return _with_damage(frame, damaged)


def load_path_gradients(results: str | Path = "results") -> pd.DataFrame:
    """Return one row for each path length of every run with `path_gradients.csv`: key, configuration, seed, gradients.

    `results.lesions.PathGradient` explains the columns. Damaged files are left out with a warning and are listed in
    `.attrs["damaged"]`.
    """
    file, what = "path_gradients.csv", "path gradients"
    frame, damaged = _stacked(results, file, _read_path_gradients, PATH_GRADIENT_COLUMNS, what, MEASURE_AGAIN)
    return _with_damage(frame, damaged)


def _stacked(
    results: str | Path,
    file: str,
    read: Callable[[str], pd.DataFrame],
    columns: dict[str, str],
    what: str,
    remedy: str = TRAIN_AGAIN,
) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of every run's file with the run's key, and a message for each file that is left out."""

    def read_with_key(folder: Path) -> pd.DataFrame:
        match = KEY.fullmatch(folder.name)
        assert match is not None
        frame = read(content_of(folder / file).decode()).astype(columns)
        return frame.assign(key=folder.name, configuration=match["configuration"], seed=int(match["seed"]))

    frames, damaged = _read_each(results, read_with_key, what, remedy)
    all_columns = {name: RESULT_COLUMNS[name] for name in ("key", "configuration", "seed")} | columns
    frames = [frame for frame in frames if len(frame)]
    stacked = pd.concat(frames, ignore_index=True) if frames else _empty(all_columns)
    stacked = stacked[list(all_columns)].sort_values(["configuration", "seed"], kind="stable", ignore_index=True)
    return stacked, damaged


def _read_each(results: str | Path, read: Callable[[Path], T], what: str, remedy: str) -> tuple[list[T], list[str]]:
    """Return what `read` returns for each run folder that has the file, and a message for each that is left out."""
    values, damaged = [], []
    for run in run_folders(readable(results)):
        try:
            values.append(read(run.path))
        except FileNotFoundError:
            continue
        except UserError as error:
            damaged.append(f"{error.messages[0]}; left out")
        except ValueError as error:
            damaged.append(f"{run.path}: damaged {what}, left out: {_reason(error)}; {remedy}")
    return values, damaged


def _read_run(folder: Path) -> dict[str, Any]:
    run = RunFolder(folder.parents[1], folder.name)
    result = run.checked_result()
    if result.key != run_key(result.configuration, result.seed):
        raise ValueError(f"the file is the result of {result.key}")
    values = result.model_dump(exclude={"provenance", "metrics"})
    config = run.configuration()
    each = attempts(result.provenance)
    provenance = {
        "commit": _listed([attempt.get("commit") for attempt in each]),
        "dirty": True if any(attempt.get("dirty") for attempt in each) else each[-1].get("dirty"),
        "machine": _listed([_machine(attempt.get("machine")) for attempt in each]),
    }
    return {**result.metrics, **flat_settings(config), **values, **provenance, "path": str(folder)}


def _listed(values: list[Any]) -> Any:
    """Return the one value of all attempts, or the different ones in one text."""
    different = list(dict.fromkeys(values))
    return different[0] if len(different) == 1 else "; ".join(str(value or "unknown") for value in different)


def of_each_attempt(values: Iterable[object]) -> list[str]:
    """Return the different commits or machines of runs, sorted; a resumed run has one for each attempt."""
    attempts = (value.split("; ") if isinstance(value, str) else ["unknown"] for value in values)
    return sorted({part for parts in attempts for part in parts})


def _machine(machine: Any) -> str | None:
    """Return the device that trained a run: `Xeon, 2 cores`, or the name of a GPU; None if unknown."""
    if not isinstance(machine, dict) or not machine.get("device"):
        return None
    on_cpu = machine["device"] == "cpu"
    return f"{machine.get('cpu')}, {machine.get('cores')} cores" if on_cpu else str(machine["device"])


def flat_settings(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the settings by dotted names; a group's `_target_` becomes its class's name, under the group's name."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= flat_settings(value, f"{prefix}{name}.")
        elif name == "_target_":
            flat[prefix.removesuffix(".")] = class_label(str(value))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _read_curve(text: str) -> pd.DataFrame:
    # A last line without its end is incomplete: its last number may lack digits.
    whole_lines = text[: text.rfind("\n") + 1]
    return _read_csv(whole_lines, CURVE_COLUMNS) if whole_lines else _empty(CURVE_COLUMNS)


def _read_responses(text: str) -> pd.DataFrame:
    responses = _read_whole(text, RESPONSE_COLUMNS)
    if responses.empty or responses[list(RESPONSE_COLUMNS)].isna().any(axis=None):
        raise ValueError("the file is incomplete")
    return responses


def _read_signals(text: str) -> pd.DataFrame:
    return _read_whole(text, SIGNAL_COLUMNS)


def _read_lesions(text: str) -> pd.DataFrame:
    return _read_whole(text, LESION_COLUMNS, dtype={"units": "str"}).fillna({"units": ""})


def _read_path_gradients(text: str) -> pd.DataFrame:
    return _read_whole(text, PATH_GRADIENT_COLUMNS)


def _read_whole(text: str, columns: dict[str, str], **options: Any) -> pd.DataFrame:
    """Return a file that is written at once; an incomplete one would look like that of a shallower network."""
    if not text.endswith("\n"):
        raise ValueError("the file is incomplete")
    return _read_csv(text, columns, **options)


def _read_csv(text: str, columns: dict[str, str], **options: Any) -> pd.DataFrame:
    frame = pd.read_csv(io.StringIO(text), **options)
    if absent := [name for name in columns if name not in frame]:
        raise ValueError(f"no column {', '.join(absent)}")
    return frame


def _empty(columns: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(columns=list(columns)).astype(columns)


def _with_damage(frame: pd.DataFrame, damaged: list[str]) -> pd.DataFrame:
    for message in damaged:
        warnings.warn(message, stacklevel=3)
    frame.attrs["damaged"] = damaged
    return frame


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(mistakes_in_file(error))
    return reason_of(error)
