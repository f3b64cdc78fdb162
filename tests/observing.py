"""Functions that observe runs in other processes."""

import time
from collections.abc import Callable
from typing import Any

from resnet_ablations.results.run_folder import Result


def numbers(result: Result | None) -> dict[str, Any]:
    """Return the parts of a result that must not depend on time and machine."""
    assert result is not None
    return result.model_dump(exclude={"seconds", "images_per_second", "provenance"})


def wait_until(happened: Callable[[], object], seconds: float = 240) -> None:
    """Wait until `happened` is true; fail after `seconds`, which are many since a busy machine imports torch slowly."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
