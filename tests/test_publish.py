"""Publishing: finished runs go into the reference, as text, without a word of this machine's folders."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from finished import finish_run, owned_by_another

from resnet_ablations import publish as publishing
from resnet_ablations.errors import UserError
from resnet_ablations.results.frames import load_curves, load_responses, load_results, load_signals
from resnet_ablations.results.run_folder import RunFolder, Status
from resnet_ablations.results.signals import HEADER, PUBLISHED_WHOLE, UnitSignals, lines
from resnet_ablations.results.sweeps import load_sweeps, save_sweep
from resnet_ablations.sweep.planning import Job, Plan, plan

RESPONSES = "layer,name,std\n1,stem,2.065\n"
SIGNALS = HEADER + "".join(lines(at, [UnitSignals(1, at + 1.0, 0.5, 0.25)]) for at in (0, 200, 810))


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this machine; its name must not be published."""
    return tmp_path_factory.mktemp("machine") / "secret"


@pytest.fixture(scope="module")
def planned(secret: Path) -> Plan:
    places = [f"paths.results={secret}/results", f"paths.data={secret}/data", "trainer.threads=1"]
    return plan(["experiment=shortcuts", "scale=quick", "rows=original,dropout", *places])


@pytest.fixture(scope="module", autouse=True)
def reported() -> Iterator[list[Path]]:
    """The folders of which a report was made, which is another test's matter."""
    folders: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "write_report", lambda results, *_: folders.append(results))
        yield folders


def finish(job: Job) -> None:
    run = job.config
    folder = RunFolder(run.paths.results, run.key)
    folder.freeze(run.as_dict())
    folder.log.write_text(f"logged in {run.paths.results}")
    (folder.path / "weights.ckpt").write_bytes(os.urandom(100))
    folder.responses.write_text(RESPONSES)
    folder.signals.write_text(SIGNALS)
    folder.lesions.write_text("measured")
    folder.path_gradients.write_text("measured")
    finish_run(run)


@pytest.fixture(scope="module")
def published(planned: Plan, secret: Path) -> Path:
    """The reference after one of two runs, and one that belongs to no table, have ended."""
    assert planned.record is not None
    save_sweep(secret / "results", planned.record)
    original, dropout = planned.jobs
    finish(original)
    unfinished = RunFolder(secret / "results", dropout.config.key)
    unfinished.freeze(dropout.config.as_dict())
    unfinished.set_status(Status(outcome="running", iteration=3, iterations=810))
    (lone,) = plan(["seed=7", f"paths.results={secret}/results"]).jobs
    finish(lone)
    publishing.publish(secret / "results", secret.parent / "reference")
    return secret.parent / "reference"


def test_finished_runs_of_the_tables_are_published(published: Path, planned: Plan, reported: list[Path]) -> None:
    (run,) = load_results(published).to_dict("records")
    assert (run["key"], run["test_error"], run["network.depth"]) == (planned.jobs[0].config.key, 12.5, 56)
    assert load_curves(published)["test_error"].iloc[-1] == 12.5
    assert list(load_responses(published)["std"]) == [2.065]
    assert list(load_signals(published)["signal"]) == [1.0, 201.0, 811.0]
    (kept,) = load_sweeps(published)
    assert planned.record is not None
    assert (kept.name, kept.cells, kept.seeds) == ("shortcuts-quick", planned.record.cells, [0])
    assert kept.replacements == planned.record.replacements
    assert reported[0] == published


def test_nothing_of_this_machine_is_published(published: Path) -> None:
    files = [path for path in published.rglob("*") if path.is_file()]
    assert [path for path in files if "secret" in path.read_text(encoding="utf-8")] == []
    assert {path.name for path in files} == {
        ".lock",
        "config.yaml",
        "curve.csv",
        "layer_responses.csv",
        "lesions.csv",
        "path_gradients.csv",
        "result.json",
        "signals.csv",
        "shortcuts-quick.json",
    }


