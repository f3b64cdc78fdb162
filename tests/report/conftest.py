from pathlib import Path

import pytest
from made_up import MadeUp


@pytest.fixture
def made_up(tmp_path: Path) -> MadeUp:
    """A results folder to be filled."""
    return MadeUp(tmp_path / "results")
