"""All figures of a sweep."""

import matplotlib.style

from resnet_ablations.report.figures.chart import STYLE, Chart
from resnet_ablations.report.figures.finals import costs, strip
from resnet_ablations.report.figures.panels import paper_figures
from resnet_ablations.report.frame import ReportData, Sweep


def figures_of(sweep: Sweep, source: ReportData) -> list[Chart]:
    """Return the papers' figures, the strip of final errors and the costs: those that the sweep's runs allow."""
    # After a reset: a reader's own matplotlibrc must not change the figures. A label's $ is no formula.
    with matplotlib.style.context([STYLE, {"text.parse_math": False}], after_reset=True):
        made = [*paper_figures(sweep, source), strip(sweep), costs(sweep)]
    return [figure for figure in made if figure is not None]
