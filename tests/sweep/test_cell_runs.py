"""The overrides of a cell: which of them win, how they are replaced at a scale, and which cells are not run."""

from typing import Any

import pytest
from tiny_experiment import TINY, row

from resnet_ablations.cell_runs import CellRuns, keys_set, merged, replacements_at, runs_of_cells
from resnet_ablations.experiments import Experiment

Lines = list[str]


def tiny(**changes: Any) -> Experiment:
    return Experiment(name="tiny", **(TINY | changes))


def cells(scale: str, *extra: str, **changes: Any) -> dict[str, CellRuns]:
    """The cells of the changed experiment at that scale, as `ROW/COLUMN`."""
    experiment = tiny(**changes)
    found = runs_of_cells(experiment, experiment.scales[scale], list(extra))
    assert len({(cell.row, cell.column) for cell in found}) == len(found)
    return {f"{cell.row}/{cell.column}": cell for cell in found}


def sole(scale: str, *extra: str, **changes: Any) -> CellRuns:
    """The only cell there is then."""
    (cell,) = cells(scale, *extra, **changes).values()
    return cell


def levels(lines: dict[str, Lines], scale: str = "quick") -> dict[str, Any]:
    """An experiment of one cell, in which each level says its own lines."""
    return {
        "overrides": lines.get("experiment", []),
        "scales": {
            "quick": {"overrides": lines.get("scale", []), "seeds": [0]},
            "paper": {"overrides": lines.get("whole", []), "seeds": [0]},
            "early": {"overrides": lines.get("scale", []), "seeds": [0], "prefix_of": "paper", "iterations": 3},
        },
        "columns": [{"id": "error", "overrides": lines.get("column", [])}],
        "rows": [row("one", lines.get("row", []), error={"overrides": lines.get("cell", [])})],
    }


LEVELS = ["experiment", "whole", "scale", "column", "row", "cell"]


@pytest.mark.parametrize("last", range(len(LEVELS)))
def test_later_levels_win_over_earlier_ones(last: int) -> None:
    said = LEVELS[: last + 1]
    lines = {level: ["x=" + level, f"{level}=1"] for level in said}
    (own,) = sole("early", **levels(lines)).own
    assert own == (*(f"{level}=1" for level in said[:-1]), f"x={said[-1]}", f"{said[-1]}=1", "schedule.iterations=3")


def test_the_command_line_wins_over_all() -> None:
    lines = {level: ["x=" + level] for level in LEVELS}
    (own,) = sole("early", "x=mine", "schedule.iterations=2", **levels(lines)).own
    assert own == ("x=mine", "schedule.iterations=2")


def test_a_scale_without_prefix_of_inherits_nothing() -> None:
    cell = sole("quick", **levels({"whole": ["x=whole"], "scale": ["y=scale"]}))
    assert cell.own == cell.longer == (("y=scale",),)


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "scale"])
def test_the_iterations_of_a_prefix_scale_win(level: str) -> None:
    cell = sole("early", **levels({level: ["schedule.iterations=9000", "x=1"]}))
    assert [sorted(own) for own in cell.own] == [["schedule.iterations=3", "x=1"]]
    assert [sorted(longer) for longer in cell.longer] == [["schedule.iterations=9000", "x=1"]]


def test_a_key_that_is_added_or_forced_is_the_same_key() -> None:
    assert merged(["+a=1", "b=1"], ["a=2"], ["++b=3"]) == ("a=2", "++b=3")


TABLE = {
    "columns": [{"id": "shallow", "overrides": ["network.depth=8"]}, {"id": "deep", "overrides": ["network.depth=14"]}],
    "overrides": ["activation=original"],
    "scales": {"quick": {"seeds": [0]}},
    "rows": [
        row("identity", ["shortcut=identity"], shallow={}, deep={"overrides": ["bn_batch=16"]}),
        row("dropout", ["shortcut=dropout", "shortcut.rate=0.5"], ["shortcut=dropout"], shallow={}, deep={}),
    ],
}
"""Two rows × two columns; one of the rows has two configurations, one of the cells an override of its own."""


