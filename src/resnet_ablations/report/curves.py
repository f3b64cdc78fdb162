"""Learning curves as data: points of one run and of the paper, fewer points, and the range over seeds."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from resnet_ablations.experiments import paper_curve

CUT_OFF = 2.01
"""The upper end of the paper's loss axis; a digitised loss at or above it is only a lower bound."""
MOST_POINTS = 120
"""The most points of a training curve: with more points, the curve's noise would fill the gaps between the dashes."""
PARTS = {"train_loss": (0.9, 1.0), "train_error": (0.9, 1.0), "early_train_error": (0.0, 1 / 3)}
"""The parts of the iterations over which a curve is averaged; the training loss as its logarithm."""


def train_points(curve: pd.DataFrame, quantity: Literal["train_loss", "train_error"]) -> pd.Series:
    """Return one run's training loss or error (%) by iteration.

    A logged value is the mean since the row before, so its iteration is the middle of that interval. At the end of the
    interval a falling curve would look too high.
    """
    iterations = curve["iteration"]
    middles = (iterations + iterations.shift(fill_value=0)) / 2
    return pd.Series(curve[quantity].to_numpy(), index=pd.Index(middles, name="iteration"), name=quantity)


def mean_of(quantity: str, curve: pd.Series, iterations: int) -> float:
    """Return the mean of a curve over the quantity's part of the iterations; NaN if the curve has no point there.

    NaN also for a loss of 0, which has no logarithm.
    """
    first, last = PARTS[quantity]
    part = curve.loc[first * iterations : last * iterations]
    if quantity != "train_loss":
        return float(part.mean())
    return float(np.log(part).mean()) if part.min() > 0 else math.nan


def error_points(curve: pd.DataFrame) -> pd.Series:
    """Return one run's test error (%) by iteration, where it was evaluated."""
    return curve.dropna(subset="test_error").set_index("iteration")["test_error"]


def paper_loss(curve: str) -> pd.Series | None:
    """Return the paper's digitised training loss by iteration, infinite where the curve is cut off by the axis."""
    loss = paper_curve(curve, "train_loss")
    return None if loss is None else loss.where(loss < CUT_OFF, math.inf)


def coarser(points: pd.Series, most: int = MOST_POINTS) -> pd.Series:
    """Return means over groups of neighbouring points, in the smallest groups that leave at most `most` means."""
    if len(points) <= most:
        return points
    groups = np.arange(len(points)) // -(-len(points) // most)
    return points.groupby(groups).mean().set_axis(points.index.to_series().groupby(groups).mean().to_numpy())


def thinned(length: int, most: int) -> list[int]:
    """Return the positions of at most `most` equally spaced rows, always with the first and the last."""
    return sorted(set(np.linspace(0, length - 1, min(most, length)).round().astype(int).tolist()))


def over_seeds(runs: Sequence[pd.Series]) -> pd.DataFrame:
    """Return `low`, `median` and `high` over the runs at each point; they are equal for a single run."""
    if len(runs) == 1:
        return pd.DataFrame(dict.fromkeys(("low", "median", "high"), runs[0]))
    return pd.concat(list(runs)).groupby(level=0).agg(low="min", median="median", high="max")


def by_size(responses: pd.Series) -> pd.Series:
    """Return the responses by rank from 1, the largest first."""
    ranked = responses.sort_values(ascending=False)
    return ranked.set_axis(range(1, len(ranked) + 1))
