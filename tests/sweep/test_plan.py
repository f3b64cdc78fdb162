"""The plan of a sweep: an experiment's cells at a scale, or a product of values; everything is checked first."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_experiment import row

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.sweep import planning
from resnet_ablations.sweep.planning import Plan, _plan, plan

Planned = Callable[..., Plan]


def runs(plan: Plan) -> list[RunConfig]:
    return [job.config for job in plan.jobs]


def cells(plan: Plan) -> dict[str, list[str]]:
    """The configurations of each cell of the plan's record, as `ROW/COLUMN`."""
    assert plan.record is not None
    return {f"{row}/{column}": names for row, kept in plan.record.cells.items() for column, names in kept.items()}


def labels(plan: Plan) -> list[tuple[str, int]]:
    return [(run.shortcut.target.rpartition(".")[2], run.seed) for run in runs(plan)]


def test_an_experiment_at_a_scale(planned: Planned, tmp_path: Path) -> None:
    plan = planned("experiment=tiny", "scale=quick")
    assert labels(plan) == [("Identity", 0), ("ExclusiveGating", 0), ("ExclusiveGating", 0)]
    assert [run.as_dict()["shortcut"].get("gate_bias") for run in runs(plan)] == [None, 0, -1]
    assert all(run.network.depth == 8 and run.schedule.iterations == 6 for run in runs(plan))
    assert all(run.paths.results == f"{tmp_path}/results" and run.trainer.accelerator == "cpu" for run in runs(plan))
    assert not (tmp_path / "results").exists(), "a plan writes nothing"


def test_quick_is_the_default_scale(planned: Planned) -> None:
    plans = [planned("experiment=tiny", *scale) for scale in ([], ["scale=quick"])]
    assert [run.as_dict() for run in runs(plans[0])] == [run.as_dict() for run in runs(plans[1])]
    assert plans[0].record == plans[1].record


def test_the_overrides_of_a_job_make_its_configuration(planned: Planned) -> None:
    """They are what a launcher gets, in a process that knows nothing of the plan."""
    for job in planned("experiment=tiny", "scale=early", "network.depth=20").jobs:
        assert compose(list(job.overrides)).as_dict() == job.config.as_dict()


def test_the_saved_plan(planned: Planned, tmp_path: Path) -> None:
    plan = planned("experiment=tiny", "scale=paper")
    record = plan.record
    assert record is not None
    assert (record.name, record.experiment, record.scale) == ("tiny-paper", "tiny", "paper")
    assert (record.seeds, record.overrides, record.replacements) == ([0, 1], [f"paths.results={tmp_path}/results"], {})
    names = [run.configuration for run in runs(plan) if run.seed == 0]
    assert record.cells == {"original": {"error": names[:1]}, "gates": {"error": names[1:]}}
    for name, run in zip(names, runs(plan)[::2], strict=True):
        kept = record.configurations[name]
        assert compose(list(kept.overrides)).configuration == name
        assert kept.config == {group: value for group, value in run.scientific.items() if group != "seed"}
        assert kept.iterations == 9
        assert kept.served_by == []
    assert len(record.model_dump_json()) < 20_000
    assert json.loads(record.model_dump_json())["cells"] == record.cells


def test_an_early_scale_is_served_by_the_longer_one(planned: Planned) -> None:
    paper = {run.key for run in runs(planned("experiment=tiny", "scale=paper"))}
    plan = planned("experiment=tiny", "scale=early")
    assert [run.schedule.iterations for run in runs(plan)] == [3, 3, 3]
    assert all(run.network.depth == 14 for run in runs(plan))
    served_by = [job.served_by for job in plan.jobs]
    assert set(served_by) == {key for key in paper if key.endswith("-s0")}
    assert len(served_by) == 3
    assert plan.record is not None
    for name, kept in plan.record.configurations.items():
        assert kept.iterations == 3
        (job,) = (job for job in plan.jobs if job.config.configuration == name)
        assert [f"{longer}-s0" for longer in kept.served_by] == [job.served_by]


def test_a_user_who_sets_the_iterations_of_early_is_not_served(planned: Planned) -> None:
    """No scale says then what it is the beginning of."""
    plan = planned("experiment=tiny", "scale=early", "schedule.iterations=2")
    assert all(job.served_by is None for job in plan.jobs)
    assert [run.schedule.iterations for run in runs(plan)] == [2, 2, 2]


