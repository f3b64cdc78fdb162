"""The plan of a table with several columns: which cells share a run, which are trained, which are not run at all."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tiny_experiment import row, scales

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.results.sweeps import SweepPlan
from resnet_ablations.sweep import planning
from resnet_ablations.sweep.planning import Plan

Planned = Callable[..., Plan]

TABLE: dict[str, Any] = {
    "columns": [{"id": "shallow"}, {"id": "deep", "overrides": ["network.depth=20"]}],
    "rows": [
        row("identity", ["shortcut=identity"], shallow={}, deep={}),
        row("dropout", ["shortcut=dropout"], shallow={}, deep={"overrides": ["shortcut.rate=0.25"]}),
    ],
}
"""Two rows × two columns; one cell has an override of its own."""
METRICS: dict[str, Any] = {
    "columns": [{"id": "test"}, {"id": "train", "metric": "train_error"}],
    "rows": [row("identity", ["shortcut=identity"], test={}, train={}), row("dropout", ["shortcut=dropout"], test={})],
}
"""Two columns of the same runs."""


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The overrides that are composed from here on."""
    calls: list[tuple[str, ...]] = []

    def counted(overrides: Sequence[str], *, sweep: Sequence[str] = ()) -> RunConfig:
        calls.append((*overrides, *sweep))
        return compose(overrides, sweep=sweep)

    monkeypatch.setattr(planning, "compose", counted)
    return calls


def record(plan: Plan) -> SweepPlan:
    assert plan.record is not None
    return plan.record


def depths_and_shortcuts(plan: Plan) -> list[tuple[int, str, float | None]]:
    trees = [job.config.as_dict() for job in plan.jobs]
    names = [tree["shortcut"]["_target_"].rpartition(".")[2] for tree in trees]
    return [(t["network"]["depth"], name, t["shortcut"].get("rate")) for t, name in zip(trees, names, strict=True)]


def test_every_cell_is_a_run(planned: Planned) -> None:
    plan = planned("experiment=tiny", **TABLE)
    assert depths_and_shortcuts(plan) == [
        (8, "Identity", None),
        (20, "Identity", None),
        (8, "Dropout", 0.5),
        (20, "Dropout", 0.25),
    ]
    names = [[job.config.configuration] for job in plan.jobs]
    assert record(plan).cells == {
        "identity": {"shallow": names[0], "deep": names[1]},
        "dropout": {"shallow": names[2], "deep": names[3]},
    }
    assert [[name] for name in record(plan).configurations] == names
    for job in plan.jobs:
        kept = record(plan).configurations[job.config.configuration]
        assert compose(kept.overrides).configuration == job.config.configuration
        assert kept.config["network"]["depth"] == job.config.network.depth


@pytest.mark.parametrize(
    ("chosen", "runs"),
    [
        (["columns=deep"], [1, 3]),
        (["rows=dropout"], [2, 3]),
        (["rows=dropout", "columns=shallow"], [2]),
        (["++columns=deep,shallow"], [0, 1, 2, 3]),
    ],
)
def test_some_of_the_columns(planned: Planned, chosen: list[str], runs: list[int]) -> None:
    """The plan that is kept is the whole table's, and of the table's name."""
    whole, some = planned("experiment=tiny", **TABLE), planned("experiment=tiny", *chosen, **TABLE)
    assert [job.overrides for job in some.jobs] == [whole.jobs[index].overrides for index in runs]
    assert some.record == whole.record
    assert record(some).name == "tiny-quick"


def test_columns_of_the_same_runs_train_them_once(planned: Planned) -> None:
    plan = planned("experiment=tiny", **METRICS)
    identity, dropout = (job.config.configuration for job in plan.jobs)
    assert record(plan).cells == {"identity": {"test": [identity], "train": [identity]}, "dropout": {"test": [dropout]}}
    assert [job.config.key for job in planned("experiment=tiny", "columns=train", **METRICS).jobs] == [f"{identity}-s0"]


