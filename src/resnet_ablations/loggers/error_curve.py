"""The error curve of one run as an image, as in the papers' figures."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from resnet_ablations.results.curve import CurveRow


def error_curve(title: str, rows: Sequence[CurveRow]) -> bytes:
    """Return a PNG: training error (dashed) and test error (solid), in %, over iterations."""
    # Not pyplot, because pyplot keeps every figure in memory and needs a display.
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="iterations", ylabel="error (%)")
    axes.set_title(title, fontsize="small")
    axes.plot([row.iteration for row in rows], [row.train_error for row in rows], "--", label="training")
    tested = [(row.iteration, row.test_error) for row in rows if row.test_error is not None]
    axes.plot(*zip(*tested, strict=True) if tested else ([], []), "-", label="test")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=150)
    return png.getvalue()
