from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet_ablations import experiments
from resnet_ablations.sweep.plan import Plan, plan

ROW = {"case": "any", "panel": "2a", "on_shortcut": "1", "on_residual": "1", "printed": 6.61}
TINY = {
    "title": "Tiny",
    "source": "nowhere",
    "caption": "Two rows, three configurations.",
    "overrides": ["activation=original", "trainer=cpu"],
    "scales": {
        "quick": {"overrides": ["network.depth=8", "schedule.iterations=6"], "seeds": [0]},
        "paper": {"overrides": ["network.depth=14", "schedule.iterations=9"], "seeds": [0, 1]},
        "early": {"prefix_of": "paper", "iterations": 3, "seeds": [0]},
    },
    "rows": [
        ROW | {"id": "original", "configurations": [["shortcut=identity"]]},
        ROW
        | {
            "id": "gates",
            "configurations": [["shortcut=exclusive_gating", f"shortcut.gate_bias={bias}"] for bias in (0, -1)],
        },
    ],
}


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Plan]]:
    """Plans a multirun command line, its results in `tmp_path/results`; there is an experiment `tiny`, with changes."""
    monkeypatch.setattr(experiments, "EXPERIMENTS", tmp_path)
    monkeypatch.chdir(tmp_path)

    def make(*overrides: str, **changes: Any) -> Plan:
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY | changes), encoding="utf-8")
        plan.cache_clear()
        return plan((f"paths.results={tmp_path}/results", *overrides))

    yield make
    plan.cache_clear()
