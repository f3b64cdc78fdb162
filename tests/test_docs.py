"""README, CONTRIBUTING and docs/ name files that exist, and `make help` names experiments that exist."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_ablations.experiments import experiment_names
from resnet_ablations.paths import PACKAGE, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
WRITTEN_BY_THE_READER = {"conf/activation/batch_norm_first.yaml", "conf/shortcut/learned_scaling.yaml"}
"""The new files of docs/extending.md."""
BELOW = [ROOT, ROOT / "src", PACKAGE]
"""The folders from which the pages name paths."""


def prose(page: Path) -> str:
    """Return the page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def paths(text: str) -> Iterator[str]:
    """Yield each text in backticks that is a path of the checkout.

    NAME and KEY stand for other words, and results are written by runs; only `results/reference/` is committed.
    """
    folders = {path.name for below in BELOW for path in below.iterdir() if path.is_dir()} - {"results", "report"}
    for found in re.findall(r"`([\w.-][\w./-]*)`", text):
        first, _, rest = found.partition("/")
        if re.search(r"\b[A-Z]{3,}\b", found) or found in WRITTEN_BY_THE_READER:
            continue
        if (first in folders and "/" in found) or found.startswith("results/reference") or rest.endswith(".py"):
            yield found


@pages
def test_every_path_exists(page: Path) -> None:
    missing = {found for found in paths(prose(page)) if not any((below / found).exists() for below in BELOW)}
    assert missing == set()


@pages
def test_every_python_file_exists(page: Path) -> None:
    """A name without a folder is below the folder in the first cell of its row, or anywhere in the package."""
    for line in prose(page).splitlines():
        names = re.findall(r"`(\w+\.py)`", line)
        folders = [below / place for place in re.findall(r"^\| `([\w/]+/)`", line) for below in BELOW]
        existing = {path.name for folder in folders or [PACKAGE, ROOT / "notebooks"] for path in folder.rglob("*.py")}
        assert set(names) <= existing, line


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, _, section in (link.partition("#") for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page))):
        file = page.parent / target if target else page
        assert file.exists(), target
        if section:
            headings = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
            assert section in {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}, section


def test_the_paths_are_found() -> None:
    """The tests above would pass if they found no path."""
    found = {path for page in PAGES for path in paths(prose(page))}
    assert {"src/resnet_ablations/network/shortcuts.py", "conf/train.yaml", "results/locks.py", "docs/"} <= found
    assert len(found) > 30


def test_make_help_lists_the_experiments() -> None:
    ended = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    line = next(line for line in ended.stdout.splitlines() if line.startswith("sweep-NAME for NAME in:"))
    assert set(line.partition(":")[2].split()) == set(experiment_names())


def test_the_readme_has_the_summary_of_the_findings() -> None:
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    summary = re.search(r"\n\n(- \*\*.*?)\n\n## ", text, re.DOTALL)
    assert summary is not None
    assert summary[1] in (ROOT / "README.md").read_text(encoding="utf-8")
