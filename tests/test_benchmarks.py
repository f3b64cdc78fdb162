"""`make bench`: it measures a tutorial's loop and ours, and writes what it measured."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import loops, training

CASES = [("ours", "32-true")]


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two iterations is timed, on one thread, in float32, which every CPU has."""
    monkeypatch.setattr(training, "groups", lambda device: [training.Group("resnet20", CASES)])
    monkeypatch.setattr(training, "ITERATIONS", {"cpu": {"resnet20": 1}})
    monkeypatch.setattr(training, "IMAGES", 640)
    monkeypatch.setattr(training, "usable_cores", lambda: 1)
    monkeypatch.setattr(loops, "WARM_UP", 1)
    monkeypatch.setattr(sys, "argv", ["bench", "--repetitions", "1", "--output", str(tmp_path), "--name", "here"])


def test_both_loops_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training.main()
    report = json.loads((tmp_path / "here.json").read_text(encoding="utf-8"))
    assert report["left_out"] == []
    assert [(row["loop"], row["precision"]) for row in report["loops"]] == [("plain", "32-true"), *CASES]
    assert all(row["images_per_second"] > 0 for row in report["loops"])
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines() if " ms " in line] == ["plain", "ours"]


@pytest.mark.parametrize(
    ("loop", "left_out", "measured"),
    [("ours", "ours 32-true", ["plain"]), ("plain", "plain 32-true", [])],
)
def test_a_loop_that_fails_is_named_once_and_the_exit_code_is_1(
    loop: str, left_out: str, measured: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*of_loop: object) -> None:
        raise TypeError("one argument is missing\nmore lines")

    monkeypatch.setattr(training, loop, fails)
    with pytest.raises(SystemExit) as ended:
        training.main()
    assert ended.value.code == 1
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.startswith("left out")] == [
        f"left out: resnet20: {left_out}: TypeError: one argument is missing"
    ]
    assert [line.split()[1] for line in told if " ms " in line] == measured
