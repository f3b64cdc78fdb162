"""Running a plan with a launcher that only pretends: what is finished stays, what is missing goes to it."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished import finish_run

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose
from resnet_ablations.results.curve import HEADER
from resnet_ablations.results.owner import Owner
from resnet_ablations.results.provenance import SOURCE
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.results.sweeps import load_sweeps
from resnet_ablations.sweep import squeue
from resnet_ablations.sweep.planning import Plan
from resnet_ablations.sweep.run_sweep import Submitted, result_of, run_sweep

Planned = Callable[..., Plan]


class Launcher:
    """Finishes every run it is given, but those whose shortcut and seed have `breaks` in them, and remembers them."""

    def __init__(self, breaks: str = "seed=13") -> None:
        self.breaks = breaks
        self.launched: list[list[str]] = []

    def __call__(self, jobs: list[list[str]]) -> None:
        runs = [compose(overrides) for overrides in jobs]
        self.launched.append([run.key for run in runs])
        for run in runs:
            if self.breaks in f"{run.shortcut} seed={run.seed}":
                folder = RunFolder(run.paths.results, run.key)
                folder.freeze(run.as_dict())
                folder.set_status(Status(outcome="failed", iteration=3, iterations=6, reason="OSError: disk"))
            else:
                finish_run(run)


def keys(plan: Plan) -> list[str]:
    return [job.config.key for job in plan.jobs]


def test_all_missing_runs_are_launched_together(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    plan, launcher = planned("experiment=tiny"), Launcher()
    run_sweep(plan, launcher)
    assert launcher.launched == [keys(plan)]
    assert "tiny-quick: 3 runs, 0 finished, 3 to train" in capsys.readouterr().out
    assert all(result_of(job) is not None for job in plan.jobs)


def test_the_second_time_nothing_is_launched(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned("experiment=tiny")
    run_sweep(plan, Launcher())
    again, asked = Launcher(), []
    run_sweep(plan, again, asked.append)
    assert again.launched == asked == [], "nor is it measured how many could be trained at once"
    assert "3 runs, 3 finished, 0 to train" in capsys.readouterr().out


def test_a_deleted_folder_is_trained_again_and_no_other(planned: Planned, tmp_path: Path) -> None:
    plan = planned("experiment=tiny")
    run_sweep(plan, Launcher())
    gone = keys(plan)[1]
    shutil.rmtree(tmp_path / "results" / "runs" / gone)
    again = Launcher()
    run_sweep(plan, again)
    assert again.launched == [[gone]]


@pytest.mark.parametrize("content", ["", '{"key": "half'])
def test_a_torn_result_is_trained_again(planned: Planned, tmp_path: Path, content: str) -> None:
    plan = planned("experiment=tiny")
    run_sweep(plan, Launcher())
    torn = keys(plan)[2]
    (tmp_path / "results" / "runs" / torn / "result.json").write_text(content)
    again = Launcher()
    run_sweep(plan, again)
    assert again.launched == [[torn]]


@pytest.mark.parametrize("content", [None, HEADER, f"{HEADER}6,0.1,0.5,1"])
def test_a_result_whose_curve_is_missing_or_torn_is_trained_again(
    planned: Planned, tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned("experiment=tiny")
    run_sweep(plan, Launcher())
    torn = keys(plan)[2]
    curve = tmp_path / "results" / "runs" / torn / "curve.csv"
    curve.unlink()
    if content is not None:
        curve.write_text(content)
    again = Launcher()
    run_sweep(plan, again)
    assert again.launched == [[torn]]
    assert f"{torn}: its result is damaged, so it is trained again: curve.csv " in capsys.readouterr().out


def test_a_result_without_its_configuration_is_set_aside(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    """The sweep writes the configuration again, but the run may have had other settings than today's."""
    plan = planned("experiment=tiny")
    run_sweep(plan, Launcher())
    folder = plan.jobs[2].config.folder
    folder.config.unlink()
    trained: list[bool] = []
    run_sweep(plan, lambda jobs: (trained.append(folder.result() is None), finish_run(compose(jobs[0]))))
    assert trained == [True]
    assert folder.result_file.with_name("result.json.damaged").exists()
    assert f"{folder.key}: its result is damaged, so it is trained again: config.yaml " in capsys.readouterr().out


