import errno
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from finished import writing

from resnet_ablations.errors import UserError
from resnet_ablations.results.frames import (
    CURVE_COLUMNS,
    RESPONSE_COLUMNS,
    load_curves,
    load_responses,
    load_results,
)
from resnet_ablations.results.run_folder import Result, RunFolder

CONFIG = {
    "network": {"depth": 56},
    "shortcut": {"_target_": "resnet_ablations.network.shortcuts.ShortcutOnlyGating", "gate_bias": -6.0},
    "data": {"_target_": "resnet_ablations.data.sources.Digits", "augmentation": {"pad": 1, "flip": False}},
    "schedule": {
        "iterations": 200,
        "batch_size": 32,
        "milestones": [100, 150],
        "log_every": 100,
        "evaluate_every": 200,
    },
    "precision": "32-true",
    "bn_batch": 32,
    "seed": 3,
}
CURVE = (
    "iteration,learning_rate,train_loss,train_error,test_loss,test_error\n100,0.1,1.5,60,,\n200,0.01,0.5,20,0.7,12.5\n"
)
RESPONSES = "layer,name,std\n1,stem,2.065\n2,stages.0.0.conv1,1\n3,stages.0.0.conv2,0.125\n"


def run(results: Path, configuration: str = "resnet56-digits-1a2b3c4d", seed: int = 3, **changes: object) -> Path:
    folder = RunFolder(results, f"{configuration}-s{seed}")
    folder.freeze(CONFIG)
    values = {
        "key": folder.key,
        "configuration": configuration,
        "seed": seed,
        "outcome": "finished",
        "iterations": 200,
        "train_loss": 0.5,
        "train_error": 20.0,
        "test_loss": 0.7,
        "test_error": 12.5,
        "parameters": 853_018,
        "seconds": 40.0,
        "images_per_second": 1500.0,
        "provenance": {"commit": "c0ffee", "dirty": False, "versions": {}},
    }
    with writing(folder) as writer:
        writer.write_curve(CURVE if "outcome" not in changes else CURVE.replace("0.5,20,0.7,12.5", "nan,20,,"))
        writer.finish(Result.model_validate(values | changes))
    return folder.path


def test_a_run_is_one_row_with_its_configuration(tmp_path: Path) -> None:
    folder = run(tmp_path)
    (row,) = load_results(tmp_path).to_dict("records")
    assert row["key"] == "resnet56-digits-1a2b3c4d-s3"
    assert row["configuration"] == "resnet56-digits-1a2b3c4d"
    assert row["seed"] == 3
    assert (row["outcome"], row["iterations"], row["test_error"]) == ("finished", 200, 12.5)
    assert (row["parameters"], row["seconds"], row["commit"], row["dirty"]) == (853_018, 40.0, "c0ffee", False)
    assert (row["network.depth"], row["shortcut"], row["data"]) == (56, "shortcut_only_gating", "digits")
    assert (row["shortcut.gate_bias"], row["data.augmentation.pad"], row["schedule.iterations"]) == (-6.0, 1, 200)
    assert (row["precision"], row["bn_batch"], row["path"]) == ("32-true", 32, str(folder))


def test_a_diverged_run_has_no_errors(tmp_path: Path) -> None:
    run(
        tmp_path,
        outcome="diverged",
        iterations=200,
        train_loss=None,
        train_error=None,
        test_loss=None,
        test_error=None,
    )
    frame = load_results(tmp_path)
    assert frame.loc[0, "outcome"] == "diverged"
    assert frame["test_error"].dtype == "float64"
    assert frame["test_error"].isna().all()


def test_seeds_are_in_numerical_order(tmp_path: Path) -> None:
    for seed in (10, 2, 0):
        run(tmp_path, seed=seed)
    assert load_results(tmp_path)["seed"].tolist() == [0, 2, 10]
    assert load_curves(tmp_path)["seed"].unique().tolist() == [0, 2, 10]


def test_further_metrics_are_columns_of_their_names(tmp_path: Path) -> None:
    """Runs of earlier versions have no value."""
    run(tmp_path, seed=0, metrics={"top5_error": 1.25, "response_mean": 2})
    run(tmp_path, seed=1, metrics={"top5_error": 1.5})
    run(tmp_path, seed=2)
    frame = load_results(tmp_path)
    assert frame["top5_error"].tolist()[:2] == [1.25, 1.5]
    assert frame["response_mean"].isna().tolist() == [False, True, True]
    assert frame["response_mean"].dtype == frame["top5_error"].dtype == "float64"
    assert "metrics" not in frame
    assert frame["test_error"].tolist() == [12.5] * 3
    assert "top5_error" not in load_results(run(tmp_path / "other").parents[1])


