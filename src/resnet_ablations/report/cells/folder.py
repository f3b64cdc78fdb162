"""A results folder as tables."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from resnet_ablations.results.frames import load_curves, load_responses, load_results


@dataclass(frozen=True)
class Results:
    """A results folder as tables: its runs, or those of one plan, their curves and their layers' responses."""

    runs: pd.DataFrame
    curves: pd.DataFrame
    responses: pd.DataFrame
    damaged: tuple[str, ...] = ()
    """What of the folder could not be read and is left out, in words."""

    @cached_property
    def curves_by_run(self) -> dict[str, pd.DataFrame]:
        """Each run's curve, by its key."""
        return {str(key): curve for key, curve in self.curves.groupby("key", sort=False)}


def load(folder: Path) -> Results:
    """The whole results folder, without a warning of what is damaged."""
    with warnings.catch_warnings(action="ignore"):
        frames = load_results(folder), load_curves(folder), load_responses(folder)
    return Results(*frames, damaged=tuple(line for frame in frames for line in frame.attrs["damaged"]))