def test_a_divergence_is_a_result(planned: Planned) -> None:
    plan = planned("experiment=tiny")
    for job in plan.jobs:
        finish_run(job.config, "diverged")
    launcher = Launcher()
    run_sweep(plan, launcher)
    assert launcher.launched == []


def test_tables_share_runs(planned: Planned) -> None:
    """The plain run of one row, its seed and its setting: the same key, so it is not trained for the table."""
    plain = planned("network.depth=8", "schedule.iterations=6", "shortcut=identity")
    run_sweep(plain, Launcher())
    launcher = Launcher()
    plan = planned("experiment=tiny")
    run_sweep(plan, launcher)
    assert launcher.launched == [keys(plan)[1:]]


def test_an_early_cell_is_served_by_a_finished_run_of_the_paper(planned: Planned) -> None:
    paper = planned("experiment=tiny", "scale=paper").jobs[0]
    finish_run(paper.config)
    early, launcher = planned("experiment=tiny", "scale=early"), Launcher()
    run_sweep(early, launcher)
    assert launcher.launched == [keys(early)[1:]]
    served = result_of(early.jobs[0])
    assert served is not None
    assert served.key == paper.config.key


def test_an_unfinished_run_of_the_paper_serves_no_cell(planned: Planned) -> None:
    paper = planned("experiment=tiny", "scale=paper").jobs[0].config
    folder = RunFolder(paper.paths.results, paper.key)
    folder.freeze(paper.as_dict())
    folder.set_status(Status(outcome="running", iteration=8, iterations=9))
    early, launcher = planned("experiment=tiny", "scale=early"), Launcher()
    run_sweep(early, launcher)
    assert launcher.launched == [keys(early)]


def test_an_early_run_does_not_serve_the_paper(planned: Planned) -> None:
    run_sweep(planned("experiment=tiny", "scale=early"), Launcher())
    paper, launcher = planned("experiment=tiny", "scale=paper"), Launcher()
    run_sweep(paper, launcher)
    assert launcher.launched == [keys(paper)]


