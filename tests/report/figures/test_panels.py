"""Lines that every reader can tell apart."""

from itertools import combinations

import numpy as np
import pytest
from made_up import MadeUp
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Drawing
from old_reports import sweep_report

from resnet_ablations.report.cells.folder import load
from resnet_ablations.report.figures import kinds, layout
from resnet_ablations.report.figures.panels import COLOURS, MARKERS, draw_panel, line_marker

SEEN_BY = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopes": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopes": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopes": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}
"""Of linear RGB (Machado, Oliveira and Fernandes, 2009, severity 1)."""
XYZ = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]


def lab(colour: str, eyes: str) -> np.ndarray:
    """CIE L*a*b* of a colour as some eyes see it."""
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(np.array(SEEN_BY[eyes]) @ linear, 0, 1) / np.array([0.9505, 1, 1.0888])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_colours_are_told_apart_by(eyes: str) -> None:
    seen = [lab(colour, eyes) for colour in COLOURS]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 12
    assert abs(seen[0][0] - seen[1][0]) > 25, "the two of most panels by their lightness alone"


def test_lines_have_marks_of_their_own_at_places_of_their_own(made_up: MadeUp) -> None:
    assert len(set(MARKERS)) == len(MARKERS) >= len(COLOURS)
    for row, _, _ in made_up.experiment.cells():
        made_up.run(row.id, 9.0, error_at=lambda iteration: 50.0)
    made = sweep_report(made_up.plan(), load(made_up.path), made_up.path)
    lines = made.figures[0].lines[0]
    kind = kinds.KINDS["loss_and_error"]
    left, right = draw_panel(kind, Drawing().add_subplot(), lines, kind.axes_of(lines, False), len(lines))
    first, second = left.lines
    assert (first.get_marker(), second.get_marker()) == (line_marker(0), line_marker(1))
    assert first.get_marker() != second.get_marker()
    points = range(len(np.asarray(first.get_xdata())))
    (start, every), (other, _) = first.get_markevery(), second.get_markevery()
    assert 0 < len(points[start::every]) <= 6
    assert not set(points[start::every]) & set(points[other::every])
    assert [line.get_marker() for line in right.lines] == [line_marker(0), line_marker(1)]


def test_the_names_of_lines_show_their_marks(made_up: MadeUp) -> None:
    made_up.run("original", 9.0)
    plan = made_up.plan()
    made = sweep_report(plan, load(made_up.path), made_up.path)
    legend = layout.draw(made.figures[0], plan).axes[0].get_legend()
    assert legend is not None
    assert [handle.get_marker() for handle in legend.legend_handles] == [line_marker(0), line_marker(1)]  # type: ignore[union-attr]
