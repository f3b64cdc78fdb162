"""The console that prints tables: a terminal, or plain text of a fixed width."""

import sys

from rich.console import Console

WIDTH = 100
"""The number of columns of plain text, and the largest width of a table of the report."""


def standard_console(width: int = WIDTH) -> Console:
    """Return a console for the terminal, or for plain text of `width` columns if stdout is not a terminal."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode shows ?
    return Console(highlight=False, width=None if sys.stdout.isatty() else width)
