"""The schema of an experiment file, and the errors for a broken one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet_ablations import experiments
from resnet_ablations.errors import UserError
from resnet_ablations.experiments import EXPERIMENTS, METRICS, Experiment, load_experiment

VALID = yaml.safe_load((EXPERIMENTS / "shortcuts.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load an experiment file with this content and return its error messages."""
    monkeypatch.setattr(experiments, "EXPERIMENTS", tmp_path)

    def refused(content: bytes | dict[str, Any]) -> tuple[str, ...]:
        path = tmp_path / "broken.yaml"
        path.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
        with pytest.raises(UserError) as error:
            load_experiment("broken")
        assert all(str(path) in message for message in error.value.messages)
        assert not any("Value error" in message or "Input should" in message for message in error.value.messages)
        return error.value.messages

    return refused


def row(**changes: Any) -> dict[str, Any]:
    return VALID["rows"][0] | changes


def cell(**changes: Any) -> dict[str, Any]:
    """The rows of an experiment of one row and no figures."""
    return {"rows": [row(cells={"error": changes})], "figures": []}


def figure(*cells: str, **changes: Any) -> dict[str, Any]:
    return {"id": "fig9", "title": "", "cells": list(cells)} | changes


TWO_COLUMNS = {"columns": [{"id": "error"}, {"id": "other"}], "figures": []}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"title": None}, "title"),
        ({"rows": []}, "rows"),
        ({"columns": []}, "columns"),
        ({"headings": "case"}, "headings"),
        ({"baseline": "last_row"}, "baseline"),
        # ids
        ({"rows": [row(), row()], "figures": []}, "two rows have the same id"),
        ({"columns": [{"id": "error"}, {"id": "error"}]}, "two columns have the same id"),
        ({"figures": [figure("original"), figure("dropout")]}, "two figures have the same id"),
        # rows
        ({"headings": ["case"]}, "row original has 4 labels for 1 headings"),
        ({"rows": [row(labels=["original", "2a", "1"])], "figures": []}, "row original has 3 labels for 4 headings"),
        ({"rows": [row(labels=["original", "2a", 1, 1])], "figures": []}, "rows.0.labels.2"),
        ({"rows": [row(cells={"error": {}, "eror": {}})], "figures": []}, "cells in unknown columns ['eror']"),
        ({"rows": [row(configurations=["shortcut=identity"])], "figures": []}, "rows.0.configurations.0"),
        ({"rows": [row(overrides=[])], "figures": []}, "rows.0.overrides"),
        # cells and columns
        (cell(printed="failed"), "rows.0.cells.error.printed"),
        (cell(digitised="fail"), "rows.0.cells.error.digitised"),
        (cell(value=1.0), "rows.0.cells.error.value"),
        (cell(overrides="x=1"), "rows.0.cells.error.overrides"),
        (cell(metric="error"), "metric 'error' is not one of test_error, train_error"),
        ({"columns": [{"id": "error", "metric": "test_loss"}]}, "metric 'test_loss' is not one of test_error"),
        ({"columns": [{"id": "error", "label": ""}]}, "columns.0.label"),
        # figures
        ({"figures": [figure("nobody")]}, "figure fig9 shows unknown cells ['nobody/error']"),
        ({"figures": [figure("original/nowhere")]}, "figure fig9 shows unknown cells ['original/nowhere']"),
        (TWO_COLUMNS | {"figures": [figure("original/error", "original")]}, "unknown cells ['original']"),
        (TWO_COLUMNS | {"figures": [figure("original/other")]}, "unknown cells ['original/other']"),
        ({"figures": [figure()]}, "figures.0.cells"),
        ({"figures": [figure("original", kind="curves")]}, "figures.0.kind"),
        ({"figures": [figure("original", rows=["original"])]}, "figures.0.rows"),
        # scales
        ({"scales": {"huge": {"seeds": [0]}}}, "scale 'huge' is not one of quick, small, early, paper"),
        ({"scales": {"quick": {"seeds": []}}}, "seeds"),
        ({"scales": {"quick": {}}}, "seeds"),
        (
            {"scales": {"quick": {"seeds": [0], "replacements": {"network=resnet110": "network=resnet56"}}}},
            "replacements",
        ),
        ({"scales": {"quick": {"seeds": [0], "replacements": ["network=resnet110"]}}}, "replacements"),
        ({"scales": {"early": {"seeds": [0], "prefix_of": "paper", "iterations": 5}}}, "unknown scale 'paper'"),
        ({"scales": {"paper": {"seeds": [0], "prefix_of": "paper"}}}, "prefix_of and iterations: give both"),
        ({"scales": {"paper": {"seeds": [0], "iterations": 5}}}, "prefix_of and iterations: give both"),
    ],
)
def test_a_broken_experiment_is_named(broken: Any, changes: dict[str, Any], named: str) -> None:
    assert any(named in message for message in broken(VALID | changes))


