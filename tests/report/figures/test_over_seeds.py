import pandas as pd
import pytest

from resnet_ablations.report.figures import lines


def test_coarser_curves_keep_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    points = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0], index=pd.Index([10.0, 20.0, 30.0, 40.0, 50.0], name="iteration"))
    monkeypatch.setattr(lines, "MOST_POINTS", 3)
    assert lines.coarser(points).to_dict() == {15.0: 1.5, 35.0: 3.5, 50.0: 5.0}
    assert lines.coarser(points[:3]).to_dict() == points[:3].to_dict()
    assert lines.coarser(points[:0]).empty


def test_median_and_band_over_seeds() -> None:
    curves = [pd.Series({1: low, 2: 1.0}) for low in (1.0, 5.0, 2.0)]
    assert lines.over_seeds(curves).to_dict("index")[1] == {"low": 1.0, "median": 2.0, "high": 5.0}
