"""The width of what is printed."""

import subprocess
import sys


def test_a_width_of_0_is_unknown() -> None:
    """Rich takes COLUMNS=0 for a width, and would print nothing at a terminal."""
    code = "from resnet_ablations.console import Console; print(Console(force_terminal=True).width)"
    ended = subprocess.run(
        [sys.executable, "-c", code], env={"COLUMNS": "0", "LINES": "0"}, capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) >= 80
