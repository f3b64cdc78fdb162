"""The console that prints tables: a terminal, or plain text of a fixed width."""

import os
import sys

from rich.console import Console

for name in ("COLUMNS", "LINES"):
    if os.environ.get(name) == "0":  # unknown to most programs, but a size to Rich
        del os.environ[name]

WIDTH = 100
"""The number of columns of plain text, and the largest width of a table of the report."""


def standard_console(width: int = WIDTH) -> Console:
    """Return a console for the terminal, or for plain text of `width` columns if stdout is not a terminal."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode shows ?
    return Console(highlight=False, width=None if sys.stdout.isatty() else width)
