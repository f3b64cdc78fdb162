"""Axes as data: from where to where they go, and what stands along them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.scale import SymmetricalLogTransform
from matplotlib.ticker import LogLocator, MaxNLocator

STEPS = (1, 2, 2.5, 5, 10)
"""Between the ticks of an axis, times a power of ten."""
ERRORS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Ticks of final errors in %."""
FINER_ERRORS = (0.0, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
"""Where fewer than four of those are in sight."""
LINEAR_BELOW, LINEAR_DECADES = 1, 0.5
"""A `symlog` axis is linear from 0 to 1, which takes as much room as half a power of ten above."""


@dataclass(frozen=True)
class Axis:
    """From where to where an axis goes, and what stands along it."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    texts: tuple[str, ...]
    scale: Literal["linear", "log", "symlog"] = "linear"

    def share(self, value: float) -> float:
        """How far along the axis a value lies, from 0 to 1."""
        numbers = np.array([self.low, self.high, value], dtype=float)
        if self.scale == "log":
            numbers = np.log(numbers)
        elif self.scale == "symlog":
            numbers = np.asarray(SymmetricalLogTransform(10, LINEAR_BELOW, LINEAR_DECADES).transform(numbers))
        low, high, place = map(float, numbers)
        return (place - low) / (high - low)


def linear_axis(label: str, low: float, high: float, steps: Sequence[float] = STEPS) -> Axis:
    """From `low` to `high`, with some five ticks."""
    ticks = ticks_of(MaxNLocator(5, steps=steps), low, high)
    return Axis(label, low, high, ticks, alike(ticks))


def log_axis(label: str, low: float, high: float) -> Axis:
    """From `low` to `high`, with ticks at round numbers, the more the fewer powers of ten there are."""
    decades = math.log10(high / low)
    digits = (1, 1.5, 2, 3, 4, 5, 7) if decades < 1 else (1, 2, 5) if decades < 3.2 else (1,)
    ticks = ticks_of(LogLocator(subs=digits), low, high)
    return Axis(label, low, high, ticks, tuple(f"{tick:g}" for tick in ticks), scale="log")


def final_errors_axis(label: str, errors: Iterable[float]) -> Axis:
    """Errors in %, from tick to tick: logarithmic above 1, linear below, where runs end that make no mistake."""
    errors = list(errors)
    low = max(tick for tick in ERRORS if tick <= min(errors))
    high = max(min((tick for tick in ERRORS if tick >= max(errors)), default=ERRORS[-1]), low + 1)
    ticks = [tick for tick in ERRORS if low <= tick <= high]
    if len(ticks) < 4:
        ticks = [tick for tick in FINER_ERRORS if low <= tick <= high]
    return Axis(label, low, high, tuple(ticks), tuple(f"{tick:g}" for tick in ticks), scale="symlog")


def amounts_axis(label: str, amounts: Iterable[float]) -> Axis:
    """A logarithmic axis from tick to tick, at 1, 2 and 5 times powers of ten or, where these are few, between too."""
    amounts = list(amounts)
    for digits in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        steps = sorted(digit * 10.0**power for power in range(-9, 13) for digit in digits)
        low = max(step for step in steps if step <= min(amounts))
        high = min(step for step in steps if step >= max(amounts) and step > low)
        ticks = [step for step in steps if low <= step <= high]
        if len(ticks) > 3:
            break
    if math.log10(high / low) > 2:
        ticks = [tick for tick in ticks if f"{tick:e}"[0] != "5"]
    return Axis(label, low, high, tuple(ticks), tuple(f"{tick:,g}" for tick in ticks), scale="log")


def ticks_of(locator: MaxNLocator | LogLocator, low: float, high: float) -> tuple[float, ...]:
    """Those between the ends."""
    return tuple(round(float(tick), 12) for tick in locator.tick_values(low, high) if low <= tick <= high)


def alike(ticks: Sequence[float]) -> tuple[str, ...]:
    """All with as many digits after the point."""
    digits = max((len(f"{tick:g}".partition(".")[2]) for tick in ticks), default=0)
    return tuple(f"{tick:.{digits}f}" for tick in ticks)
