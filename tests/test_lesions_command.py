"""`resnet-ablations lesions`: what it writes for finished runs, and what it refuses."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from finished import finish_run, writing

import resnet_ablations as ra
from resnet_ablations import lesions
from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]


def measure(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["lesions", *arguments])
    lesions.main()


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer draws and paths."""
    monkeypatch.setattr("resnet_ablations.probe.lesions.DRAWS", 2)
    monkeypatch.setattr("resnet_ablations.probe.path_gradients.SAMPLES", 1)


def test_finished_runs_are_measured_once(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    run, without = config("bn_batch=32"), config("seed=1", "trainer.keep_weights=false")
    recorded = train_run(run)
    train_run(without)
    assert recorded is not None
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        measure(monkeypatch, "*", f"--results={results}")
    printed, errors = capsys.readouterr()
    assert end.value.code == 2
    assert printed == f"{run.key}: measured\n"
    assert errors.startswith(f"error: {without.folder.path}: its weights were not kept")
    assert errors.count("\n") == 1

    found = ra.load_lesions(results)
    assert set(found["key"]) == {run.key}
    none, *deleted = found[found["draw"].isna()].to_dict("records")
    assert (none["lesion"], none["units"]) == ("none", "")
    assert none["error"] == pytest.approx(recorded.test_error, rel=1e-5)
    assert [one["units"] for one in deleted] == ["1", "2", "3"]
    assert set(found["draw"].dropna()) == {1, 2}
    gradients = ra.load_path_gradients(results)
    assert gradients["length"].tolist() == [0, 1, 2, 3]
    assert gradients["paths"].tolist() == [1, 3, 3, 1]
    assert (gradients[["one_path", "all_paths"]] > 0).all(axis=None)

    files = run.folder.lesions, run.folder.path_gradients
    texts = [file.read_text() for file in files]
    files[1].write_text("before")
    measure(monkeypatch, run.key, f"--results={results}")
    assert capsys.readouterr().out == f"{run.key}: measured before\n"
    assert files[1].read_text() == "before"
    measure(monkeypatch, run.key, f"--results={results}", "--again")
    assert [file.read_text() for file in files] == texts


def test_measurements_of_earlier_weights_do_not_stay(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "x-s0")
    folder.freeze({})
    for file in (folder.lesions, folder.path_gradients):
        file.write_text("of earlier weights")
    with writing(folder) as writer:
        writer.start({})
    assert not folder.lesions.exists()
    assert not folder.path_gradients.exists()


@pytest.mark.parametrize("meanwhile", ["removed", "trained again", "being trained"])
def test_measurements_of_other_weights_are_not_written(config: Config, meanwhile: str) -> None:
    run = config()
    folder = run.folder
    finish_run(run, weights="measured")
    killed = folder.path / ".lesions.csv.0a1b2c3d"
    killed.write_text("half")
    lesions.write_measured(folder, "measured", "gradients", "lesions")
    assert (folder.path_gradients.read_text(), folder.lesions.read_text()) == ("gradients", "lesions")
    assert not killed.exists()
    if meanwhile == "trained again":
        finish_run(run, weights="others")
    with ExitStack() as stack:
        if meanwhile == "removed":
            shutil.rmtree(folder.path)
        elif meanwhile == "being trained":
            stack.enter_context(writing(folder))
        with pytest.raises(UserError, match="removed or trained again while it was measured"):
            lesions.write_measured(folder, "measured", "more", "more")
    assert folder.path.exists() == (meanwhile != "removed")
    assert not folder.lesions.exists() or folder.lesions.read_text() == "lesions"


LOADERS = {"lesions": ra.load_lesions, "path_gradients": ra.load_path_gradients, "signals": ra.load_signals}


@pytest.mark.parametrize("name", LOADERS)
def test_a_damaged_file_is_left_out_and_named(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path, "x-s0")
    folder.freeze({})
    file: Path = getattr(folder, name)
    for text, reason in (("a,b\n1,2\n", "no column"), ("a", "the file is incomplete"), ("", "the file is incomplete")):
        file.write_text(text)
        with pytest.warns(UserWarning, match=f"x-s0: damaged .+{reason}.+ again"):
            frame = LOADERS[name](tmp_path)
        assert len(frame.attrs["damaged"]) == 1
        assert frame.empty
