import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote
from xml.etree.ElementTree import Element

import pytest
from made_up import Declare, MadeUp
from pages import Claimed, Judged, page_of, parsed, text_of, with_class

from resnet_ablations import experiments
from resnet_ablations.report.__main__ import main
from resnet_ablations.report.anchors import anchor, run_anchor
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.report.page.runs import _environment, _provenance
from resnet_ablations.report.tables import formats
from resnet_ablations.report.tables.summary import summary
from resnet_ablations.results.run_folder import RunFolder

SCRIPT, FORMULA = "<script>alert(1)</script>", '=HYPERLINK("http://x.example","x")'
SVG = "{http://www.w3.org/2000/svg}"
IMAGE = "<img src=x onerror=alert(1)>"


def by_id(root: Element) -> dict[str, Element]:
    """Raises where two elements have the same id."""
    found: dict[str, Element] = {}
    for element in root.iter():
        if (name := element.get("id")) is not None:
            assert name not in found, name
            found[name] = element
    return found


def links(root: Element) -> list[str]:
    """Return the addresses of HTML and of SVG."""
    return [link.get("href", "") for link in root.iter() if str(link.tag).rpartition("}")[2] == "a"]


@dataclass(frozen=True)
class Full:
    """A results folder with its report, and the page without claims."""

    made_up: MadeUp
    stranger: RunFolder
    """A run that no table speaks of."""
    page: str
    root: Element


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Full:
    """Two scales; several seeds, configurations and gaps, a diverged run, a longer run that serves; made once."""
    made_up = MadeUp(tmp_path_factory.mktemp("full") / "results")
    made_up.plan("quick")
    made_up.all_runs({"original": 4.0})
    made_up.run("dropout", outcome="diverged")
    made_up.plan("early", seeds=(0, 1))
    for seed in (0, 1):
        made_up.run("original", 40.0 + seed, seed, scale="early", error_at=lambda iteration: 50.0)
    made_up.run("conv1x1", 70.0, 0, scale="paper", error_at=lambda iteration: 60.0)
    stranger = made_up.run("original", seed=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "OTHERS", "nothing.csv")
        assert main([str(made_up.path)]) == 0
        page = page_of(made_up.path)
    return Full(made_up, stranger, page, parsed(page))


of_one_folder = pytest.mark.xdist_group("page")
"""One worker makes the folder of `full` and its report once."""


@of_one_folder
def test_the_page_is_valid_and_every_link_leads_somewhere(full: Full) -> None:
    report = full.made_up.path / "report"
    root = parsed((report / "index.html").read_text())
    ids = by_id(root)
    to_page = [unquote(to[1:]) for to in links(root) if to.startswith("#")]
    assert len(to_page) > 50
    assert [to for to in to_page if to not in ids] == []
    to_files = [unquote(to) for to in links(root) if not to.startswith("#")]
    assert "shortcuts-quick.csv" in to_files
    assert [to for to in to_files if not (report / to).is_file()] == []
    for attribute in ("aria-labelledby", "aria-describedby"):
        named = [name for element in root.iter() for name in element.get(attribute, "").split()]
        assert [name for name in named if name not in ids] == []


@of_one_folder
def test_every_number_of_ours_leads_to_its_runs(full: Full) -> None:
    root = full.root
    ids = by_id(root)
    for section in with_class(root, "sweep"):
        table = next(section.iter("table"))
        headings = [text_of(heading) for heading in table.find("thead").iter("th")]  # type: ignore[union-attr]
        ours = len(headings) - headings.index("ours")
        numbers = [list(row)[-ours] for row in table.iter("tr") if row.find("td") is not None]
        leading = [(text_of(cell), links(cell)) for cell in numbers]
        assert len(leading) == 11
        for text, to in leading:
            assert bool(to) == any(map(str.isdigit, text)), text
            for name in to:
                target = ids[unquote(name[1:])]
                if target.tag == "tr":
                    (name,) = links(target)
                assert name.startswith("#run:")
    tables = [link for table in with_class(root, "numbers-table") for link in links(table)]
    several = [to for to in tables if to.startswith("#cell:shortcuts-quick:exclusive_gating_0_to_-5")]
    assert len(several) == 2 + 6  # the number and its difference; in the table of deficits
    listed = text_of(with_class(root, "every-run")[0])
    assert listed.count("exclusive gating (init b_g = 0 to −5)") == 6


@of_one_folder
def test_only_runs_of_a_table_are_shown(full: Full) -> None:
    served = full.made_up.configuration("paper", "conv1x1")
    keys = [text_of(key) for key in with_class(full.root, "key") if key.tag == "span"]
    assert keys == sorted(keys)
    assert len(keys) == 16 + 2 + 1
    assert full.stranger.key not in keys
    assert f"{served}-s0" in keys


