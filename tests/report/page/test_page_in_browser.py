"""The page as a reader has it: in Chromium, with a pointer, a keyboard, in the dark and on a small screen."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import MadeUp
from observing import wait_until
from pages import Judged, page_of

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
]
QUIET = ("quic", "background-networking", "component-update", "sync")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
Page = Any
"""Playwright's, which may not be there."""
FIGURE = "[id='chart:shortcuts-quick:fig3']"
STRIP = "[id='chart:shortcuts-quick:strip']"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as engines:
        opened = engines.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on two experiments and two scales, with verdicts, gaps, a diverged run and several seeds."""
    folder = tmp_path_factory.mktemp("page") / "results"
    shortcuts, activations = MadeUp(folder, "shortcuts"), MadeUp(folder, "activations")
    shortcuts.plan("quick")
    shortcuts.all_runs({"original": 4.0})
    shortcuts.run("dropout", outcome="diverged")
    shortcuts.plan("early", seeds=(0, 1))
    shortcuts.run("constant_scaling_0.5_1", 50.0, seconds=80.0, multiply_adds=300_000_000)
    for seed in (0, 1):
        shortcuts.run("original", 40.0 + seed, seed, scale="early", error_at=lambda iteration: 50.0)
    activations.plan("quick")
    activations.run("original/resnet110", 5.0)
    cells = (("original", "error"), ("dropout", "error"))
    verdicts = [
        Judged(flags=("one seed",), cells=cells),
        Judged("contradicted"),
        Judged("not run", sweep="", scale="", effect="–"),
    ]
    (folder / "report").mkdir()
    path = folder / "report" / "index.html"
    path.write_text(page_of(folder, ["runs/x: damaged"], verdicts), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Page]:
    """Opened at 1,400 px; anything said on its console, or asked of a network, fails the test."""
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.set_default_timeout(10_000)
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on(
        "request", lambda request: said.append(request.url) if not request.url.startswith(file.as_uri()) else None
    )
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert said == []


def visible(page: Page, selector: str) -> int:
    return sum(element.is_visible() for element in page.locator(selector).all())


def until(page: Page, expression: str) -> None:
    """Playwright's own waiting evaluates text inside the page from the second look on, which the page forbids."""
    wait_until(lambda: page.evaluate(expression), seconds=10)


def key_of(page: Page, cell: str) -> str:
    """The run that the number of a row of Table 1 leads to."""
    link = page.locator(f"[id='sweep:shortcuts-quick'] tr:has-text('{cell}') td a").first
    return str(link.get_attribute("href")).removeprefix("#run:")


def test_filters(page: Page) -> None:
    assert (visible(page, ".sweep"), visible(page, ".run"), visible(page, ".verdict")) == (3, 19, 0)
    page.get_by_label("Scale", exact=True).select_option("early")
    assert (visible(page, ".sweep"), visible(page, ".run"), visible(page, ".verdict")) == (1, 2, 0)
    assert page.locator("#shown").inner_text() == "1 of 3 tables, 0 of 3 verdicts, 2 of 19 runs"
    assert page.locator("#shown").get_attribute("aria-live") == "polite"
    page.get_by_label("Experiment", exact=True).select_option("activations")
    assert visible(page, ".sweep") == 0
    assert page.locator("#nothing").is_visible()
    page.get_by_role("button", name="Show all").click()
    until(page, "document.getElementById('shown').textContent.startsWith('3 of 3')")
    page.get_by_label("Verdict", exact=True).select_option("contradicted")
    assert (visible(page, ".sweep"), visible(page, ".verdict")) == (3, 1), "their claims are unfolded"


def test_an_address_of_what_is_filtered_out_shows_it(page: Page) -> None:
    key = key_of(page, "dropout")
    page.get_by_label("Scale", exact=True).select_option("early")
    page.evaluate("key => { location.hash = `run:${key}`; }", key)
    page.locator(f"[id='run:{key}']").wait_for(state="visible")
    assert page.get_by_label("Scale", exact=True).input_value() == ""


def test_a_mark_says_its_run_and_leads_to_it(page: Page) -> None:
    mark = page.locator(f"{STRIP} .plot a").first
    key = str(mark.get_attribute("href")).removeprefix("#run:")
    assert mark.locator("title").text_content() == f"original, seed 0: 4.00 % ({key})"
    mark.locator("use").click()
    page.locator(f"[id='run:{key}']").wait_for(state="visible")


def test_a_curve_leads_to_its_run(page: Page) -> None:
    mark = page.locator(f"{FIGURE} .plot a:has(use)", has_text="original: test error").first
    key = str(mark.get_attribute("href")).removeprefix("#run:")
    mark.locator("use").first.click()
    body = page.locator(f"[id='run:{key}']")
    body.wait_for(state="visible")
    assert body.locator(".plot path").first.bounding_box()["width"] > 100, "the run's own curve"


