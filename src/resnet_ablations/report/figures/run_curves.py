"""The curves of single runs: one small panel a run."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element

import pandas as pd
from markupsafe import Markup

from resnet_ablations.report.curves import coarser, error_points, thinned, train_points
from resnet_ablations.report.figures import svg
from resnet_ablations.report.figures.axes import show_grid
from resnet_ablations.report.figures.chart import add_axes, panel_figure, paper_style, written

WIDTH, HEIGHT = 2.6, 0.95
"""The width and the height of a panel in inches."""
MOST_POINTS = 60
"""The most points of a line."""


def run_curves(curves: Mapping[str, pd.DataFrame], shared: dict[str, Element]) -> dict[str, Markup]:
    """Return each run's test error (solid) and training error (dashed) by iteration, as an SVG of the page."""
    if not curves:
        return {}
    with paper_style():
        figure, places = panel_figure([HEIGHT] * len(curves), "", WIDTH)
        for place, curve in zip(places, curves.values(), strict=True):
            axes = add_axes(place, 0.35, 0.2, 0.25, HEIGHT - 0.3)
            training, test = coarser(train_points(curve, "train_error"), MOST_POINTS), error_points(curve)
            test = test.iloc[thinned(len(test), MOST_POINTS)]
            for points, stroke, width in ((training, "--", 0.9), (test, "-", 1.4)):
                axes.plot(points.index, points, color=svg.COLOURS[0], linestyle=stroke, linewidth=width, clip_on=False)
            last, high = int(curve["iteration"].max()), 10 * -(-max(*training, *test, 1.0) // 10)
            axes.set(xlim=(0, last), ylim=(0, high), yticks=(0, high), yticklabels=("", f"{high:.0f} %"))
            axes.set_xticks([last], [f"{last:,}"])
            axes.spines[:].set_visible(False)
            axes.tick_params("x", length=0)
            show_grid(axes, "y")
        drawn = svg.cleaned(written(figure, "svg"))
        return dict(zip(curves, svg.panels_for_page(drawn, figure, shared), strict=True))
