import math

import pandas as pd

from resnet_ablations.report.curves import coarser, mean_of, over_seeds


def test_coarser_curves_keep_the_mean() -> None:
    points = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0], index=pd.Index([10.0, 20.0, 30.0, 40.0, 50.0], name="iteration"))
    assert coarser(points, 3).to_dict() == {15.0: 1.5, 35.0: 3.5, 50.0: 5.0}
    assert coarser(points[:3], 3).to_dict() == points[:3].to_dict()
    assert coarser(points[:0], 3).empty


def test_median_and_band_over_seeds() -> None:
    curves = [pd.Series({1: low, 2: 1.0}) for low in (1.0, 5.0, 2.0)]
    assert over_seeds(curves).to_dict("index")[1] == {"low": 1.0, "median": 2.0, "high": 5.0}


def test_the_mean_of_errors_counts_those_of_0() -> None:
    errors = pd.Series([4.0, 2.0, 0.0], index=[100, 200, 300])
    assert mean_of("early_train_error", errors, 900) == 2.0
    assert math.isnan(mean_of("train_loss", pd.Series([0.0], index=[900]), 900))