def test_a_run_without_a_result_is_in_the_curves_only(tmp_path: Path) -> None:
    (run(tmp_path) / "result.json").unlink()
    assert load_results(tmp_path).empty
    assert len(load_curves(tmp_path)) == 2


@pytest.mark.parametrize("load", [load_results, load_curves])
def test_a_folder_that_is_no_results_folder_is_named(tmp_path: Path, load: Callable[[Path], object]) -> None:
    (tmp_path / "runs" / "resnet56-identity-digits-01234567-s0").mkdir(parents=True)
    with pytest.raises(UserError, match=rf"runs: has no folder runs, .*; name {tmp_path}$"):
        load(tmp_path / "runs")
    (tmp_path / "other" / "photos").mkdir(parents=True)
    with pytest.raises(UserError, match=r"other: has no folder runs, .*; name one with a folder runs$"):
        load(tmp_path / "other")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("there", [False, True])
def test_an_empty_folder_gives_empty_tables(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "runs").mkdir()
    results, curves, responses = load_results(tmp_path), load_curves(tmp_path), load_responses(tmp_path)
    assert results.empty
    assert curves.empty
    assert responses.empty
    assert {"key", "seed", "test_error", "network.depth", "shortcut", "path"} <= set(results)
    assert list(curves) == ["key", "configuration", "seed", *CURVE_COLUMNS]
    assert list(responses) == ["key", "configuration", "seed", *RESPONSE_COLUMNS]
    assert results.attrs["damaged"] == curves.attrs["damaged"] == responses.attrs["damaged"] == []
    assert results["test_error"].dtype == "float64"


def test_curve_columns_and_types(tmp_path: Path) -> None:
    run(tmp_path)
    curves = load_curves(tmp_path)
    assert list(curves) == ["key", "configuration", "seed", *CURVE_COLUMNS]
    assert curves["iteration"].tolist() == [100, 200]
    assert curves["test_error"].isna().tolist() == [True, False]
    assert curves.loc[1, "train_loss"] == 0.5


@pytest.mark.parametrize("torn", ["300,0.01,0.4,15,0.6,1", "300,0.01", "3"])
def test_a_torn_last_line_is_dropped(tmp_path: Path, torn: str) -> None:
    (run(tmp_path) / "curve.csv").write_text(CURVE + torn)
    assert load_curves(tmp_path)["iteration"].tolist() == [100, 200]


@pytest.mark.parametrize("text", ["", "iteration,lear", CURVE.splitlines()[0] + "\n"])
def test_a_curve_that_has_only_begun_is_no_damage(tmp_path: Path, text: str) -> None:
    (run(tmp_path) / "curve.csv").write_text(text)
    curves = load_curves(tmp_path)
    assert curves.empty
    assert curves.attrs["damaged"] == []


@pytest.mark.parametrize("text", ["iteration,loss\n1,2\n", CURVE + "x,y,z,a,b,c\n", CURVE + "\0\0\0\n"])
def test_a_damaged_curve_is_named(tmp_path: Path, text: str) -> None:
    folder = run(tmp_path)
    run(tmp_path, seed=4)
    (folder / "curve.csv").write_text(text)
    with pytest.warns(UserWarning, match="damaged curve"):
        curves = load_curves(tmp_path)
    assert curves["seed"].unique().tolist() == [4]
    (message,) = curves.attrs["damaged"]
    assert message.startswith(str(folder))


def damage(folder: Path, kind: str) -> None:
    path = folder / "result.json"
    content = json.loads(path.read_text())
    match kind:
        case "torn":
            path.write_text(path.read_text()[:100])
        case "empty":
            path.write_text("")
        case "no error":
            path.write_text(json.dumps(content | {"test_error": None}))
        case "nan":
            path.write_text(json.dumps(content | {"test_error": math.nan}))
        case "other outcome":
            path.write_text(json.dumps(content | {"outcome": "running"}))
        case "other run":
            path.write_text(json.dumps(content | {"key": "resnet20-digits-00000000-s3"}))
        case "no curve":
            (folder / "curve.csv").unlink()
        case "short curve":
            (folder / "curve.csv").write_text(CURVE[: CURVE.index("200,")])
        case "torn curve":
            (folder / "curve.csv").write_text(CURVE[:-2])
        case "no config":
            (folder / "config.yaml").unlink()
        case "torn config":
            (folder / "config.yaml").write_text("network: {depth")