def test_a_resumed_run_names_the_commit_and_the_machine_of_each_attempt() -> None:
    first = {"commit": "c0ffee", "dirty": True, "machine": {"device": "A100"}, "from_iteration": 0}
    origin = {"commit": "badcafe", "dirty": False, "machine": {"device": "H100"}, "from_iteration": 1200}
    origin |= {"earlier_attempts": [first]}
    assert _provenance(origin) == {
        "commit from iteration 0 on": "c0ffee, with uncommitted changes",
        "commit from iteration 1,200 on": "badcafe",
    }
    assert _environment(origin) == "device A100; device H100"


def test_a_run_has_what_can_be_known_of_it(made_up: MadeUp) -> None:
    made_up.plan()
    run = made_up.run("original", 4.25, dirty=True, error_at=lambda iteration: 50.0, metrics={"response_max": 2.5})
    diverged = made_up.run("dropout", outcome="diverged")
    run.log.write_text("training\n")
    root = parsed(page_of(made_up.path))
    ids = by_id(root)
    body = ids[run_anchor(run.key)]
    text = text_of(body)
    facts = dict(zip(map(text_of, body.iter("dt")), map(text_of, body.iter("dd")), strict=True))
    assert facts["test error"] == "4.25 %"
    assert facts["maximum over layers of the standard deviation of responses"] == "2.5"
    assert facts["commit"] == "c0ffee0123456789, with uncommitted changes"
    assert "_target_: made_up.Identity" in text
    files = [to for to in links(body) if to.endswith(("log.txt", "curve.csv", "config.yaml", "result.json"))]
    assert files[0] == f"../runs/{run.key}/log.txt"
    assert len(files) == 4
    assert "#sweep:shortcuts-quick" in links(body)
    other = ids[run_anchor(diverged.key)]
    assert not any(to.endswith("log.txt") for to in links(other))
    summary = next(details for details in with_class(root, "run") if diverged.key in text_of(details.find("summary")))
    assert "diverged" in text_of(summary.find("summary"))


def test_a_run_has_its_curve_drawn_and_in_numbers(made_up: MadeUp) -> None:
    made_up.plan()
    run = made_up.run("original", 4.25, error_at=lambda iteration: 50.0, loss=lambda iteration: 2 - iteration / 1_000)
    body = by_id(parsed(page_of(made_up.path)))[run_anchor(run.key)]
    rows = [[text_of(cell) for cell in row] for row in next(body.iter("tbody")).iter("tr")]
    assert len(rows) == 10
    assert rows[0] == ["100", "1.95", "50.00 %", ""]
    assert rows[-1] == ["1,800", "0.25", "1.50 %", "4.25 %"]
    (plot,) = with_class(body, "plot")
    assert [text_of(text) for text in plot.iter(f"{SVG}text")] == ["1,800", "50 %"]
    training, test = (path for path in plot.iter(f"{SVG}path") if path.get("stroke") == "var(--c0)")
    assert training.get("stroke-dasharray")
    assert not test.get("stroke-dasharray")
    # The last point of the path is 4.25 of 50 % over the axis.
    last = [float(number) for number in re.findall(r"-?[\d.]+", test.get("d", ""))][-2:]
    assert last == [pytest.approx(169.2, abs=0.2), pytest.approx(50.0, abs=0.2)]


@of_one_folder
def test_every_figure_has_its_numbers_and_its_runs(full: Full) -> None:
    root = full.root
    ids = by_id(root)
    figures = [figure for figure in root.iter("figure") if figure.get("id", "").startswith("chart:shortcuts-quick")]
    assert [figure.get("id") for figure in figures] == [
        f"chart:shortcuts-quick:{name}" for name in ("fig3", "strip", "cost")
    ]
    for figure in figures:
        assert all(plot.get("aria-hidden") == "true" for plot in with_class(figure, "plot"))
        marks = list(figure.iter(f"{SVG}a"))
        assert marks
        assert all(link.get("tabindex") == "-1" for link in marks)
        (table,) = figure.iter("table")
        rows = list(next(table.iter("tbody")))
        leading = [links(row) for row in rows]
        assert any(leading)
        assert all(unquote(to[1:]) in ids for row in leading for to in row)
    strip = figures[1]
    assert [text_of(cell) for cell in next(next(strip.iter("tbody")).iter("tr"))] == ["original", "6.61 %", "4.00 %"]
    assert sum(to.startswith("#run:") for plot in with_class(strip, "plot") for to in links(plot)) == 16


