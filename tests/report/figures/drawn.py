"""The figures of made-up results folders."""

from made_up import MadeUp
from matplotlib.axes import Axes

from resnet_ablations.report.contents import figures_of
from resnet_ablations.report.figures.chart import Chart
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.results.sweeps import SweepPlan


def charts(made_up: MadeUp, plan: SweepPlan) -> dict[str, Chart]:
    """Return the figures of a sweep by name."""
    data = read_report_data(made_up.path)
    (sweep,) = (sweep for sweep in data.sweeps if sweep.plan.name == plan.name)
    return {chart.name: chart for chart in figures_of(sweep, data)}


def marks(axes: Axes) -> list[tuple[float, float, str, str]]:
    """Return x, y, address and title of each mark."""
    found = []
    for drawn in axes.collections:
        for (x, y), url in zip(drawn.get_offsets().tolist(), drawn.get_urls(), strict=False):  # type: ignore[union-attr]
            if url:
                to, _, title = url.partition(" ")
                found.append((x, y, to, title))
    return found


def texts(chart: Chart) -> list[str]:
    """Return all texts of a figure's panels, axes and legends."""
    panels = chart.figure.subfigs
    legends = [legend for panel in panels for legend in panel.legends]
    found = [text for panel in panels for text in panel.texts]
    found += [text for legend in legends for text in legend.get_texts()]
    found += [text for panel in panels for axes in panel.axes for text in axes.texts]
    return [text.get_text() for text in found] + [chart.note]