def test_each_configuration_is_composed_once(planned: Planned, composed: list[tuple[str, ...]]) -> None:
    for changes, scale, count in ((METRICS, "quick", 2), (METRICS, "early", 4), (TABLE, "quick", 4)):
        composed.clear()
        planned("experiment=tiny", f"scale={scale}", "seed=0,1", "rows=identity", **changes)
        assert len(composed) == len(set(composed)) == count


def test_a_row_without_configurations_is_in_the_plan_without_a_run(planned: Planned) -> None:
    rows = [row("highway", shallow={"printed": 7.6}, deep={"printed": 7.5}), *TABLE["rows"]]
    plan = planned("experiment=tiny", **TABLE | {"rows": rows})
    assert record(plan).cells["highway"] == {"shallow": [], "deep": []}
    assert [job.overrides for job in plan.jobs] == [job.overrides for job in planned("experiment=tiny", **TABLE).jobs]


def test_replacements_at_a_scale(planned: Planned) -> None:
    replacements = {"network.depth=20": ["network.depth=14", "bn_batch=16"], "shortcut.rate=0.25": None}
    changes = TABLE | {"scales": scales(quick={"replacements": replacements})}
    plan = planned("experiment=tiny", **changes)
    assert depths_and_shortcuts(plan) == [(8, "Identity", None), (14, "Identity", None), (8, "Dropout", 0.5)]
    assert [job.config.bn_batch for job in plan.jobs] == [32, 16, 32]
    assert record(plan).cells["dropout"] == {"shallow": [plan.jobs[2].config.configuration], "deep": []}
    assert record(plan).replacements == replacements
    assert len(record(plan).configurations) == 3
    for job in plan.jobs:
        assert compose(job.overrides).as_dict() == job.config.as_dict()
    assert record(planned("experiment=tiny", "scale=paper", **changes)).replacements == {}
    assert len(planned("experiment=tiny", "scale=paper", "seed=0", **changes).jobs) == 4


def test_a_prefix_scale_inherits_replacements(planned: Planned) -> None:
    whole = {"network.depth=20": ["network.depth=32"], "shortcut=dropout": ["shortcut=conv1x1"]}
    own: dict[str, list[str] | None] = {"shortcut=dropout": None}
    changes = TABLE | {"scales": scales(paper={"replacements": whole}, early={"replacements": own})}
    changes["rows"] = [*TABLE["rows"][:1], row("dropout", ["shortcut=dropout"], shallow={}, deep={})]
    plan = planned("experiment=tiny", "scale=early", **changes)
    assert depths_and_shortcuts(plan) == [(14, "Identity", None), (32, "Identity", None)]
    assert record(plan).cells["dropout"] == {"shallow": [], "deep": []}
    assert record(plan).replacements == whole | own
    paper = planned("experiment=tiny", "scale=paper", "seed=0", **changes)
    assert [name for _, name, _ in depths_and_shortcuts(paper)] == ["Identity", "Identity", "Conv1x1", "Conv1x1"]
    assert [job.served_by for job in plan.jobs] == [job.config.key for job in paper.jobs[:2]]


def test_overrides_on_the_command_line_are_not_replaced(planned: Planned) -> None:
    changes = {"scales": scales(quick={"replacements": {"network.depth=8": ["network.depth=14"]}})}
    assert {depth for depth, _, _ in depths_and_shortcuts(planned("experiment=tiny", **changes))} == {14}
    plan = planned("experiment=tiny", "network.depth=8", **changes)
    assert len(plan.jobs) == 3
    assert {job.config.network.depth for job in plan.jobs} == {8}


def test_equal_configurations_of_a_cell_count_once(planned: Planned) -> None:
    """Counted twice, one run would be a median of two."""
    replacements = {f"shortcut.gate_bias={bias}": ["shortcut.gate_bias=-6"] for bias in (0, -1)}
    plan = planned("experiment=tiny", scales=scales(quick={"replacements": replacements}))
    assert record(plan).cells["gates"] == {"error": [plan.jobs[1].config.configuration]}
    assert len(plan.jobs) == 2