def test_an_early_scale_with_overrides_is_served_by_the_longer_one_with_the_same(planned: Planned) -> None:
    longer = {run.key for run in runs(planned("experiment=tiny", "scale=paper", "bn_batch=16", "seed=4"))}
    assert {job.served_by for job in planned("experiment=tiny", "scale=early", "bn_batch=16", "seed=4").jobs} == longer


def test_a_longer_run_serves_only_iterations_that_it_evaluates(planned: Planned) -> None:
    """Its test error at the third iteration would be missing in the table."""
    for evaluate_every, serves in ((1, True), (2, False), (9, False)):
        plan = planned("experiment=tiny", "scale=early", f"schedule.evaluate_every={evaluate_every}")
        assert all((job.served_by is not None) == serves for job in plan.jobs)


def test_seeds_on_the_command_line(planned: Planned) -> None:
    plan = planned("experiment=tiny", "scale=quick", "seed=3,1")
    assert labels(plan)[:3] == [("Identity", 3), ("Identity", 1), ("ExclusiveGating", 3)]
    assert len(plan.jobs) == 6
    assert plan.record is not None
    assert plan.record.seeds == [0, 1, 3], "the scale's own are missing in the table until they are trained"
    assert plan.record.name == "tiny-quick", "other seeds belong to the same table"
    assert {run.seed for run in runs(planned("experiment=tiny", "seed=range(0,3)"))} == {0, 1, 2}
    assert labels(planned("experiment=tiny", "scale=paper", "seed=7")) == [
        ("Identity", 7),
        ("ExclusiveGating", 7),
        ("ExclusiveGating", 7),
    ]


def test_overrides_on_the_command_line_win_and_change_the_name_of_the_sweep(planned: Planned, tmp_path: Path) -> None:
    plan = planned("experiment=tiny", "scale=quick", "network.depth=20", "bn_batch=16")
    assert all(run.network.depth == 20 and run.bn_batch == 16 for run in runs(plan))
    names = []
    for overrides in (
        [],
        [f"data.root={tmp_path}", "data=cifar10"],
        ["network.depth=20", "bn_batch=16"],
        ["bn_batch=16", "network.depth=20"],
        ["bn_batch=8", "network.depth=20"],
        ["data=cifar10"],
        ["trainer.threads=2"],
    ):
        record = planned("experiment=tiny", "scale=quick", *overrides).record
        assert record is not None
        names.append(record.name)
    assert names[0] == names[6] == "tiny-quick"
    assert names[2] == names[3] != names[4]
    assert names[1] == names[5]
    assert len({*names}) == 4
    assert all(name.startswith("tiny-quick") for name in names)


def test_some_of_the_rows(planned: Planned) -> None:
    """The plan that is kept is the whole table's, so that rows trained one after the other meet in it."""
    whole = planned("experiment=tiny")
    some = planned("experiment=tiny", "rows=gates")
    assert labels(some) == [("ExclusiveGating", 0), ("ExclusiveGating", 0)]
    assert some.record == whole.record
    both = planned("experiment=tiny", "rows=gates,original")
    assert {run.key for run in runs(both)} == {run.key for run in runs(whole)}


def test_a_plain_product(planned: Planned) -> None:
    plan = planned("shortcut=identity,dropout", "seed=0,1", "network.depth=8")
    assert labels(plan) == [("Identity", 0), ("Identity", 1), ("Dropout", 0), ("Dropout", 1)]
    assert plan.record is None
    assert all(run.network.depth == 8 for run in runs(plan))
    assert labels(planned("seed=range(1,4)")) == [("Identity", 1), ("Identity", 2), ("Identity", 3)]
    assert len(planned("schedule.milestones=[3,4],[5]", "shortcut=choice(identity,conv1x1)").jobs) == 4
    assert labels(planned()) == [("Identity", 0)]


def test_forced_overrides(planned: Planned) -> None:
    """++ is Hydra's "whether or not it is there"."""
    assert labels(planned("++seed=3", "++network.depth=8")) == [("Identity", 3)]
    forced = planned("++experiment=tiny", "++scale=quick", "++seed=3")
    assert [run.as_dict() for run in runs(forced)] == [
        run.as_dict() for run in runs(planned("experiment=tiny", "scale=quick", "seed=3"))
    ]