def test_text_of_others_does_nothing(declare: Declare) -> None:
    made_up = declare(
        f"""
headings: [method]
columns: [{{id: error, heading: {json.dumps(IMAGE)}}}]
rows:
  - id: other
    labels: [{json.dumps(SCRIPT)}]
    cells: {{error: {{printed: 5.0}}}}
    remark: {json.dumps(FORMULA)}
  - id: ours
    labels: [{json.dumps(IMAGE)}]
    configurations: [[network.depth=164]]
    cells: {{error: {{printed: 4.9}}}}
figures: [{{id: fig1, title: {json.dumps(SCRIPT)}, cells: [ours]}}]
"""
    )
    made_up.plan("quick", overrides=(f"network.label={SCRIPT}",))
    run = made_up.run("ours", 20.0)
    _rename(made_up, run.path, run.key.removesuffix("-s0"), IMAGE)
    config = made_up.path / "runs" / f"{IMAGE}-s0" / "config.yaml"
    config.write_text(f"label: '{SCRIPT}'\n" + config.read_text())
    assert main([str(made_up.path)]) == 0
    report = made_up.path / "report"
    page = (report / "index.html").read_text()
    root = parsed(page)
    assert len(list(root.iter("script"))) == 1
    assert list(root.iter("img")) == []
    assert [name for element in root.iter() for name in element.attrib if name.startswith("on")] == []
    for shown in (SCRIPT, IMAGE, FORMULA, f"label: '{SCRIPT}'", f"network.label={SCRIPT}"):
        assert shown in text_of(root)
    assert f"#{run_anchor(IMAGE + '-s0')}" in links(root)
    assert [to for to in links(root) if to.startswith("#") and unquote(to[1:]) not in by_id(root)] == []
    latex = (report / "declared-quick.tex").read_text()
    assert r"\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{}" in latex
    assert r"=HYPERLINK(``http://x.example'',``x'')" in latex


def test_a_name_that_is_a_formula_is_none_in_a_spreadsheet(made_up: MadeUp) -> None:
    made_up.plan()
    run = made_up.run("original", 4.0)
    _rename(made_up, run.path, run.key.removesuffix("-s0"), '=HYPERLINK("x")')
    (sweep,) = read_report_data(made_up.path).sweeps
    lines = list(csv.DictReader(io.StringIO(formats.csv(summary(sweep)).removeprefix("\ufeff"))))
    assert lines[0]["configuration"] == '\'=HYPERLINK("x")'
    assert lines[0]["median"] == "4"
    assert '=HYPERLINK("x")-s0' in text_of(parsed(page_of(made_up.path)))


def _rename(made_up: MadeUp, folder: Path, old: str, new: str) -> None:
    """Another name for a configuration, in the plan and in its run of seed 0."""
    plan = made_up.path / "sweeps" / f"{made_up.experiment.name}-quick.json"
    for file in (plan, folder / "result.json"):
        file.write_text(file.read_text().replace(old, json.dumps(new)[1:-1]))
    folder.rename(folder.with_name(f"{new}-s0"))


@of_one_folder
def test_nothing_is_fetched_and_nothing_else_may_run(full: Full) -> None:
    page, root = full.page, full.root
    fetching = [
        (element.tag, name, element.get(name, ""))
        for element in root.iter()
        for name in ("src", "srcset", "poster", "data", "action")
    ]
    assert [found for found in fetching if found[2]] == []
    assert [link.get("href") for link in root.iter("link")] == ["data:,"]
    ids = by_id(root)
    assert {name[1:] for name in re.findall(r"url\(([^)]*)\)", page)} <= ids.keys()
    assert [element.tag for element in root.iter() if "style" in element.attrib] == []
    assert len(list(root.iter("style"))) == 1
    assert "@import" not in page
    assert not re.search(r"https?://", page)
    policy = next(meta for meta in root.iter("meta") if meta.get("http-equiv") == "Content-Security-Policy").get(
        "content", ""
    )
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


@of_one_folder
def test_a_page_without_damage_has_no_warning(full: Full) -> None:
    """`test_damage_is_named_after_the_rest_is_made` has the other page."""
    assert with_class(full.root, "warning") == []


