"""Waiting for, and looking at, runs in other processes."""

import time
from collections.abc import Callable
from typing import Any

from resnet_ablations.results.run_folder import Result


def numbers(result: Result | None) -> dict[str, Any]:
    """The parts of a result that must not depend on when and where a run was trained."""
    assert result is not None
    return result.model_dump(exclude={"seconds", "images_per_second", "provenance"})


def wait_until(happened: Callable[[], object], seconds: float = 240) -> None:
    """Return as soon as it has happened; a busy machine may take minutes to import torch."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
