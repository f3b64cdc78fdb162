"""Figures as files."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure as Drawing

STYLE = Path(__file__).with_name("paper.mplstyle")
FORMATS = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""What is written, with the metadata that would differ from build to build taken out."""


def figure_files(drawings: Mapping[str, Callable[[], Drawing]]) -> dict[str, bytes]:
    """The files of figures, drawn one after the other: the same bytes for the same data."""
    files = {}
    # After a reset: a reader's own matplotlibrc must not change the figures.
    with matplotlib.style.context(STYLE, after_reset=True):
        for stem, draw in drawings.items():
            drawing = draw()
            for suffix, metadata in FORMATS.items():
                buffer = io.BytesIO()
                drawing.savefig(buffer, format=suffix, metadata=metadata)
                files[f"{stem}.{suffix}"] = buffer.getvalue()
    return files