def test_a_published_configuration_is_the_runs(published: Path, planned: Plan) -> None:
    (path,) = published.glob("runs/*/config.yaml")
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == planned.jobs[0].config.scientific


def test_publishing_again_changes_nothing(published: Path, secret: Path) -> None:
    before = {path: path.read_bytes() for path in published.rglob("*") if path.is_file()}
    publishing.publish(secret / "results", published)
    assert {path: path.read_bytes() for path in published.rglob("*") if path.is_file()} == before


def test_a_large_file_of_signals_is_published_with_its_first_and_last_iteration(planned: Plan, tmp_path: Path) -> None:
    assert planned.record is not None
    run = planned.jobs[0].config.model_copy(
        update={"paths": planned.jobs[0].config.paths.model_copy(update={"results": f"{tmp_path}/results"})}
    )
    finish(Job((), run))
    units = [UnitSignals(unit, 1.0, 0.5, 0.25) for unit in range(1, 604)]
    run.folder.signals.write_text(HEADER + "".join(lines(at, units) for at in range(0, 8_001, 100)))
    assert run.folder.signals.stat().st_size > PUBLISHED_WHOLE
    save_sweep(tmp_path / "results", planned.record)
    publishing.publish(tmp_path / "results", tmp_path / "reference")
    signals = load_signals(tmp_path / "reference")
    assert list(zip(signals["iteration"], signals["unit"], strict=True)) == [
        (at, unit) for at in (0, 8_000) for unit in range(1, 604)
    ]


def test_a_run_without_responses_is_published_without(planned: Plan, tmp_path: Path) -> None:
    """Responses and signals of an earlier training do not belong to this result."""
    assert planned.record is not None
    run = planned.jobs[0].config.model_copy(
        update={"paths": planned.jobs[0].config.paths.model_copy(update={"results": f"{tmp_path}/results"})}
    )
    finish(Job((), run))
    run.folder.changes.write_text("+ a line\n")
    save_sweep(tmp_path / "results", planned.record)
    copied = RunFolder(tmp_path / "reference", run.key)
    publishing.publish(tmp_path / "results", tmp_path / "reference")
    assert copied.responses.read_text() == RESPONSES
    assert copied.changes.read_text() == "+ a line\n"
    run.folder.responses.unlink()
    run.folder.signals.unlink()
    run.folder.lesions.unlink()
    run.folder.path_gradients.unlink()
    run.folder.changes.unlink()
    publishing.publish(tmp_path / "results", tmp_path / "reference")
    assert {path.name for path in copied.path.iterdir()} == {"config.yaml", "curve.csv", "result.json"}


