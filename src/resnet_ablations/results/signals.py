"""`signals.csv`: the signal, the gradient and the gate of each residual unit while a run trains."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields


@dataclass(frozen=True)
class UnitSignals:
    """The signals of one unit on the first micro-batch of an iteration: its N = `bn_batch` images.

    |t| is the root mean square over the images: |t| = √(Σ ‖t_i‖² / N), where ‖t_i‖ is the Euclidean norm of image i's
    part of t over channels and positions. So no value grows with N, and none depends on devices, ranks and passes by
    more than rounding.

    In v2's notation unit l has the input x_l, the residual F(x_l), the merge y_l and the output x_{l+1} = f(y_l). The
    merge is what the shortcut makes of x_l and F(x_l): x_l + F(x_l) for the identity, (1 − g)·x_l + g·F(x_l) for
    exclusive gating. E is the sum of the images' cross-entropies, and x_L is the output of the last unit. The part of
    ∂E/∂x_l at image i is the gradient of the summed loss at image i, N times that of the mean loss. Batch normalisation
    couples the images, so this part also has what image i does to the losses of the others.

    The direct term of ∂E/∂x_l is ∂E/∂x_L carried back by the merges and f, with every F(x) held constant. With
    h(x) = λ·x and no f, v2's eq. 8 says that it is (∏ λ) ∂E/∂x_L. A merge whose gate depends on x adds the gate's
    derivative: g'(x)·(F − x) for exclusive gating, −g'(x)·x for shortcut-only gating.
    """

    unit: int
    """The unit's number, counted from 1; the output of the last unit has the next number."""
    signal: float
    """|x_l|"""
    gradient: float
    """|∂E/∂x_l|"""
    direct: float
    """|direct term of ∂E/∂x_l|"""
    residual: float | None = None
    """|F(x_l)|, before the merge scales it by g, μ or a mask; None at the last unit's output, as all values below."""
    negative: float | None = None
    """The share of negative values in y_l (v2, section 4.2)."""
    scale: float | None = None
    """The λ that the shortcut expects (`Shortcut.expected_scale`); None if the shortcut does not say."""
    gate_mean: float | None = None
    """The mean of g(x); None without a gate, as all values below."""
    gate_open: float | None = None
    """The share of g(x) above one half."""
    gate_bias: float | None = None
    """The mean of b_g."""


PUBLISHED_WHOLE = 100_000
"""The largest size in bytes of a `signals.csv` that is published with all of its rows."""

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


def published(content: bytes) -> bytes:
    """Return the part of a `signals.csv` that is published: of a large file, the first and the last iteration."""
    if len(content) <= PUBLISHED_WHOLE:
        return content
    header, *rows = content.splitlines(keepends=True)
    ends = [row.partition(b",")[0] for row in (*rows[:1], *rows[-1:])]
    return b"".join([header, *(row for row in rows if row.partition(b",")[0] in ends)])
