import multiprocessing
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """Assert that no worker process of a loader is left after a test."""
    yield
    assert multiprocessing.active_children() == []