@pytest.mark.parametrize("name", ["config", "curve"])
def test_a_damaged_run_is_named_and_not_published(
    planned: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert planned.record is not None
    run = planned.jobs[0].config.model_copy(
        update={"paths": planned.jobs[0].config.paths.model_copy(update={"results": f"{tmp_path}/results"})}
    )
    finish(Job((), run))
    file: Path = getattr(run.folder, name)
    file.write_text("[")
    save_sweep(tmp_path / "results", planned.record)
    publishing.publish(tmp_path / "results", tmp_path / "reference")
    printed = capsys.readouterr()
    assert printed.out == "shortcuts-quick: 0 runs published\n"
    assert printed.err.startswith(f"not published: {run.key}: its result is damaged: {file.name} ")
    assert printed.err.count("\n") == 1


def test_without_a_sweep_there_is_nothing_to_publish(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sweep to publish"):
        publishing.publish(tmp_path, tmp_path / "reference")
    assert list(tmp_path.iterdir()) == []


def test_the_readme_shows_the_table(tmp_path: Path) -> None:
    table, readme = tmp_path / "reference" / "table.md", tmp_path / "README.md"
    readme.write_text(f"# Title\n\nbefore\n{publishing.BEGIN}old\n{publishing.END}\nafter\n")
    publishing.show(table, readme)
    assert "old" in readme.read_text(), "without a table it stays as it is"
    table.parent.mkdir()
    table.write_text("## Table 1\n\n| a |\n\n![curves](fig3.svg)\n\n![more](fig4.svg)\n\n![depth](a-propagation.svg)\n")
    for _ in range(2):
        publishing.show(table, readme)
        assert readme.read_text() == (
            f"# Title\n\nbefore\n{publishing.BEGIN}### Table 1\n\n| a |\n\n![curves](reference/fig3.svg)\n"
            f"\n![depth](reference/a-propagation.svg)\n{publishing.END}\nafter\n"
        )


@pytest.fixture
def publish_into(
    published: Path, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Publishes a results folder, named from another place, into a checkout with this README; returns the checkout."""

    def run(readme: str) -> Path:
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        (checkout / "README.md").write_text(readme)
        monkeypatch.setattr(publishing, "ROOT", checkout)
        monkeypatch.setattr("sys.argv", ["publish", "results"])
        monkeypatch.chdir(secret)
        publishing.main()
        return checkout

    return run


@pytest.mark.parametrize("text", ["{begin}old\n", "{end}\n{begin}", "{begin}{end}{begin}{end}", "old\n{end}\n"])
def test_a_readme_with_wrong_markers_is_refused_before_anything_is_copied(
    text: str, publish_into: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        publish_into(text.format(begin=publishing.BEGIN, end=publishing.END))
    assert ended.value.code == 2
    assert [path.name for path in (tmp_path / "checkout").iterdir()] == ["README.md"]


def test_runs_are_published_into_the_checkout_from_any_folder(publish_into: Callable[[str], Path]) -> None:
    checkout = publish_into("no markers")
    reference = checkout / "results" / "reference"
    assert [path.name for path in reference.glob("sweeps/*")] == ["shortcuts-quick.json"]
    assert len(load_results(reference)) == 1


def test_only_links_to_files_lead_to_the_reports_folder(tmp_path: Path) -> None:
    table, readme = tmp_path / "results" / "report" / "table.md", tmp_path / "README.md"
    table.parent.mkdir(parents=True)
    table.write_text("## Table\n\n[a](b.md) [c](https://d.org/e) [f](#g) [h](/i)\n")
    readme.write_text(f"{publishing.BEGIN}{publishing.END}")
    publishing.show(table, readme)
    assert "[a](results/report/b.md) [c](https://d.org/e) [f](#g) [h](/i)" in readme.read_text()


def test_a_run_that_another_process_publishes_is_one_line(
    planned: Plan, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned.record is not None
    target = RunFolder(tmp_path / "reference", planned.jobs[0].config.key)
    target.path.mkdir(parents=True)
    with owned_by_another(target) as number:
        publishing.publish(Path(planned.jobs[0].config.paths.results), tmp_path / "reference")
    told = capsys.readouterr().err
    assert re.search(rf"^not published: {target.key}: process {number} on .* trains it; publish again", told)
    assert target.result() is None


def test_a_run_that_may_not_be_read_does_not_stop_the_others(
    planned: Plan,
    published: Path,
    tmp_path: Path,
    failing_reads: Callable[[Callable[[Path], bool], int], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (job, *_) = planned.jobs
    source = job.config.folder
    failing_reads(lambda path: path == source.responses, errno.EACCES)
    publishing.publish(Path(job.config.paths.results), tmp_path / "reference")
    told = capsys.readouterr().err
    assert f"not published: {source.responses}: cannot be read: Permission denied; make it readable" in told
    assert len(load_sweeps(tmp_path / "reference")) == 1


def test_a_reference_that_cannot_be_written_is_one_line(planned: Plan, published: Path, tmp_path: Path) -> None:
    (tmp_path / "reference").touch()
    with pytest.raises(UserError, match=rf"^{tmp_path}/reference.*: cannot be written: "):
        publishing.publish(Path(planned.jobs[0].config.paths.results), tmp_path / "reference")