@pytest.mark.parametrize(
    "kind",
    [
        *("torn", "empty", "no error", "nan", "other outcome", "other run"),
        *("no curve", "short curve", "torn curve", "no config", "torn config"),
    ],
)
def test_a_damaged_result_is_left_out_and_named(tmp_path: Path, kind: str) -> None:
    folder = run(tmp_path)
    run(tmp_path, seed=4)
    damage(folder, kind)
    with pytest.warns(UserWarning, match="damaged result"):
        frame = load_results(tmp_path)
    assert frame["seed"].tolist() == [4]
    (message,) = frame.attrs["damaged"]
    assert message.startswith(str(folder))
    assert "delete the folder" in message
    assert "\n" not in message


def test_responses_are_one_row_a_layer(tmp_path: Path) -> None:
    for seed in (10, 2):
        (run(tmp_path, seed=seed) / "layer_responses.csv").write_text(RESPONSES)
    run(tmp_path, seed=4)
    responses = load_responses(tmp_path)
    assert list(responses) == ["key", "configuration", "seed", *RESPONSE_COLUMNS]
    assert responses["seed"].tolist() == [2] * 3 + [10] * 3
    assert responses["layer"].tolist() == [1, 2, 3] * 2
    assert responses["name"].tolist()[:3] == ["stem", "stages.0.0.conv1", "stages.0.0.conv2"]
    assert responses["std"].tolist()[:3] == [2.065, 1.0, 0.125]
    assert responses["key"].unique().tolist() == ["resnet56-digits-1a2b3c4d-s2", "resnet56-digits-1a2b3c4d-s10"]
    assert responses["configuration"].unique().tolist() == ["resnet56-digits-1a2b3c4d"]
    assert responses.attrs["damaged"] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "layer,name,std\n",
        RESPONSES.rstrip("\n"),
        RESPONSES[:-2],
        RESPONSES + "4,stem",
        RESPONSES + "4,stem\n",
        RESPONSES + "4,,1.5\n",
        RESPONSES + "x,stem,1.5\n",
        RESPONSES + "4,stem,wide\n",
        RESPONSES + "\0\0\0\n",
        RESPONSES.replace("std", "sd"),
    ],
)
def test_damaged_responses_are_left_out_and_named(tmp_path: Path, text: str) -> None:
    """Half of them would be those of a shallower network."""
    folder = run(tmp_path)
    (folder / "layer_responses.csv").write_text(text)
    (run(tmp_path, seed=4) / "layer_responses.csv").write_text(RESPONSES)
    with pytest.warns(UserWarning, match="damaged layer responses") as warned:
        responses = load_responses(tmp_path)
    assert responses["seed"].tolist() == [4] * 3
    (message,) = responses.attrs["damaged"]
    assert message.startswith(str(folder))
    assert "delete the folder" in message
    assert "\n" not in message
    assert [Path(warning.filename) for warning in warned] == [Path(__file__)], "whoever asked for them is told"


def test_tables_join_on_the_key(tmp_path: Path) -> None:
    run(tmp_path)
    joined = load_curves(tmp_path).merge(load_results(tmp_path)[["key", "shortcut"]], on="key")
    assert joined["shortcut"].tolist() == ["shortcut_only_gating"] * 2


@pytest.mark.parametrize("load", [load_results, load_curves])
def test_a_file_that_may_not_be_read_is_named_and_not_called_damaged(
    load: Callable[[Path], pd.DataFrame], tmp_path: Path, failing_reads: Callable[[Callable[[Path], bool], int], None]
) -> None:
    sound, locked = run(tmp_path), run(tmp_path, seed=4)
    failing_reads(lambda path: path.parent == locked and path.name in ("result.json", "curve.csv"), errno.EACCES)
    with pytest.warns(UserWarning, match="left out"):
        frame = load(tmp_path)
    assert set(frame["key"]) == {sound.name}
    (message,) = frame.attrs["damaged"]
    assert re.fullmatch(rf"{locked}/\w+\.\w+: cannot be read: Permission denied; make it readable; left out", message)


@pytest.mark.parametrize("load", [load_results, load_curves])
def test_a_run_that_is_removed_meanwhile_is_left_out(
    load: Callable[[Path], pd.DataFrame], tmp_path: Path, failing_reads: Callable[[Callable[[Path], bool], int], None]
) -> None:
    sound, gone = run(tmp_path), run(tmp_path, seed=4)
    failing_reads(lambda path: path.parent == gone, errno.ENOENT)
    frame = load(tmp_path)
    assert (set(frame["key"]), frame.attrs["damaged"]) == ({sound.name}, [])
