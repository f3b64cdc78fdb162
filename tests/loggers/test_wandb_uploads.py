"""`python -m resnet_ablations.wandb_sync`: uploads of run folders, each run once and completely."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_wandb import KEY, FakeWandb, hangs
from observing import wait_until
from trained import STEPS, crashed, points

from resnet_ablations.overrides import compose
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.training.run import train_run

# One worker trains the runs once, and has the warm Python.
pytestmark = pytest.mark.xdist_group("warm")

Sync = Callable[..., subprocess.CompletedProcess[str]]
Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results without wandb's recordings: a finished run, a failed one, and one without logger=wandb."""
    results = tmp_path_factory.mktemp("left") / "results"
    tiny = ("network.depth=8", "schedule.iterations=6", "trainer=cpu", "trainer.threads=1", f"paths.results={results}")
    finished, failed, other = (
        compose([*tiny, *STEPS, f"seed={seed}", f"logger={logger}"])
        for seed, logger in enumerate(("wandb", "wandb", "none"))
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WANDB_MODE", "offline")
        train_run(finished)
        crashed(patched, failed, 4)
        train_run(other)
    for recorded in results.glob("runs/*/wandb"):
        shutil.rmtree(recorded)
    return results


@pytest.fixture
def results(left: Path, tmp_path: Path) -> Path:
    return shutil.copytree(left, tmp_path / "results")


@pytest.fixture
def folders(results: Path) -> list[RunFolder]:
    """Return the three runs, in the order of their seeds."""
    return [RunFolder(results, path.name) for path in sorted(results.glob("runs/*"))]


@pytest.fixture
def sync(warm_python: Python, results: Path) -> Sync:
    """Return the command, for a user with WANDB_MODE=offline."""

    def given(*runs: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ("-m", "resnet_ablations.wandb_sync", "--results", str(results), *runs)
        return warm_python(*command, cwd=results.parent, **{"WANDB_MODE": "offline"} | environment)

    return given


def test_each_run_once_and_whole(sync: Sync, server: FakeWandb, folders: list[RunFolder]) -> None:
    """From the run folders alone, without recordings. A second call sends nothing."""
    finished, failed, _ = folders
    ended = sync()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line.partition(", uploaded: http")[0] for line in ended.stdout.splitlines()] == [
        f"[1/2] {finished.key}: finished",
        f"[2/2] {failed.key}: failed",
    ]
    assert set(server.runs) == {finished.key, failed.key}
    assert [server.runs[folder.key].points for folder in (finished, failed)] == [points(finished), points(failed)]
    assert [server.runs[folder.key].exit_codes for folder in (finished, failed)] == [[0], [1]]
    assert server.runs[failed.key].summary["reason"] == "RuntimeError: out of memory"
    sent, upserts = server.streamed, [len(run.upserts) for run in server.runs.values()]
    ended = sync()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count(": already uploaded\n") == 2
    assert (server.streamed, [len(run.upserts) for run in server.runs.values()]) == (sent, upserts)
    assert {path.name for path in finished.path.iterdir()} == {path.name for path in folders[2].path.iterdir()}


def test_an_upload_that_was_killed_is_made_whole(
    sync: Sync, server: FakeWandb, folders: list[RunFolder], results: Path
) -> None:
    """Points that the server already has are not there twice."""
    finished = folders[0]
    server.disturbed = lambda path: hangs(path) if path.endswith("file_stream") else None
    command = [sys.executable, "-m", "resnet_ablations.wandb_sync", "--results", str(results), finished.key]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: server.streamed)
        process.kill()
    there = server.runs[finished.key]
    assert there.history == []
    begun = points(finished)[:3]
    there.history = [{"_step": point["iteration"], "_runtime": 1.0} | point for point in begun]
    there.summary = there.history[-1]
    server.disturbed = lambda path: None
    ended = sync(finished.key)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert there.points == points(finished)
    assert [row["_step"] for row in there.history] == [1, 2, 3, 4, 5, 6, 7]
    assert there.summary["outcome"] == "finished"


def test_a_run_that_continued_after_its_upload_is_sent_again(
    sync: Sync, server: FakeWandb, folders: list[RunFolder]
) -> None:
    failed = folders[1]
    sync(failed.key)
    run = compose([f"frozen={failed.config}"])
    run = run.model_copy(update={"paths": run.paths.model_copy(update={"results": str(failed.path.parents[1])})})
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WANDB_MODE", "disabled")
        train_run(run)
    assert sync(failed.key).returncode == 0
    there = server.runs[failed.key]
    assert (there.points, there.exit_codes) == (points(failed), [1, 0])
    assert (there.summary["outcome"], there.summary["reason"]) == ("finished", "")


def test_a_run_by_its_name_whatever_it_was_trained_with_but_none_that_is_under_way(
    sync: Sync, server: FakeWandb, folders: list[RunFolder]
) -> None:
    failed, other = folders[1:]
    failed.set_status(Status(outcome="running", iteration=5, iterations=6))
    with RunLock(failed.path):
        ended = sync("*-s[12]")
    assert ended.returncode == 0
    assert f"[1/2] {failed.key}: running, not uploaded yet\n[2/2] {other.key}: finished, uploaded" in ended.stdout
    assert set(server.runs) == {other.key}
    assert server.runs[other.key].points == points(other)


@pytest.mark.parametrize(
    ("environment", "runs", "told"),
    [
        ({"WANDB_API_KEY": KEY}, (), "wandb-sync: no answer from http://127.0.0.1:9: "),
        ({}, (), "no API key for"),
        ({"WANDB_API_KEY": "too short"}, (), "WANDB_API_KEY invalid"),
        ({}, ("*-dropout-*",), "*-dropout-*: no such run in"),
    ],
)
def test_mistakes(sync: Sync, server: FakeWandb, environment: dict[str, str], runs: tuple[str, ...], told: str) -> None:
    url = "http://127.0.0.1:9" if "127.0.0.1:9:" in told else server.url
    ended = sync(*runs, **{"WANDB_API_KEY": "", "WANDB_BASE_URL": url} | environment)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert told in line


IMPATIENT = """
import sys
from resnet_ablations import wandb_sync
from resnet_ablations.loggers import wandb_uploads
wandb_uploads.CONFIRM_SECONDS = 0
sys.argv = ["wandb_sync"]
wandb_sync.main()
"""


def test_a_rejected_upload_is_reported_as_not_sent(
    warm_python: Python, server: FakeWandb, results: Path, folders: list[RunFolder]
) -> None:
    """wandb reports success although the server has rejected the points."""
    server.disturbed = lambda path: 403 if path.endswith("file_stream") else None
    ended = warm_python("-c", IMPATIENT, cwd=results.parent)
    assert ended.returncode == 2
    assert ended.stdout.count("not sent\n") == 2
    told = "sent, but the server lacks a part; run the same command again"
    assert ended.stderr == "".join(f"error: {folder.key}: {told}\n" for folder in folders[:2])
    server.disturbed = lambda path: None
    assert warm_python("-c", IMPATIENT, cwd=results.parent).returncode == 0
    assert [server.runs[folder.key].points for folder in folders[:2]] == [points(folder) for folder in folders[:2]]
