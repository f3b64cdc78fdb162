from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_experiment import TINY

from resnet_ablations import experiments
from resnet_ablations.sweep.planning import Plan, _plan, plan


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Plan]]:
    """Return a function that plans a multirun command line for a changed experiment `tiny` in `tmp_path/results`."""
    monkeypatch.setattr(experiments, "EXPERIMENTS", tmp_path)
    monkeypatch.chdir(tmp_path)

    def make(*overrides: str, **changes: Any) -> Plan:
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY | changes, sort_keys=False), encoding="utf-8")
        _plan.cache_clear()
        return plan([f"paths.results={tmp_path}/results", *overrides])

    yield make
    _plan.cache_clear()