def test_the_page_leads_with_table_1_and_what_it_says(made_up: MadeUp) -> None:
    made_up.plan("early")
    made_up.plan("quick", (0, 1))
    for seed in (0, 1):
        made_up.run("original", 4.0, seed)
        made_up.run("dropout", 60.0, seed)
        made_up.run("exclusive_gating_-6", 3.0, seed)
    root = parsed(page_of(made_up.path))
    sections = [section.get("id") for section in root.iter("section")]
    assert sections == ["sweep:shortcuts-quick", "sweep:shortcuts-early", "runs"]
    lead, early = with_class(root, "answer")
    said = text_of(lead)
    assert "scale quick, with 2 seeds per configuration, 6 of 32 runs finished" in said
    assert "1 of 2 errors differ from that of “original” as in the paper and 1 does not (†)" in said
    assert "from 3.00 % (“exclusive gating (init b_g = −6)”) to 60.00 % (“dropout shortcut”)" in said
    assert text_of(early) == "None of the 16 runs is finished."


def test_one_seed_shows_no_order(made_up: MadeUp) -> None:
    made_up.plan("quick")
    for cell, error in (("original", 4.0), ("dropout", 60.0), ("exclusive_gating_-6", 3.0)):
        made_up.run(cell, error)
    said = text_of(with_class(parsed(page_of(made_up.path)), "answer")[0])
    assert "scale quick, with one seed per configuration, 3 of 16 runs finished. Errors range" in said
    assert "as in the paper" not in said
    assert "One seed tells no order." in said


def test_verdicts_are_folded_under_their_table(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.run("original", 4.0)
    assert "claims" not in by_id(parsed(page_of(made_up.path)))
    verdicts = (
        Judged(flags=("one seed <b>only</b>",), cells=(("original", "error"),)),
        Judged("not run", sweep="", scale="", effect="–", seeds="–", statement="Not judged."),
        Judged("contradicted", claim=Claimed("gates", "Gates are worse")),
    )
    root = parsed(page_of(made_up.path, verdicts=verdicts))
    section, claims = by_id(root)["sweep:shortcuts-quick"], by_id(root)["claims"]
    (folded,) = with_class(section, "claims")
    assert (folded.tag, folded.get("open")) == ("details", None)
    assert text_of(folded.find("summary")) == "Claims of the paper: ✓ reproduced 1 ✗ contradicted 1"
    first, second = (text_of(verdict) for verdict in with_class(section, "verdict"))
    assert first.startswith(
        "✓ reproduced The identity is best (v2, Table 1) At this scale: it is. effect +1.50 points · p = 0.012, "
        "q = 0.034 · n = 1/1"
    )
    assert "one seed <b>only</b>" in first
    assert "original: 4.00 %" in first
    assert second.startswith("✗ contradicted Gates are worse")
    assert "1 reproduced, 1 contradicted" in text_of(with_class(section, "answer")[0])
    (unjudged,) = with_class(claims, "verdict")
    assert text_of(unjudged).startswith("– not run The identity is best")
    assert text_of(with_class(claims, "tally")[0]) == "✓ reproduced 1 ✗ contradicted 1 – not run 1"
    options = [option.get("value") for option in by_id(root)["by-outcome"].iter("option")]
    assert options == ["", "reproduced", "contradicted", "not run"]


def test_a_sweep_that_stops_too_early_has_no_verdicts(made_up: MadeUp) -> None:
    made_up.plan()
    made_up.plan("early")
    early = Judged("not run", sweep="shortcuts-early", scale="early")
    root = parsed(page_of(made_up.path, verdicts=[Judged(), early]))
    assert len(with_class(root, "verdict")) == 1
    section = by_id(root)["sweep:shortcuts-early"]
    assert "not judged" in text_of(section)
    assert text_of(with_class(root, "tally")[0]) == "✓ reproduced 1"


def test_rows_of_one_case_are_one_group(made_up: MadeUp) -> None:
    made_up.plan()
    table = next(parsed(page_of(made_up.path)).iter("table"))
    groups = [
        (text_of(head), head.get("scope"), head.get("rowspan"))
        for head in table.iter("th")
        if head.get("scope") != "col"
    ]
    assert groups[:3] == [
        ("original", "row", None),
        ("constant scaling", "rowgroup", "3"),
        ("exclusive gating", "rowgroup", "3"),
    ]


@pytest.mark.parametrize("other", [("a", "b", "c"), ("a", "b~3a~c"), ("a", "b-c"), ("a", "b c"), ("a", "b/c")])
def test_anchors_of_different_names_differ(other: tuple[str, ...]) -> None:
    assert anchor("a", "b:c") != anchor(*other)
    assert not re.search(r"\s", anchor(*other))


@of_one_folder
def test_the_best_of_a_column_is_bold(full: Full) -> None:
    assert {text_of(strong) for section in with_class(full.root, "sweep") for strong in section.iter("strong")} == {
        "4.00"
    }
