"""`signals.csv`: the signal, the gradient and the gate of each residual unit while a run trains."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields


@dataclass(frozen=True)
class UnitSignals:
    """The signals of one unit on a training batch; norms are Euclidean, over images, channels and positions.

    In v2's notation unit l has the input x_l, the residual F(x_l), the merge y_l = h(x_l) + F(x_l) and the output
    x_{l+1} = f(y_l). E is the mean cross-entropy, x_L the output of the last unit. The direct term of ∂E/∂x_l is
    ∂E/∂x_L carried back by the shortcuts alone, with every F(x) held constant. If h(x) = λ·x and f is the identity,
    v2's eq. 8 says that it is (∏ λ) ∂E/∂x_L.
    """

    unit: int
    """The unit's number, counted from 1; the output of the last unit has the next number."""
    signal: float
    """‖x_l‖"""
    gradient: float
    """‖∂E/∂x_l‖"""
    direct: float
    """‖direct term of ∂E/∂x_l‖"""
    residual: float | None = None
    """‖F(x_l)‖; None at the output of the last unit, as all that follows."""
    negative: float | None = None
    """The share of negative values in y_l (v2, section 4.2)."""
    scale: float | None = None
    """The λ that the shortcut expects (`Shortcut.expected_scale`); None if the shortcut does not say."""
    gate_mean: float | None = None
    """The mean of g(x); None without a gate, as all that follows."""
    gate_open: float | None = None
    """The share of g(x) above one half."""
    gate_bias: float | None = None
    """The mean of b_g."""


COLUMNS = ("iteration", *(field.name for field in fields(UnitSignals)))
HEADER = ",".join(COLUMNS) + "\n"


def lines(iteration: int, units: Iterable[UnitSignals]) -> str:
    """Return the lines of the units after `iteration` updates: five significant digits, empty if there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for unit in units:
        number, *values = astuple(unit)
        writer.writerow((iteration, number, *("" if value is None else f"{value:.5g}" for value in values)))
    return text.getvalue()
