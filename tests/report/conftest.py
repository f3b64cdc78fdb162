from collections.abc import Mapping
from pathlib import Path

import pytest
from made_up import Declare, MadeUp

from resnet_ablations import experiments

SCALES = """
scales:
  quick: {seeds: [0]}
  small:
    seeds: [0]
    instead:
      network.depth=110: [network.depth=56]
      network.depth=164: [network.depth=56, "network.kernels=[3,3]"]
      network.depth=1001: null
  early: {prefix_of: paper, iterations: 2000, seeds: [0]}
  paper: {seeds: [0, 1, 2, 3, 4]}
"""


@pytest.fixture
def made_up(tmp_path: Path) -> MadeUp:
    """A results folder to be filled, of experiments/shortcuts.yaml."""
    return MadeUp(tmp_path / "results")


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Declares an experiment from the rest of its file, with the paper's curves by file, and makes a results folder."""
    folder = tmp_path / "experiments"
    monkeypatch.setattr(experiments, "EXPERIMENTS", folder)

    def make(text: str, curves: Mapping[str, Mapping[float, float]] | None = None) -> MadeUp:
        (folder / "curves").mkdir(parents=True, exist_ok=True)
        head = "title: A title\nsource: the source\ncaption: What it shows.\n"
        (folder / "declared.yaml").write_text(head + SCALES + text, encoding="utf-8")
        for file, points in (curves or {}).items():
            lines = "".join(f"{x},{y}\n" for x, y in points.items())
            (folder / "curves" / f"{file}.csv").write_text(f"x,y\n{lines}")
        return MadeUp(tmp_path / "results", "declared")

    return make
