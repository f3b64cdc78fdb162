"""Damaged files, and results folders of any name, from the command line."""

import hashlib
import io
import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sweeps import HOW, ONE, Sweeps, part_of

from resnet_ablations.results.run_folder import RunFolder

pytestmark = pytest.mark.xdist_group("faults")


class ExecutedWhenLoaded:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, ("executed",)


def saved(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def add(run: RunFolder, iteration: int, content: bytes, *, name_of: bytes | None = None) -> None:
    """A checkpoint with the digest of its content, or of other content, in its name."""
    digest = hashlib.sha256(content if name_of is None else name_of).hexdigest()[:16]
    (run.path / f"checkpoint-{iteration:08}-{digest}.pt").write_bytes(content)


def test_damaged_files_are_set_aside_and_the_sound_ones_used(sweeps: Sweeps, undisturbed: dict[str, Any]) -> None:
    """All kinds of checkpoints that cannot be used, in one folder, and curves that a killed machine left."""
    two = (*ONE, "seed=0,1")
    tenth = {"event": "os.rename", "name": "checkpoint-*", "nth": 10, "do": "kill"}
    assert sweeps.run(*two, *HOW, "sweep.retries=0", faults=[tenth]).code == 1
    run, other = sweeps.runs
    sound = max(run.path.glob("checkpoint-*.pt")).read_bytes()
    flipped = bytearray(sound)
    flipped[len(sound) // 2] ^= 1
    add(run, 31, sound[:-100], name_of=sound)
    add(run, 32, b"", name_of=sound)
    add(run, 33, bytes(flipped), name_of=sound)
    add(run, 34, saved(torch.load(io.BytesIO(sound), weights_only=True) | {"key": other.key}))
    add(run, 35, saved({"key": ExecutedWhenLoaded()}))
    add(run, 36, pickle.dumps(ExecutedWhenLoaded()))
    with run.curve.open("a") as curve:
        curve.write("27,0.1,1.0,50.0,,\n27,0.1,1.0,50.0,,\n40,0.01,0.")
    other.curve.unlink()
    (other.path / "result.json").write_text('{"key": "')

    command = sweeps.run(*two, *HOW)

    assert command.code == 0, command.said
    aside = sorted(path.name.split("-")[1] for path in run.path.glob("*.damaged"))
    assert aside == [f"{iteration:08}" for iteration in range(31, 37)]
    assert run.log.read_text().count("not used") == 6
    assert all("from step 27" in folder.log.read_text() for folder in (run, other))
    assert not list(sweeps.place.rglob("executed"))
    for damaged in sweeps.results.rglob("*.damaged"):
        damaged.unlink()
    assert sweeps.outcome() == part_of(undisturbed, run.key, other.key)


ODD = "Ünï {a} = (b, 'c\") $d [1] #e%&;~ \\f\\'"


LONG = pytest.mark.long


@pytest.mark.parametrize("launcher", ["local", pytest.param("basic", marks=LONG), pytest.param("joblib", marks=LONG)])
def test_a_results_folder_may_have_any_name_with_any_launcher(
    sweeps_in: Callable[..., Sweeps], undisturbed: dict[str, Any], launcher: str
) -> None:
    how = [setting for setting in HOW if launcher == "local" or not setting.startswith("hydra")]
    two = (*ONE, *(("seed=0",) if launcher == "joblib" else ("seed=0,1",)))
    sweeps = sweeps_in(ODD)
    killed = {"event": "os.rename", "name": "checkpoint-*", "nth": 4, "do": "kill", "once": str(sweeps.place / "once")}
    command = sweeps.run(*two, *how, f"hydra/launcher={launcher}", faults=[killed] if launcher == "local" else [])
    assert command.code == 0, command.said
    assert sweeps.outcome() == part_of(undisturbed, *(run.key for run in sweeps.runs))
    assert {path.name for path in sweeps.place.iterdir()} <= {"results", "said.txt", "once"}
    if launcher == "local":
        told = sweeps.told("status")
        assert told.code == 0, told.said
        assert all(run.key in told.said for run in sweeps.runs)
