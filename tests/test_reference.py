"""The files in results/reference, and the README's tables, agree with the committed runs."""

import shutil
from pathlib import Path

import pytest

from resnet_ablations import publish as publishing
from resnet_ablations.console import standard_console
from resnet_ablations.report import frame
from resnet_ablations.report.write_report import write_report

ROOT = Path(__file__).parents[1]
REFERENCE = Path("results/reference")
# One worker makes the report once.
pytestmark = pytest.mark.xdist_group("reference")
MADE_AGAIN = {".pdf", ".html"}
"""The files that git ignores; `make report` makes them. The page shows the SVG’s figures."""


@pytest.fixture(scope="module")
def anew(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the report was made again from the committed runs, and the README written."""
    folder = tmp_path_factory.mktemp("anew")
    for part in ("runs", "sweeps"):
        shutil.copytree(ROOT / REFERENCE / part, folder / REFERENCE / part)
    shutil.copy(ROOT / "README.md", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(frame, "PUBLISHED", folder / REFERENCE)
        assert write_report(REFERENCE, None, standard_console()) == []
        publishing.show(folder / REFERENCE / "report" / f"{publishing.SHOWN}.md", folder / "README.md")
    return folder


def test_the_report_is_the_committed_one(anew: Path) -> None:
    made, committed = anew / REFERENCE / "report", ROOT / REFERENCE / "report"
    names = {path.name for path in made.iterdir() if path.suffix not in MADE_AGAIN}
    assert names == {path.name for path in committed.iterdir() if path.suffix not in MADE_AGAIN}
    assert {path.suffix for path in made.iterdir()} >= MADE_AGAIN
    differing = [name for name in sorted(names) if (made / name).read_bytes() != (committed / name).read_bytes()]
    assert differing == [], "make publish RESULTS=results/reference"


def test_the_readme_shows_it(anew: Path) -> None:
    assert (anew / "README.md").read_text() == (ROOT / "README.md").read_text(), "make publish"