def test_a_run_without_result_is_named_and_the_others_are_kept(
    planned: Planned, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned("experiment=tiny")
    with pytest.raises(SystemExit) as end:
        run_sweep(plan, Launcher(breaks="gate_bias=0.0"))
    assert end.value.code == 1
    out = capsys.readouterr().out
    assert f"{keys(plan)[1]}: failed: OSError: disk; see " in out
    assert "1 of 3 runs have no result" in out
    assert [result_of(job) is not None for job in plan.jobs] == [True, False, True]
    again = Launcher()
    run_sweep(plan, again)
    assert again.launched == [[keys(plan)[1]]]


def test_a_launcher_that_starts_nothing_is_no_success(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run_sweep(planned("experiment=tiny"), lambda jobs: None)
    assert end.value.code == 1
    assert "3 of 3 runs have no result" in capsys.readouterr().out


def test_the_plan_is_kept_before_anything_is_trained(planned: Planned, tmp_path: Path) -> None:
    plan = planned("experiment=tiny")
    seen: list[object] = []
    with pytest.raises(SystemExit):
        run_sweep(plan, lambda jobs: seen.extend(load_sweeps(tmp_path / "results")))
    assert seen == [plan.record]


def test_a_sweep_without_an_experiment_saves_no_plan(planned: Planned, tmp_path: Path) -> None:
    run_sweep(planned("seed=0,1"), Launcher())
    assert load_sweeps(tmp_path / "results") == []


def test_more_seeds_are_added_to_the_plan_that_is_kept(planned: Planned, tmp_path: Path) -> None:
    run_sweep(planned("experiment=tiny"), Launcher())
    launcher = Launcher()
    run_sweep(planned("experiment=tiny", "seed=0,1"), launcher)
    assert [key[-3:] for key in launcher.launched[0]] == ["-s1"] * 3
    assert [plan.seeds for plan in load_sweeps(tmp_path / "results")] == [[0, 1]]


class Dying:
    """A launcher under which runs die: each as often as said, by seed, then they finish."""

    def __init__(self, deaths: dict[int, int]) -> None:
        self.deaths = dict(deaths)
        self.launched: list[list[int]] = []

    def __call__(self, jobs: list[list[str]]) -> None:
        runs = [compose(overrides) for overrides in jobs]
        self.launched.append([run.seed for run in runs])
        for run in runs:
            if self.deaths.get(run.seed, 0) > 0:
                self.deaths[run.seed] -= 1
                run.folder.freeze(run.as_dict())
                run.folder.set_status(Status(outcome="running", iteration=3, iterations=6))
            else:
                finish_run(run)


SEEDS = ("network.depth=8", "schedule.iterations=6", "seed=0,1,2")


def test_killed_runs_are_retried(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    launcher = Dying({1: 2, 2: 1})
    run_sweep(planned(*SEEDS), launcher)
    assert launcher.launched == [[0, 1, 2], [1, 2], [1]]
    assert "retrying 1 killed" in capsys.readouterr().out


@pytest.mark.parametrize("retries", [0, 1])
def test_killed_runs_are_retried_at_most_as_often_as_set(
    planned: Planned, capsys: pytest.CaptureFixture[str], retries: int
) -> None:
    launcher = Dying({1: 9})
    with pytest.raises(SystemExit) as end:
        run_sweep(planned(*SEEDS, f"sweep.retries={retries}"), launcher)
    assert end.value.code == 1
    assert launcher.launched == [[0, 1, 2]] + [[1]] * retries
    out = capsys.readouterr().out
    assert "sweep: 2 finished, 1 failed" in out
    assert "its process was killed; see " in out


def test_failed_runs_are_not_retried(planned: Planned) -> None:
    launcher = Launcher(breaks="seed=1")
    with pytest.raises(SystemExit):
        run_sweep(planned(*SEEDS), launcher)
    assert len(launcher.launched) == 1


def test_a_stopped_sweep_retries_nothing(planned: Planned) -> None:
    """Nothing is tried again after a signal."""
    launcher = Dying({1: 1})

    def stopped(jobs: list[list[str]]) -> None:
        launcher(jobs)
        raise SystemExit(130)

    with pytest.raises(SystemExit) as end:
        run_sweep(planned(*SEEDS), stopped)
    assert end.value.code == 130
    assert len(launcher.launched) == 1


def test_the_settings_of_the_sweep_are_no_part_of_its_runs(planned: Planned) -> None:
    plain, patient = planned("experiment=tiny"), planned("experiment=tiny", "sweep.retries=7", "sweep.fail_fast=true")
    assert keys(plain) == keys(patient)
    assert plain.record == patient.record
    assert (patient.settings.retries, patient.settings.fail_fast) == (7, True)


def test_each_run_starts_from_its_frozen_configuration(planned: Planned, tmp_path: Path) -> None:
    """The files of conf/ may change later."""
    plan = planned("experiment=tiny")
    seen: list[list[str]] = []
    with pytest.raises(SystemExit):
        run_sweep(plan, seen.extend)
    paths = [tmp_path / "results" / "runs" / key / "config.yaml" for key in keys(plan)]
    assert seen == [[f"frozen='{path.as_uri()}'"] for path in paths]
    assert [compose(overrides).as_dict() for overrides in seen] == [job.config.as_dict() for job in plan.jobs]


def test_the_configuration_of_a_run_that_is_being_trained_is_left_alone(planned: Planned) -> None:
    plan = planned(*SEEDS)
    folder = plan.jobs[1].config.folder
    folder.freeze({"as": "it was"})
    parent = Owner.of(os.getppid())
    (folder.path / "claim.json").write_text(parent.model_dump_json())
    with pytest.raises(SystemExit):
        run_sweep(plan, lambda jobs: None)
    assert folder.config.read_text() == "as: it was\n"


def test_a_lock_that_may_not_be_written_is_a_matter_of_its_run_alone(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A colleague's process, which is dead, made the file with mode 0644; of one run it wrote no configuration."""
    plan = planned(*SEEDS)
    folders = [job.config.folder for job in plan.jobs[1:]]
    folders[0].freeze(plan.jobs[1].config.as_dict())
    folders[1].path.mkdir(parents=True)
    locks = [str(folder.path / "claim.json") for folder in folders]
    for lock in locks:
        Path(lock).write_text(Owner.of(os.getppid()).model_copy(update={"started": 1}).model_dump_json())

    def opened(path: str | Path, *arguments: Any, real: Any = os.open) -> int:
        if str(path) in locks:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *arguments)

    launched: list[RunConfig] = []

    def launch(jobs: list[list[str]]) -> None:
        launched.extend(map(compose, jobs))
        finish_run(launched[0])

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(SystemExit):
        run_sweep(plan, launch)
    assert [run.seed for run in launched] == [0, 1]
    printed = capsys.readouterr().out
    assert f"{folders[1].key}: not started: {locks[1]}: may not be written; its owner can allow it" in printed
    assert "1 finished, 2 not started\n" in printed


def test_a_sweep_names_a_lock_of_the_folder_that_is_no_file(planned: Planned) -> None:
    plan, launcher = planned("experiment=tiny"), Launcher()
    lock = Path(plan.jobs[0].config.paths.results) / ".lock"
    lock.mkdir(parents=True)
    with pytest.raises(UserError, match=rf"^{lock}: cannot be locked: Is a directory; remove it$"):
        run_sweep(plan, launcher)
    assert launcher.launched == []


def test_the_lock_of_a_job_that_is_over_is_removed_before_the_runs_are_launched(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job was killed on another machine. No process that trains a run waits for its heartbeat."""
    plan = planned(*SEEDS)
    folder = plan.jobs[1].config.folder
    folder.freeze({"as": "it was"})
    folder.set_status(Status(outcome="running", iteration=1, iterations=6, job="7"))
    killed = Owner.this_process().model_copy(update={"boot": "another", "job": "7"})
    (folder.path / "claim.json").write_text(killed.model_dump_json())
    monkeypatch.setattr(squeue, "jobs_in_queue", dict)
    with pytest.raises(SystemExit):
        run_sweep(plan, lambda jobs: None)
    assert not (folder.path / "claim.json").exists()
    assert folder.config.read_text() != "as: it was\n"


def test_a_sweep_does_not_wait_for_submitted_runs(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    def submitting(jobs: list[list[str]]) -> None:
        raise Submitted

    with pytest.raises(SystemExit) as end:
        run_sweep(planned("experiment=tiny"), submitting)
    assert end.value.code == 0
    assert capsys.readouterr().out.endswith("3 to train\n")


def test_a_launcher_that_fails_in_the_middle_of_a_sweep(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    """The summary says how far the sweep came. If no run has a result, there is only the error."""

    def launch(jobs: list[list[str]]) -> None:
        for overrides in jobs[:count]:
            finish_run(compose(overrides))
        raise UserError("SLURM is gone")

    for count in (0, 2):
        with pytest.raises(UserError, match="SLURM is gone"):
            run_sweep(planned("experiment=tiny"), launch)
        assert ("tiny-quick: 2 finished, 1 not started\n" in capsys.readouterr().out) is (count == 2)


def test_a_launcher_that_fails_as_it_retries(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    dying = Dying({0: 1, 1: 1, 2: 1})

    def launch(jobs: list[list[str]]) -> None:
        if dying.launched:
            raise UserError("SLURM is gone")
        dying(jobs)

    with pytest.raises(UserError, match="SLURM is gone"):
        run_sweep(planned(*SEEDS), launch)
    assert "sweep: 3 failed\n" in capsys.readouterr().out


def test_a_sweep_names_the_runs_of_other_code(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned("experiment=tiny")

    def launch(jobs: list[list[str]]) -> None:
        for overrides, source in zip(jobs, (SOURCE, "0" * 64, None), strict=True):
            finish_run(compose(overrides), provenance={} if source is None else {"source": source})

    run_sweep(plan, launch)
    line = "tiny-quick: these runs were trained after the code had changed during the sweep: "
    assert f"{line}{keys(plan)[1]}\n" in capsys.readouterr().out
    run_sweep(plan, launch)
    assert line not in capsys.readouterr().out, "a run that was there before is no part of this sweep"
