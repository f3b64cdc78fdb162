"""A figure of the report: drawn once by matplotlib, then written as PDF, as SVG and into the page."""

import io
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import GridSpec

from resnet_ablations.report.figures import svg

STYLE = Path(__file__).with_name("paper.mplstyle")
WIDTH = 3.45
"""Inches of a panel: one column of a printed page."""
LETTERS = 19
"""Letters of a figure's note on an inch."""
LINE = 0.13
"""Inches of a line of the note."""


@dataclass(frozen=True)
class NumbersRow:
    """The numbers behind one line or mark of a figure; `to` is the address of its runs in the page, `id` its own."""

    label: str
    to: str
    texts: tuple[str, ...]
    id: str = ""


@dataclass(frozen=True)
class Chart:
    """A figure, its files, and the numbers behind it."""

    name: str
    """The end of its files' names: `fig3`, `strip`, `cost`."""
    shows: str
    """The text that stands for the figure."""
    note: str
    """The meaning of its lines and marks."""
    headings: tuple[str, ...]
    rows: tuple[NumbersRow, ...]
    figure: Figure = field(repr=False)
    pdf: bytes = field(repr=False)
    svg: Element = field(repr=False)

    @property
    def files(self) -> dict[str, bytes]:
        """The figure's files by suffix."""
        return {"pdf": self.pdf, "svg": svg.file_text(self.svg).encode()}

    def panels(self, prefix: str) -> Iterator[Markup]:
        """Yield each panel as an SVG of the page, with ids that begin with `prefix`."""
        points, top = 72 / self.figure.dpi, self.figure.bbox.height
        boxes = [panel.bbox for panel in self.figure.subfigs]
        sides = [(box.x0, top - box.y1, box.width, box.height) for box in boxes]
        return svg.panels_for_page(self.svg, prefix, [[side * points for side in four] for four in sides])


def chart(
    name: str, shows: str, note: str, figure: Figure, headings: Iterable[str], rows: Iterable[NumbersRow]
) -> Chart:
    """Write a figure in both forms; dates, which would differ from build to build, are left out."""
    pdf, vector = io.BytesIO(), io.BytesIO()
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    figure.savefig(vector, format="svg", metadata={"Date": None})
    drawn = svg.cleaned(vector.getvalue())
    return Chart(name, shows, note, tuple(headings), tuple(rows), figure, pdf.getvalue(), drawn)


def add_axes(place: SubFigure, left: float, bottom: float, right: float, height: float) -> Axes:
    """Return new axes of a panel; margins and height in inches."""
    width, inches = place.bbox.width / 100, place.bbox.height / 100
    return place.add_axes((left / width, bottom / inches, 1 - (left + right) / width, height / inches))


def panel_figure(heights: Sequence[float], note: str) -> tuple[Figure, list[SubFigure]]:
    """Return a figure of panels in two columns over a note; the page takes the panels apart.

    `heights` in inches; panels side by side are as high as the higher one.
    """
    columns = min(2, len(heights))
    lines = textwrap.wrap(note, int(columns * WIDTH * LETTERS))
    rows = [max(heights[start : start + columns]) for start in range(0, len(heights), columns)]
    rows.append(LINE * len(lines) + 0.08)
    figure = Figure(figsize=(columns * WIDTH, math.fsum(rows)))
    grid = GridSpec(len(rows), columns, figure, height_ratios=rows)
    panels = [figure.add_subfigure(grid[divmod(number, columns)]) for number in range(len(heights))]
    for number, panel in enumerate(panels):
        panel.set_gid(f"panel-{number}")
    figure.text(0.08 / figure.get_figwidth(), 0.06 / figure.get_figheight(), "\n".join(lines), size=7, linespacing=1.2)
    return figure, panels
