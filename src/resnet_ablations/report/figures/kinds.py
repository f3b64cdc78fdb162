"""The kinds of panel as data: what is drawn of each line, and the axes that fit it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.ticker import MaxNLocator

from resnet_ablations.report.figures.axes import Axis, alike, linear_axis, log_axis, ticks_of
from resnet_ablations.report.figures.lines import Line, Quantity

PAPER_LOSS_AXIS, PAPER_ERROR_AXIS = (0.002, 2.0), (0.0, 20.0)
"""Of v2's figures."""


@dataclass(frozen=True)
class Stroke:
    """How a quantity is drawn, and what a figure's key calls it."""

    name: str
    style: Literal["-", "--"]
    width: float


@dataclass(frozen=True)
class Axes:
    """The axes of a panel; the test error has the right one where there is one, all else the left one."""

    x: Axis
    left: Axis
    right: Axis | None = None

    def of(self, quantity: Quantity) -> Axis:
        """The vertical axis of a quantity."""
        return self.right if self.right is not None and quantity == "test_error" else self.left


@dataclass(frozen=True)
class Kind:
    """A kind of panel: its quantities, and how its axes are made."""

    shows: str
    strokes: dict[Quantity, Stroke]
    axes_of: Callable[[Sequence[Line], bool], Axes]
    """From all lines that they must fit, and whether they are the paper's own."""


def _loss_and_error_axes(lines: Sequence[Line], as_printed: bool) -> Axes:
    """v2, Fig. 1, 3 and 6: training loss on the left axis, logarithmic; test error on the right one."""
    loss = _values(lines, "train_loss")
    loss = loss[(loss > 0) & (loss < math.inf)]
    as_printed = as_printed or loss.empty
    low, high = PAPER_LOSS_AXIS if as_printed else (float(loss.min()) / 1.15, float(loss.max()) * 1.15)
    errors = PAPER_ERROR_AXIS if as_printed else (0, _top(_values(lines, "test_error")))
    return Axes(_iterations(lines), log_axis("training loss", low, high), linear_axis("test error (%)", *errors))


def _errors_axes(lines: Sequence[Line], as_printed: bool) -> Axes:
    """v1, Fig. 4 and 6: training and test error on one axis, which ends where the paper's curves are cut off."""
    low, high = 0.0, _top(pd.concat([_values(lines, "train_error"), _values(lines, "test_error")]))
    paper = [curve for line in lines for curve in line.paper.values()]
    if as_printed and paper:
        printed = pd.concat(paper)
        # A digitised curve may run a little over the edge.
        low, high = 10 * math.floor((printed.min() + 1) / 10), 10 * math.ceil((printed.max() - 1) / 10)
    return Axes(_iterations(lines), linear_axis("error (%)", low, high))


def _responses_axes(lines: Sequence[Line], _: bool) -> Axes:
    """v1, Fig. 7: the standard deviation of the response of each layer."""
    values = _values(lines, "response")
    last = 1 + max(values.index, default=1)
    layers = ticks_of(MaxNLocator(5, integer=True), 0, last)
    top = 1 if values.empty else float(values.max()) * 1.05
    return Axes(
        Axis("layer index", 0, last, layers, alike(layers)),
        linear_axis("standard deviation", 0, top, steps=(1, 2, 5, 10)),
    )


def _iterations(lines: Sequence[Line]) -> Axis:
    ends = [line.end for line in lines] + [float(curve.index.max()) for line in lines for curve in line.paper.values()]
    last = max([1, *ends])
    ticks = ticks_of(MaxNLocator(5, steps=[1, 2, 5, 10]), 0, last)
    return Axis("iterations", 0, last, ticks, tuple(f"{tick:,.0f}" for tick in ticks))


def _top(errors: pd.Series) -> float:
    """The next ten above errors in %."""
    return 100 if errors.empty else min(100, 10 * math.ceil(float(errors.max()) * 1.02 / 10))


def _values(lines: Sequence[Line], quantity: Quantity) -> pd.Series:
    """Everything drawn of a quantity."""
    tables = [line.ours[quantity] for line in lines if quantity in line.ours]
    columns = [table[name] for table in tables for name in ("low", "high")]
    columns += [line.paper[quantity] for line in lines if quantity in line.paper]
    return pd.concat(columns) if columns else pd.Series(dtype=float)


KINDS = {
    "loss_and_error": Kind(
        "training loss and test error",
        {
            "train_loss": Stroke("training loss (left axis)", "--", 1.1),
            "test_error": Stroke("test error (right axis)", "-", 1.5),
        },
        _loss_and_error_axes,
    ),
    "errors": Kind(
        "training error and test error",
        {"train_error": Stroke("training error", "--", 0.8), "test_error": Stroke("test error", "-", 1.7)},
        _errors_axes,
    ),
    "responses": Kind(
        "standard deviation of each layer’s response",
        {"response": Stroke("standard deviation of a layer’s response", "-", 1.2)},
        _responses_axes,
    ),
}
