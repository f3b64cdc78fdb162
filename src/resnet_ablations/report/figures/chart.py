"""A figure of the report: drawn once by matplotlib, then written as PDF, as SVG and into the page."""

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import Element

import matplotlib.style
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import GridSpec

from resnet_ablations.report.figures import svg
from resnet_ablations.report.frame import Sweep
from resnet_ablations.report.labels import held_out_note

WIDTH = 3.45
"""The width of a panel in inches: one column of a printed page."""
LETTERS_PER_INCH = 19
"""Characters per inch of a figure's note."""
LINE = 0.13
"""The height of a line of the note in inches."""


def paper_style() -> AbstractContextManager[None]:
    """Return a context for drawing and writing figures; the user's matplotlibrc has no effect in it."""
    style: list[Any] = [Path(__file__).with_name("paper.mplstyle"), {"text.parse_math": False}]  # a label's $ is text
    return matplotlib.style.context(style, after_reset=True)


@dataclass(frozen=True)
class NumbersRow:
    """The numbers behind one line or mark; `to` is the address of its runs in the page, `id` the row's own id."""

    label: str
    to: str
    texts: tuple[str, ...]
    id: str = ""


@dataclass(frozen=True)
class Chart:
    """A figure, its files, and the numbers behind it. The SVG is drawn at the first use of `drawn` or `files`."""

    name: str
    """The end of its files' names: `fig3`, `strip`, `cost`."""
    shows: str
    """The content of the figure: its title on the page and its alternative text in Markdown."""
    note: str
    """The meaning of its lines and marks."""
    headings: tuple[str, ...]
    rows: tuple[NumbersRow, ...]
    figure: Figure = field(repr=False)

    @cached_property
    def drawn(self) -> Element:
        """The figure as SVG."""
        return svg.cleaned(written(self.figure, "svg"))

    @property
    def files(self) -> dict[str, bytes]:
        """The content of the figure's files, by suffix (`pdf`, `svg`)."""
        return {"svg": svg.file_text(self.drawn).encode(), "pdf": written(self.figure, "pdf")}

    def panels(self, shared: dict[str, Element]) -> Iterator[Markup]:
        """Yield each panel as an SVG of the page; `shared` collects the definitions that all figures share."""
        return svg.panels_for_page(self.drawn, self.figure, shared)


def written(figure: Figure, suffix: Literal["pdf", "svg"]) -> bytes:
    """Return the figure's file, without a date, so that the same figure gives the same bytes."""
    file = io.BytesIO()
    with paper_style():
        figure.savefig(file, format=suffix, metadata={"CreationDate" if suffix == "pdf" else "Date": None})
    return file.getvalue()


def add_axes(place: SubFigure, left: float, bottom: float, right: float, height: float) -> Axes:
    """Return new axes of a panel; margins and height in inches."""
    width, inches = place.bbox.width / 100, place.bbox.height / 100
    return place.add_axes((left / width, bottom / inches, 1 - (left + right) / width, height / inches))


def sweep_note(sweep: Sweep, has_test_error: bool) -> str:
    """Return the end of a figure's note, with a space before each sentence.

    The sentences say which images the test error is measured on, if they are no test set, and which cells are declared
    differently since their runs.
    """
    labels = [label for of_one in sweep.redeclared.values() for label in of_one]
    redeclared = f"Declared differently since these runs: {sweep.named(labels)}." if labels else ""
    held_out = held_out_note(sweep.settings) if has_test_error else ""
    return "".join(f" {sentence}" for sentence in (held_out, redeclared) if sentence)


def panel_figure(heights: Sequence[float], note: str, width: float = WIDTH) -> tuple[Figure, list[SubFigure]]:
    """Return a figure and its panels above a note. The page shows each panel by itself.

    One or two panels fill one column of a printed page, more fill two. `heights` and `width` of the panels in inches;
    panels side by side are as high as the higher one.
    """
    columns = 1 if len(heights) <= 2 else 2
    lines = textwrap.wrap(note, int(columns * width * LETTERS_PER_INCH))
    rows = [max(heights[start : start + columns]) for start in range(0, len(heights), columns)]
    rows.append(LINE * len(lines) + 0.08)
    figure = Figure(figsize=(columns * width, math.fsum(rows)))
    grid = GridSpec(len(rows), columns, figure, height_ratios=rows)
    panels = [figure.add_subfigure(grid[divmod(number, columns)]) for number in range(len(heights))]
    for number, panel in enumerate(panels):
        panel.set_gid(f"panel-{number}")
    figure.text(0.08 / figure.get_figwidth(), 0.06 / figure.get_figheight(), "\n".join(lines), size=7, linespacing=1.2)
    return figure, panels