@pytest.mark.parametrize("name", ["title", "source", "caption", "headings", "scales", "rows"])
def test_an_experiment_without_a_required_field_is_refused(broken: Any, name: str) -> None:
    content = {key: value for key, value in VALID.items() if key not in (name, "figures")}
    assert any(name in message for message in broken(content))


@pytest.mark.parametrize("name", ["id", "labels", "cells"])
def test_a_row_without_a_required_field_is_refused(broken: Any, name: str) -> None:
    content = {key: value for key, value in row().items() if key != name}
    assert any(f"rows.0.{name}" in message for message in broken(VALID | {"rows": [content], "figures": []}))


def test_every_metric_can_be_shown_and_every_kind_of_figure() -> None:
    columns = [{"id": metric, "metric": metric} for metric in METRICS]
    cells = {metric: {"metric": other} for metric, other in zip(METRICS, reversed(METRICS), strict=True)}
    kinds = ["loss_and_error", "errors", "test_error", "responses"]
    figures = [figure("original/test_error", id=kind, kind=kind) for kind in kinds]
    experiment = Experiment(
        name="all", **VALID | {"columns": columns, "rows": [row(cells=cells)], "figures": figures, "baseline": None}
    )
    assert [(column.metric, cell.metric) for _, column, cell in experiment.cells()] == list(
        zip(METRICS, reversed(METRICS), strict=True)
    )


def test_cells_are_those_that_the_table_has_row_by_row() -> None:
    rows = [
        row(id="a", cells={"other": {"printed": 1.0}, "error": {}}),
        row(id="b", cells={}),
        row(id="c", configurations=[], cells={"other": {"printed": "fail"}}),
    ]
    experiment = Experiment(name="two", **VALID | TWO_COLUMNS | {"rows": rows})
    found = [(row.id, column.id, cell.printed) for row, column, cell in experiment.cells()]
    assert found == [("a", "error", None), ("a", "other", 1.0), ("c", "other", "fail")]
    assert experiment.full_cell_id("a/other") == "a/other"


def test_a_sole_column_need_not_be_named() -> None:
    experiment = load_experiment("shortcuts")
    assert experiment.full_cell_id("original") == experiment.full_cell_id("original/error") == "original/error"


def test_several_mistakes_are_named_together(broken: Any) -> None:
    rows = [row(cells={"error": {"printed": "failed"}}), row(id=3)]
    messages = broken(VALID | {"colour": "red", "rows": rows, "figures": [figure("original", kind="curves")]})
    for named in ("colour", "rows.0.cells.error.printed", "rows.1.id", "figures.0.kind"):
        assert any(named in message for message in messages)


@pytest.mark.parametrize(
    "content",
    [b"", b"- a\n- list\n", b"title: [unfinished\n", b"just text", b"name: other\n", b"title: \xff\xfe\n"],
)
def test_a_file_that_is_no_mapping(broken: Any, content: bytes) -> None:
    assert len(broken(content)) >= 1


def test_an_unknown_experiment_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"experiment=shortcut: .*shortcuts"):
        load_experiment("shortcut")
    with pytest.raises(UserError, match=r"experiment=\.\./conf/train"):
        load_experiment("../conf/train")
