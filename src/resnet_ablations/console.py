"""Where tables are printed: the terminal, or plain text of a fixed width."""

import sys

from rich.console import Console

WIDTH = 100
"""Columns of plain text, and the most that a table of the report may take."""


def standard_console(width: int = WIDTH) -> Console:
    """The terminal; where there is none, plain text of so many columns."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode shows ? and does not break
    return Console(highlight=False, width=None if sys.stdout.isatty() else width)
