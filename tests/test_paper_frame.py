"""The paper's tables as data frames."""

import math

import pytest

from resnet_ablations.errors import UserError
from resnet_ablations.experiments import experiment_names, load_experiment, load_paper


def test_table_1_as_printed() -> None:
    paper = load_paper("shortcuts")
    assert list(paper.index.names) == ["row", "column"]
    assert list(paper.columns) == [
        *("case", "Fig.", "on shortcut", "on F"),
        *("metric", "printed", "digitised", "curve", "remark"),
    ]
    assert paper.index[0] == ("original", "error")
    frozen = paper.loc["constant_scaling_0.5_0.5", "error"]
    assert frozen[["case", "on shortcut", "on F"]].to_list() == ["constant scaling", "0.5", "0.5"]
    assert frozen[["metric", "printed", "remark"]].to_list() == ["test_error", 12.35, "frozen gating"]
    assert frozen["curve"] == "fig3a_const_scaling__110_const_scaling_0.5_0.5"
    assert paper.loc["dropout", "error"]["printed"] == "fail"
    assert math.isnan(paper.loc["dropout", "error"]["curve"])


def test_digitised_and_missing_numbers() -> None:
    assert load_paper("layer_responses").loc[("resnet110", "mean"), ["printed", "digitised"]].isna().to_list() == [
        True,
        False,
    ]
    assert load_paper("layer_responses").loc[("resnet110", "mean"), "metric"] == "response_mean"
    assert math.isnan(load_paper("lambda").loc[("0.9", "error"), "printed"])


@pytest.mark.parametrize("name", experiment_names())
def test_no_heading_hides_what_a_cell_has(name: str) -> None:
    paper, experiment = load_paper(name), load_experiment(name)
    assert paper.columns.is_unique
    assert paper.index.is_unique
    assert len(paper.columns) == len(experiment.headings) + 5
    assert paper["digitised"].dtype == "float64"
    printed = [math.nan if cell.printed is None else cell.printed for _, _, cell in experiment.cells()]
    assert paper["printed"].to_list() == pytest.approx(printed, nan_ok=True)


def test_an_unknown_table_is_a_mistake() -> None:
    with pytest.raises(UserError, match="experiment=table1: no such experiment"):
        load_paper("table1")
