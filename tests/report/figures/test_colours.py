"""Lines that every reader can tell apart."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from resnet_ablations.report.figures.axes import MARKERS
from resnet_ablations.report.figures.svg import COLOURS

SEEN_BY = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopes": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopes": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopes": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}
"""Matrices on linear RGB (Machado, Oliveira and Fernandes, 2009, severity 1)."""
XYZ = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]


def lab(colour: str, eyes: str) -> np.ndarray:
    """Return CIE L*a*b* of a colour as some eyes see it."""
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


def test_each_colour_has_a_marker() -> None:
    assert len(set(MARKERS)) == len(MARKERS) >= len(COLOURS)
