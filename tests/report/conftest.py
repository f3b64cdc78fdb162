from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from made_up import Declare, MadeUp

from resnet_ablations import experiments
from resnet_ablations.report import frame

SCALES = {
    "quick": {"seeds": [0]},
    "early": {"prefix_of": "paper", "iterations": 2_000, "seeds": [0]},
    "paper": {"seeds": [0, 1, 2, 3, 4]},
}


@pytest.fixture(autouse=True, scope="module")
def _invented_configurations() -> Iterator[None]:
    """Made-up plans have configurations that `conf/` does not declare; tests/test_declared.py has real plans."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame, "changes_since", lambda plan, experiment: {})
        yield


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    """Return an empty results folder for experiments/shortcuts.yaml, without other people's numbers."""
    monkeypatch.setattr(experiments, "OTHERS", "nothing.csv")
    return MadeUp(tmp_path / "results")


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Return a function that declares an experiment and makes a results folder.

    Its arguments are the rest of the experiment's file, the paper's curves by file, and replacements of scale small.
    """
    folder = tmp_path / "experiments"
    monkeypatch.setattr(experiments, "EXPERIMENTS", folder)

    def make(
        text: str,
        curves: Mapping[str, Mapping[float, float]] | None = None,
        replacements: Mapping[str, object] | None = None,
    ) -> MadeUp:
        (folder / "curves").mkdir(parents=True, exist_ok=True)
        scales = SCALES | {"small": {"seeds": [0], "replacements": replacements or {}}}
        shared = {"title": "A title", "source": "the source", "caption": "What it shows.", "scales": scales}
        (folder / "declared.yaml").write_text(
            yaml.safe_dump(shared | yaml.safe_load(text), sort_keys=False), encoding="utf-8"
        )
        for file, points in (curves or {}).items():
            lines = "".join(f"{x},{y}\n" for x, y in points.items())
            (folder / "curves" / f"{file}.csv").write_text(f"x,y\n{lines}")
        return MadeUp(tmp_path / "results", "declared")

    return make
