"""Figures as files."""

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure as Drawing

STYLE = Path(__file__).with_name("paper.mplstyle")
FORMATS = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
"""What is written, with the metadata that would differ from build to build taken out."""


def figure_files(draw: Callable[[], Drawing]) -> dict[str, bytes]:
    """What `draw` makes as its files' content by format, the same bytes for the same data."""
    files = {}
    # After a reset: a reader's own matplotlibrc must not change the figures.
    with matplotlib.style.context(STYLE, after_reset=True):
        drawing = draw()
        for suffix, metadata in FORMATS.items():
            buffer = io.BytesIO()
            drawing.savefig(buffer, format=suffix, metadata=metadata)
            files[suffix] = buffer.getvalue()
    return files
