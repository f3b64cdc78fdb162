"""Files and the page have the same figure, with links and titles, and nothing that the page forbids."""

import math
import re
from xml.etree import ElementTree

import pytest
from drawn import charts, marks
from made_up import MadeUp
from matplotlib.figure import Figure

from resnet_ablations.report.figures.chart import Chart, written
from resnet_ablations.report.figures.svg import cleaned

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def strip(made_up: MadeUp) -> Chart:
    plan = made_up.plan(seeds=(0, 1))
    for seed in (0, 1):
        made_up.run("original", 4.0, seed)
    made_up.run("dropout", outcome="diverged")
    return charts(made_up, plan)["strip"]


def test_the_file_leads_to_the_page_beside_it(strip: Chart) -> None:
    root = ElementTree.fromstring(strip.files["svg"])
    links = [(link.get("href"), title.text) for link in root.iter(f"{SVG}a") for title in link.iter(f"{SVG}title")]
    runs = [(f"index.html{to}", title) for _, _, to, title in marks(strip.figure.subfigs[0].axes[0]) if to]
    assert links == runs
    assert len(links) == 3
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert "original, the paper’s: 6.61 %" in titles
    words = {text.text for text in root.iter(f"{SVG}text")}
    assert "dropout shortcut" in words, "text is text"
    assert strip.files["pdf"].startswith(b"%PDF")


def test_the_page_has_the_same_marks_in_colours_of_its_own(strip: Chart) -> None:
    shared: dict[str, ElementTree.Element] = {}
    (panel,) = strip.panels(shared)
    root = ElementTree.fromstring(panel)
    file = ElementTree.fromstring(strip.files["svg"])
    places = [(mark.get("x"), mark.get("y")) for mark in root.iter("use")]
    assert places == [(mark.get("x"), mark.get("y")) for mark in file.iter(f"{SVG}use")]
    assert [link.get("href") for link in root.iter("a")] == [
        to for _, _, to, _ in marks(strip.figure.subfigs[0].axes[0]) if to
    ]
    assert {link.get("tabindex") for link in root.iter("a")} == {"-1"}
    assert root.get("aria-hidden") == "true"
    colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', panel))
    assert {"var(--c0)", "var(--c1)", "var(--quiet)", "var(--rule)", "var(--page)"} <= colours
    assert not [colour for colour in colours if colour.startswith("#")]
    used = set(re.findall(r'(?:<use href="#|url\(#)([^")]*)', panel))
    assert used
    assert used <= {shape.get("id") for shape in shared.values()}
    assert list(strip.panels(shared)) == [panel], "what figures share is there once"
    assert not re.search(r" style=|<style|on\w+=|xlink|metadata", panel)


def test_a_figure_is_taken_apart_into_its_panels(made_up: MadeUp) -> None:
    made_up.run("original", 4.0)
    chart = charts(made_up, made_up.plan())["fig3"]
    panels = [ElementTree.fromstring(panel) for panel in chart.panels({})]
    assert len(panels) == 4
    boxes = [[float(side) for side in panel.get("viewBox", "").split()] for panel in panels]
    assert boxes[0][:2] == [0, 0]
    assert (boxes[1][0], boxes[2][1]) == (pytest.approx(boxes[0][2]), pytest.approx(boxes[0][3], abs=0.1))
    titles = [text.text for panel in panels for text in panel.iter("text") if str(text.text).startswith("(")]
    assert [title[:3] for title in titles if title] == ["(a)", "(b)", "(c)", "(d)"]


def test_text_of_others_stays_text(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = made_up.plan()
    made_up.run("original", 4.0)
    evil = '<script>alert("x")</script> id="y" $x_1$'
    monkeypatch.setattr("resnet_ablations.report.labels.row_label", lambda row, experiment: evil)
    monkeypatch.setattr("resnet_ablations.report.frame.row_label", lambda row, experiment: evil)
    chart = charts(made_up, plan)["strip"]
    (panel,) = chart.panels({})
    assert "<script" not in panel
    shown = " ".join("".join(text.itertext()) for text in ElementTree.fromstring(panel).iter("text"))
    assert "$x_1$" in shown
    assert "<script" in shown


def test_lines_without_a_point_in_their_panel_are_left_out() -> None:
    """Matplotlib writes such a line as a path without `d`; a diverged run has one in each panel of its signals."""
    figure = Figure()
    axes = figure.subplots()
    for values in ([math.nan, math.nan], [math.nan, math.nan], [0.0, 1.0]):
        axes.plot([0, 1], values, color="#0000fe")
    drawn = cleaned(written(figure, "svg"))
    assert len([path for path in drawn.iter("path") if path.get("stroke") == "#0000fe"]) == 1
    assert all("d" in path.attrib for path in drawn.iter("path"))