def test_a_prefix_scale_of_a_row_with_its_own_iterations(planned: Planned) -> None:
    rows = [row("brief", ["shortcut=identity"]), row("long", ["shortcut=dropout", "schedule.iterations=12"])]
    early, paper = (planned("experiment=tiny", f"scale={scale}", "seed=0", rows=rows) for scale in ("early", "paper"))
    assert [job.config.schedule.iterations for job in paper.jobs] == [9, 12]
    assert [job.config.schedule.iterations for job in early.jobs] == [3, 3]
    assert [job.served_by for job in early.jobs] == [job.config.key for job in paper.jobs]
    for job, longer in zip(early.jobs, paper.jobs, strict=True):
        kept = record(early).configurations[job.config.configuration]
        assert (kept.iterations, kept.served_by) == (3, [longer.config.configuration])


@pytest.mark.parametrize("iterations", [3, 2])
def test_a_run_that_is_not_longer_serves_no_cell(planned: Planned, iterations: int) -> None:
    rows = [row("brief", ["shortcut=identity", f"schedule.iterations={iterations}", "schedule.evaluate_every=1"])]
    (job,) = planned("experiment=tiny", "scale=early", rows=rows).jobs
    assert (job.config.schedule.iterations, job.served_by) == (3, None)


def test_a_longer_run_does_not_serve_metrics_of_the_finished_network(planned: Planned) -> None:
    """A longer run has its test error at the iteration where the early one ends, but no responses of its layers."""
    columns = [*METRICS["columns"], {"id": "responses", "metric": "response_mean"}]
    rows = [
        row("identity", ["shortcut=identity"], test={}, train={}),
        row("dropout", ["shortcut=dropout"], responses={}, test={}),
        row("conv1x1", ["shortcut=conv1x1"], test={}, train={"metric": "response_max"}),
    ]
    plan = planned("experiment=tiny", "scale=early", columns=columns, rows=rows)
    assert [job.served_by is not None for job in plan.jobs] == [True, False, False]
    assert [len(kept.served_by) for kept in record(plan).configurations.values()] == [1, 0, 0]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("shortcut=conv1x1", "shortcut: the rows of tiny"),
        ("network.depth=14", "network.depth: the columns of tiny"),
        ("++network.depth=14", "network.depth: the columns of tiny"),
        ("shortcut.rate=0.1", "shortcut.rate: the cells of tiny"),
        ("bn_batch=16", "bn_batch: the columns of tiny"),
        ("columns=depe", "columns=depe: no such column of tiny; allowed: shallow, deep"),
    ],
)
def test_overrides_of_keys_in_which_cells_differ_are_refused(planned: Planned, override: str, named: str) -> None:
    """The replacement of a column's override also distinguishes the column."""
    replacements = {"network.depth=20": ["network.depth=14", "bn_batch=8"]}
    with pytest.raises(UserError) as error:
        planned("experiment=tiny", override, **TABLE | {"scales": scales(quick={"replacements": replacements})})
    (message,) = error.value.messages
    assert message.startswith(named)


def test_a_choice_without_any_run_is_refused(planned: Planned) -> None:
    changes = TABLE | {"rows": [row("highway", deep={}), *TABLE["rows"]]}
    for chosen in (["rows=highway"], ["rows=highway", "columns=shallow"]):
        with pytest.raises(UserError, match="scale=quick: none of the chosen cells of tiny is run at this scale"):
            planned("experiment=tiny", *chosen, **changes)
    nowhere = {"scales": scales(quick={"replacements": {"activation=original": None}})}
    with pytest.raises(UserError, match="none of the chosen cells"):
        planned("experiment=tiny", **nowhere)


def test_a_mistake_in_a_column_that_is_not_chosen_is_reported(planned: Planned) -> None:
    columns = [{"id": "shallow"}, {"id": "deep", "overrides": ["network.depth=57"]}]
    with pytest.raises(UserError, match=r"network\.depth=57"):
        planned("experiment=tiny", "columns=shallow", **TABLE | {"columns": columns})
