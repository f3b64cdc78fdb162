"""From logged curves to points that can be drawn and compared with the paper's."""

import math
from collections.abc import Iterable
from typing import Literal

import pandas as pd

from resnet_ablations.experiments import paper_curve

CUT_OFF = 2.01
"""A digitised loss from here on is the end of the paper's axis and no value: the true one is this or more."""


def train_points(curve: pd.DataFrame, quantity: Literal["train_loss", "train_error"]) -> pd.Series:
    """One run's training loss or error (%) by iteration.

    What is logged is the mean over the interval since the row before, so it belongs to the middle of the interval:
    placed at its end it would lag by half an interval, which on a falling curve looks like a loss that is too high.
    """
    iterations = curve["iteration"]
    middles = (iterations + iterations.shift(fill_value=0)) / 2
    return pd.Series(curve[quantity].to_numpy(), index=pd.Index(middles, name="iteration"), name=quantity)


def paper_loss(curve: str) -> pd.Series | None:
    """The paper's digitised training loss by iteration, infinite where it runs along the end of the printed axis."""
    loss = paper_curve(curve, "train_loss")
    return None if loss is None else loss.where(loss < CUT_OFF, math.inf)


def coarser(points: pd.Series, at_most: int) -> pd.Series:
    """The means of so many neighbouring points each that not more than `at_most` are left."""
    if len(points) <= at_most:
        return points
    together = -(-len(points) // at_most)
    groups = pd.Series(range(len(points))) // together
    means = points.reset_index().groupby(groups).mean()
    return means.set_index(means.columns[0])[means.columns[1]]


def error_points(curve: pd.DataFrame) -> pd.Series:
    """One run's test error (%) by iteration, where it was evaluated."""
    return curve.dropna(subset="test_error").set_index("iteration")["test_error"]


def by_size(responses: pd.Series) -> pd.Series:
    """The same responses, the largest first, by rank from 1."""
    ranked = responses.sort_values(ascending=False)
    return pd.Series(ranked.to_numpy(), index=range(1, len(ranked) + 1), name=responses.name)


def over_seeds(curves: Iterable[pd.Series]) -> pd.DataFrame:
    """`low`, `median` and `high` of several seeds' curves by iteration."""
    joined = pd.concat(list(curves), axis="columns").sort_index()
    return pd.DataFrame(
        {
            "low": joined.min(axis="columns"),
            "median": joined.median(axis="columns"),
            "high": joined.max(axis="columns"),
        }
    )


def finished_curves(configurations: Iterable[str], runs: pd.DataFrame, curves: pd.DataFrame) -> list[pd.DataFrame]:
    """The curves of the finished ones among `runs_of` a plan, for those of its configurations."""
    chosen = runs[runs["configuration"].isin(list(configurations)) & (runs["outcome"] == "finished")]
    by_key = [curves[curves["key"] == key] for key in chosen["key"]]
    return [curve for curve in by_key if len(curve)]