def test_the_first_tab_skips_to_the_results(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_numbers_behind_a_figure_by_keyboard(page: Page) -> None:
    """The Tab key passes over the marks; the folded table has their numbers and links."""
    summary = page.locator(f"{FIGURE} details > summary")
    page.locator("[id='table:shortcuts-quick']").locator("xpath=../..").focus()
    passed = []
    while not summary.evaluate("element => element === document.activeElement"):
        page.keyboard.press("Tab")
        passed.append(page.evaluate("Boolean(document.activeElement.closest('.plot'))"))
        assert len(passed) < 100
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert not any(passed)
    page.keyboard.press("Enter")
    table = page.locator(f"{FIGURE} details table")
    table.wait_for(state="visible")
    assert "test error" in table.inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    until(page, "document.activeElement?.matches('details.run[open] > summary')")


def test_marks_that_would_hide_each_other_do_not(page: Page) -> None:
    boxes = [
        mark.bounding_box()
        for mark in page.locator("[id='chart:shortcuts-quick:cost'] .plot").first.locator("a > use").all()
    ]
    centres = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]
    assert len(centres) > 5
    assert len({(round(x), round(y)) for x, y in centres}) == len(centres)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_have_the_pages_colours(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    text = page.locator(f"{FIGURE} .plot text").first
    line = page.locator(f"{FIGURE} .plot a > path").first
    light = scheme == "light"
    assert text.evaluate("element => getComputedStyle(element).fill") == (
        "rgb(26, 29, 33)" if light else "rgb(230, 232, 235)"
    )
    assert line.evaluate("element => getComputedStyle(element).stroke") == (
        "rgb(0, 63, 125)" if light else "rgb(125, 180, 255)"
    )


def test_a_number_leads_to_its_run(page: Page) -> None:
    key = key_of(page, "dropout")
    body = page.locator(f"[id='run:{key}']")
    assert body.is_hidden()
    page.locator(f"[id='sweep:shortcuts-quick'] table a[href='#run:{key}']").first.click()
    body.wait_for(state="visible")
    summary = page.locator(f"details.run:has([id='run:{key}']) > summary")
    assert "diverged" in summary.inner_text()
    assert summary.evaluate("element => element === document.activeElement")
    assert 0 <= summary.bounding_box()["y"] < 900


def test_a_number_of_several_runs_leads_to_all_of_them(page: Page) -> None:
    page.locator("[id='sweep:shortcuts-quick'] table a", has_text="6 of 6").first.click()
    row = page.locator("[id='cell:shortcuts-quick:exclusive_gating_0_to_-5:error']")
    row.wait_for(state="visible")
    assert row.evaluate("element => element === document.activeElement")
    row.get_by_role("link").click()
    page.locator("details.run[open]").wait_for()


def test_dark_follows_the_system_until_the_reader_says_otherwise(page: Page) -> None:
    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    button = page.get_by_role("button", name="Dark")
    assert (background(), button.get_attribute("aria-pressed")) == ("rgb(255, 255, 255)", "false")
    page.emulate_media(color_scheme="dark")
    assert background() == "rgb(20, 23, 28)"
    page.wait_for_selector("#theme[aria-pressed=true]")
    button.click()
    assert (background(), button.get_attribute("aria-pressed")) == ("rgb(255, 255, 255)", "false")
    page.reload()
    assert background() == "rgb(255, 255, 255)"
    page.evaluate("localStorage.clear()")


@pytest.mark.parametrize("width", [320, 360, 768, 1400])
def test_no_width_scrolls_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    runs = page.locator(".every-run .scroll").first
    assert runs.evaluate("element => element.scrollWidth <= element.clientWidth || element.tabIndex === 0")
    if width <= 360:
        # Rows are stacked, so that no number of ours has to be scrolled to.
        table = page.locator("[id='sweep:shortcuts-quick'] .numbers-table").first
        ours = table.locator("td[data-heading=ours]")
        assert ours.count() == 11
        for box in (cell.bounding_box() for cell in ours.all()):
            assert 0 < box["x"] < box["x"] + box["width"] <= width
        content = ours.first.evaluate("element => getComputedStyle(element, '::before').content")
        assert "ours" in content


def test_a_verdicts_number_leads_to_the_runs_it_rests_on(page: Page) -> None:
    basis = page.locator("[id='basis:identity:shortcuts-quick']")
    assert basis.get_attribute("open") is None
    page.locator("[id='sweep:shortcuts-quick'] .claims > summary").click()
    page.get_by_role("link", name="+1.50 points").first.click()
    basis.locator("ul").wait_for(state="visible")
    key = key_of(page, "original")
    basis.locator(f"a[href='#run:{key}']").click()
    page.locator(f"[id='run:{key}']").wait_for(state="visible")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    found = axe.Axe().run(page)
    assert found.response["passes"]
    assert found.violations_count == 0, found.generate_report()


def test_everything_reads_without_a_script(browser: Any, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#filters").is_hidden()
    assert page.locator("#theme").is_hidden()
    plot = page.locator(f"{FIGURE} .plot").first
    assert plot.locator("path").first.bounding_box()["width"] > 100
    assert page.locator(f"{FIGURE} details").get_attribute("open") is None
    page.locator("[id='sweep:shortcuts-quick'] table a[href^='#run:']").first.click()
    page.locator("details.run[open]").wait_for()
    context.close()


def test_printed_in_black_on_white_without_the_filters(page: Page) -> None:
    page.emulate_media(color_scheme="dark", media="print")
    assert page.locator("#filters").is_hidden()
    assert page.locator("nav").is_hidden()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
    assert page.evaluate("getComputedStyle(document.querySelector('.numbers-table tbody tr')).breakInside") == "avoid"


def test_a_printed_page_has_no_folded_claims_or_notes(page: Page) -> None:
    folds = ":is(.claims, .notes)"
    page.locator(".notes > summary").first.click()
    before = page.evaluate(f"[...document.querySelectorAll('{folds}')].map((fold) => fold.open)")
    assert (before.count(True), len(before) > 2) == (1, True)
    count = f"document.querySelectorAll('{folds}:not([open])').length"
    page.evaluate(f"addEventListener('beforeprint', () => window.folded = {count})")
    page.pdf()
    assert page.evaluate("window.folded") == 0
    assert page.evaluate(f"[...document.querySelectorAll('{folds}')].map((fold) => fold.open)") == before
