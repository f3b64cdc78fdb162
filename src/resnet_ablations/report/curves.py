"""Points of the learning curves, ours and the paper's, that can be drawn and compared."""

import math
from typing import Literal

import pandas as pd

from resnet_ablations.experiments import paper_curve

CUT_OFF = 2.01
"""The end of the paper's loss axis: a digitised loss from here on means this or more."""


def train_points(curve: pd.DataFrame, quantity: Literal["train_loss", "train_error"]) -> pd.Series:
    """Return one run's training loss or error (%) by iteration.

    A logged value is the mean since the row before, so its iteration is the middle of that interval. At the end of the
    interval a falling curve would look too high.
    """
    iterations = curve["iteration"]
    middles = (iterations + iterations.shift(fill_value=0)) / 2
    return pd.Series(curve[quantity].to_numpy(), index=pd.Index(middles, name="iteration"), name=quantity)


def error_points(curve: pd.DataFrame) -> pd.Series:
    """Return one run's test error (%) by iteration, where it was evaluated."""
    return curve.dropna(subset="test_error").set_index("iteration")["test_error"]


def paper_loss(curve: str) -> pd.Series | None:
    """Return the paper's digitised training loss by iteration, infinite where the curve is at the end of the axis."""
    loss = paper_curve(curve, "train_loss")
    return None if loss is None else loss.where(loss < CUT_OFF, math.inf)
