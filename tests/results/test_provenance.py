"""Whether the code that can change a run's numbers is still what it was at a commit."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_ablations.results import provenance
from resnet_ablations.results.provenance import same_code

PACKAGE = Path("src/resnet_ablations")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with one file in each part of the package, in the place of the project's."""
    for name in (*provenance.CODE, str(PACKAGE / "report"), "docs"):
        file = tmp_path / (name if name.endswith(".py") else f"{name}/file.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("original\n", encoding="utf-8")
    (tmp_path / ".gitignore").write_text("__pycache__\n", encoding="utf-8")
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    git("init", "--quiet")
    provenance._as_at.cache_clear()
    yield tmp_path
    provenance._as_at.cache_clear()


def git(*arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    run = ["git", *who, *arguments]
    return subprocess.run(run, cwd=provenance.REPOSITORY, check=True, capture_output=True, text=True).stdout.strip()


def committed() -> str:
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message=x")
    return git("rev-parse", "HEAD")


def same(commit: str, dirty: bool | None = False) -> bool | None:
    provenance._as_at.cache_clear()
    return same_code(commit, dirty)


def change(path: Path) -> None:
    path.write_text("changed\n", encoding="utf-8")


@pytest.mark.parametrize("where", [*(f"{part}/file.py" for part in provenance.CODE[:-1]), provenance.CODE[-1]])
def test_what_counts(repository: Path, where: str) -> None:
    """A change that is not committed, one that is, and one that is taken back."""
    first = committed()
    assert same(first) is True
    change(repository / where)
    assert same(first) is False
    second = committed()
    assert (same(first), same(second)) == (False, True)
    (repository / where).write_text("original\n", encoding="utf-8")
    assert (same(first), same(second)) == (True, False)


def test_a_new_file_counts_before_it_is_added(repository: Path) -> None:
    commit = committed()
    change(repository / PACKAGE / "network" / "new.py")
    assert same(commit) is False
    git("add", "--all")
    assert same(commit) is False


@pytest.mark.parametrize("where", ["docs/file.py", "src/resnet_ablations/report/file.py", "new.txt"])
def test_what_does_not_count(repository: Path, where: str) -> None:
    commit = committed()
    change(repository / where)
    (repository / PACKAGE / "network" / "__pycache__").mkdir()
    change(repository / PACKAGE / "network" / "__pycache__" / "file.pyc")
    assert same(commit) is True


def test_what_cannot_be_known(repository: Path) -> None:
    commit = committed()
    assert same_code(None, False) is None
    assert (same(commit, True), same(commit, None)) == (None, None)
    assert same("0" * 40) is None
    assert same("HEAD") is None
    assert same("--output=x") is None
    assert same("") is None


def test_no_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = committed()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository.parent))
    (repository / ".git").rename(repository / "gone")
    assert same(commit) is None
    monkeypatch.setattr(provenance, "REPOSITORY", repository / "nowhere")
    assert same(commit) is None


def test_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = committed()
    monkeypatch.setenv("PATH", "")
    assert same(commit) is None


def test_asked_once_for_a_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = committed()
    assert same_code(commit, False) is True
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("asked again"))
    assert same_code(commit, False) is True