def table(replacements: dict[str, Lines | None], scale: dict[str, Any] | None = None) -> dict[str, tuple[Any, ...]]:
    """The cells' overrides at a scale with those stand-ins."""
    scales = {"quick": {"seeds": [0], "replacements": replacements} | (scale or {})}
    return {name: cell.own for name, cell in cells("quick", **TABLE | {"scales": scales}).items()}


IDENTITY, DROPOUT = ("shortcut=identity",), ("shortcut=dropout", "shortcut.rate=0.5")


def with_depth(depth: str, *lists: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(("activation=original", depth, *lines) for lines in lists)


PLAIN = {
    "identity/shallow": with_depth("network.depth=8", IDENTITY),
    "identity/deep": with_depth("network.depth=14", (*IDENTITY, "bn_batch=16")),
    "dropout/shallow": with_depth("network.depth=8", DROPOUT, DROPOUT[:1]),
    "dropout/deep": with_depth("network.depth=14", DROPOUT, DROPOUT[:1]),
}


def test_two_rows_and_two_columns() -> None:
    assert table({}) == PLAIN
    assert list(table({})) == list(PLAIN), "row by row"


def test_an_empty_place_in_the_papers_table_is_no_cell() -> None:
    rows = [row("identity", ["shortcut=identity"], deep={}), row("nothing", ["shortcut=conv1x1"]) | {"cells": {}}]
    assert list(cells("quick", **TABLE | {"rows": rows})) == ["identity/deep"]


def test_a_row_without_configurations_is_not_run() -> None:
    """Another author's method, of which the paper prints the number."""
    found = cells("quick", **TABLE | {"rows": [row("highway", shallow={"printed": 7.6}), *TABLE["rows"]]})
    assert found["highway/shallow"].own == found["highway/shallow"].longer == ()
    assert {name: cell.own for name, cell in found.items() if name in PLAIN} == PLAIN


def test_the_metric_of_a_column_or_of_a_cell() -> None:
    columns = [{"id": "shallow", "metric": "train_error"}, {"id": "deep"}]
    rows = [row("identity", ["shortcut=identity"], shallow={}, deep={"metric": "response_mean"})]
    rows += [row("dropout", ["shortcut=dropout"], shallow={"metric": "top5_error"}, deep={})]
    found = cells("quick", **TABLE | {"columns": columns, "rows": rows})
    assert [cell.metric for cell in found.values()] == ["train_error", "response_mean", "top5_error", "test_error"]


def test_an_override_is_replaced() -> None:
    found = table({"network.depth=14": ["network.depth=20", "seed_of=20"], "bn_batch=16": []})
    assert found == PLAIN | {
        "identity/deep": (("activation=original", "network.depth=20", "seed_of=20", "shortcut=identity"),),
        "dropout/deep": tuple(
            ("activation=original", "network.depth=20", "seed_of=20", *lines) for lines in (DROPOUT, DROPOUT[:1])
        ),
    }


@pytest.mark.parametrize("level", LEVELS)
def test_an_override_is_replaced_everywhere_except_on_the_command_line(level: str) -> None:
    changes = levels({level: ["network=resnet110"]})
    changes["scales"]["early"]["replacements"] = {"network=resnet110": ["network=resnet20"]}
    assert [sorted(own) for own in sole("early", **changes).own] == [["network=resnet20", "schedule.iterations=3"]]
    (own,) = sole("early", "network=resnet110", **changes).own
    assert sorted(own) == ["network=resnet110", "schedule.iterations=3"]
    (own,) = sole("early", "network=resnet110", **levels({})).own
    assert sorted(own) == ["network=resnet110", "schedule.iterations=3"]


@pytest.mark.parametrize("line", ["network.depth=1", "network.depth=144", "network.depth", "14"])
def test_a_replacement_of_an_unused_override_is_a_mistake(line: str) -> None:
    with pytest.raises(ValueError, match=rf"scales\.quick\.replacements: no override of this experiment: {line}; "):
        table({line: ["x=1"]})


def test_a_replacement_is_not_replaced_again() -> None:
    swapped = table(
        {"network.depth=14": ["network.depth=8"], "network.depth=8": ["network.depth=14"], "bn_batch=16": []}
    )
    assert swapped["identity/deep"] == PLAIN["identity/shallow"]
    assert swapped["dropout/shallow"] == PLAIN["dropout/deep"]


def test_later_overrides_win_over_a_replacement() -> None:
    (own,) = table({"network.depth=14": ["network.depth=20", "bn_batch=4"]})["identity/deep"]
    assert own == ("activation=original", "network.depth=20", "shortcut=identity", "bn_batch=16")
    (own,) = table({"shortcut=identity": ["network.depth=20"]})["identity/shallow"]
    assert own == ("activation=original", "network.depth=20")


@pytest.mark.parametrize(
    ("line", "absent"),
    [
        ("network.depth=14", ["identity/deep", "dropout/deep"]),
        ("shortcut=identity", ["identity/shallow", "identity/deep"]),
        ("shortcut.rate=0.5", ["dropout/shallow", "dropout/deep"]),
        ("bn_batch=16", ["identity/deep"]),
        ("activation=original", list(PLAIN)),
    ],
)
def test_a_cell_with_an_override_replaced_by_null_is_not_run(line: str, absent: list[str]) -> None:
    """Other configurations of its row are not run either: the paper's number is for all of them."""
    assert table({line: None}) == PLAIN | dict.fromkeys(absent, ())


def test_an_override_that_another_one_overrides_is_not_replaced() -> None:
    changes = levels({"experiment": ["network=resnet110", "x=1"], "column": ["network=resnet56"]})
    for replacements in (None, ["network=resnet20", "bn_batch=4"]):
        changes["scales"]["quick"]["replacements"] = {"network=resnet110": replacements}
        assert sole("quick", **changes).own == (("x=1", "network=resnet56"),)


def test_a_prefix_scale_inherits_replacements_and_its_own_win() -> None:
    whole = {"network.depth=8": ["network.depth=20"], "network.depth=14": None, "shortcut=identity": ["shortcut=a"]}
    own = {"network.depth=14": ["network.depth=32"], "shortcut=identity": ["shortcut=b"], "shortcut.rate=0.5": None}
    scales = {
        "paper": {"seeds": [0], "replacements": whole},
        "early": {"seeds": [0], "replacements": own, "prefix_of": "paper", "iterations": 3},
    }
    changes = TABLE | {"scales": scales}
    found = cells("early", **changes)
    assert found["identity/shallow"].longer == (("activation=original", "network.depth=20", "shortcut=b"),)
    assert found["identity/deep"].longer == (("activation=original", "network.depth=32", "shortcut=b", "bn_batch=16"),)
    assert found["dropout/shallow"].own == found["dropout/deep"].own == found["dropout/deep"].longer == ()
    assert all(lines[-1] == "schedule.iterations=3" for cell in found.values() for lines in cell.own)
    experiment = tiny(**changes)
    assert replacements_at(experiment, experiment.scales["early"]) == whole | own
    assert replacements_at(experiment, experiment.scales["paper"]) == whole
    assert cells("paper", **changes)["identity/deep"].own == ()


def test_the_keys_in_which_cells_differ() -> None:
    experiment = tiny(**TABLE | {"overrides": ["data=digits"]})
    setters = {"shortcut": "rows", "shortcut.rate": "rows", "network.depth": "columns", "bn_batch": "cells"}
    assert keys_set(experiment, {}) == setters
    replacements: dict[str, Lines | None] = {"network.depth=14": ["++network=resnet20"], "shortcut=identity": None}
    assert keys_set(experiment, replacements | {"data=digits": ["seed=3"]}) == setters | {"network": "columns"}