@pytest.mark.parametrize(
    "overrides", [["seed=0,0"], ["shortcut=dropout", "shortcut.rate=0.5,0.50"], ["trainer.threads=1,2"]]
)
def test_a_run_that_is_asked_for_twice_is_planned_once(planned: Planned, overrides: list[str]) -> None:
    """Two processes in one folder would spoil each other's files."""
    assert len(planned(*overrides).jobs) == 1


def test_rows_that_share_a_configuration_train_it_once(planned: Planned) -> None:
    rows = [row(name, ["shortcut=identity"]) for name in ("one", "other")]
    plan = planned("experiment=tiny", "scale=quick", rows=rows)
    assert len(plan.jobs) == 1
    assert cells(plan) == {name: [runs(plan)[0].configuration] for name in ("one/error", "other/error")}


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["experiment=tony"], ["experiment=tony", "tiny"]),
        (["experiment=tiny", "scale=huge"], ["scale=huge", "quick, paper, early"]),
        (["experiment=tiny", "scale=quick,early"], ["scale"]),
        (["experiment=tiny,tiny"], ["experiment"]),
        (["experiment=tiny", "rows=gates,dates"], ["rows=dates", "original, gates"]),
        (["experiment=tiny", "columns=eror,error"], ["columns=eror: ", "allowed: error"]),
        (["experiment=tiny", "rows=dates", "columns=eror"], ["rows=dates", "columns=eror"]),
        (["experiment=tiny", "shortcut=dropout"], ["shortcut: ", "rows of tiny"]),
        (["experiment=tiny", "shortcut.gate_bias=-3"], ["shortcut.gate_bias: ", "rows of tiny"]),
        (["experiment=tiny", "++shortcut.gate_bias=-3"], ["shortcut.gate_bias: ", "rows of tiny"]),
        (["experiment=tiny", "network.depth=8,14"], ["network.depth", "one value"]),
        (["experiment=tiny", "network.depth=57"], ["network.depth=57", "6n+2"]),
        (["experiment=tiny", "network.deepth=56"], ["network.deepth=56", "network.depth"]),
        (["scale=quick"], ["scale", "experiment"]),
        (["rows=gates"], ["rows", "experiment"]),
        (["columns=error"], ["columns", "experiment"]),
        (["shortcut=identity,identiy"], ["shortcut=identiy", "identity"]),
        (["seed=0,-1"], ["seed=-1"]),
        (["seed"], ["seed"]),
    ],
)
def test_mistakes(planned: Planned, overrides: list[str], named: list[str]) -> None:
    with pytest.raises(UserError) as error:
        planned(*overrides)
    assert all(part in str(error.value) for part in named), error.value.messages


def test_mistakes_of_several_cells_are_named_together_and_each_once(planned: Planned) -> None:
    rows = [
        row("a", ["shortcut=identiy"]),
        row("b", ["shortcut=dropout", "shortcut.rate=1.5"], ["shortcut=identity"]),
    ]
    with pytest.raises(UserError) as error:
        planned("experiment=tiny", "schedule.batch_size=0", "seed=0,1", rows=rows)
    messages = error.value.messages
    assert [sum(part in m for m in messages) for part in ("identiy", "rate=1.5", "batch_size=0")] == [1, 1, 1]


def test_overrides_of_hydra_itself_are_ignored(planned: Planned) -> None:
    assert len(planned("seed=0,1", "hydra/launcher=basic", "hydra.launcher.n_jobs=2").jobs) == 2


def test_slow_planning_shows_its_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "PROGRESS_SECONDS", 0.0)
    _plan.cache_clear()
    plan(["seed=0,1", "schedule.learning_rate=0.1,0.2,0.3"])
    assert "planning: 3 of 3 configurations\n" in capsys.readouterr().err


def test_a_setting_is_deleted_as_a_single_run_deletes_it(planned: Planned) -> None:
    jobs = planned("shortcut=identity,plain", "~schedule.nesterov").jobs
    assert [job.config.key for job in jobs] == [
        compose([f"shortcut={name}", "~schedule.nesterov"]).key for name in ("identity", "plain")
    ]


def test_a_setting_that_the_rows_set_cannot_be_deleted(planned: Planned) -> None:
    with pytest.raises(UserError, match=r"^~shortcut: the .* of tiny set it; remove the override"):
        planned("experiment=tiny", "~shortcut")
