"""The comparison of today's code with the code that trained a run."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_ablations.results import provenance
from resnet_ablations.results.provenance import (
    CODE,
    attempts,
    code_differs,
    resumed,
    same_code,
    source_hash,
    uncommitted_changes,
    with_changes,
)

PACKAGE = Path("src/resnet_ablations")
PARTS = [PACKAGE / (part if part.endswith(".py") else f"{part}/file.py") for part in CODE]


UNKNOWN = "uncommitted changes: changed files: unknown\nuncommitted changes: new files: unknown\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with one file in each part of the package, in the place of the project's."""
    for file in (tmp_path / name for name in (*PARTS, PACKAGE / "report/file.py", "docs/file.py")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("original\n", encoding="utf-8")
    (tmp_path / ".gitignore").write_text("__pycache__\n", encoding="utf-8")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / PACKAGE)
    monkeypatch.setattr(provenance, "SOURCE", source_hash())
    git("init", "--quiet", str(tmp_path))
    provenance._same_as_commit.cache_clear()
    yield tmp_path
    provenance._same_as_commit.cache_clear()


def git(*arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    run = ["git", *who, *arguments]
    return subprocess.run(run, cwd=provenance.PACKAGE, check=True, capture_output=True, text=True).stdout.strip()


def committed() -> str:
    git("add", "--all", ":/")
    git("commit", "--quiet", "--allow-empty", "--message=x")
    return git("rev-parse", "HEAD")


def same(commit: str, dirty: bool | None = False) -> bool | None:
    provenance._same_as_commit.cache_clear()
    return same_code({"commit": commit, "dirty": dirty})


def change(path: Path) -> None:
    path.write_text("changed\n", encoding="utf-8")


@pytest.mark.parametrize("where", PARTS, ids=str)
def test_a_change_of_the_code_is_detected(repository: Path, where: Path) -> None:
    """A change that is not committed, one that is, and one that is taken back."""
    first, source = committed(), source_hash()
    assert same(first) is True
    change(repository / where)
    assert same(first) is False
    assert source_hash() != source
    second = committed()
    assert (same(first), same(second)) == (False, True)
    (repository / where).write_text("original\n", encoding="utf-8")
    assert (same(first), same(second)) == (True, False)
    assert source_hash() == source


def test_a_new_file_counts_before_it_is_added(repository: Path) -> None:
    commit = committed()
    change(repository / PACKAGE / "network" / "new.py")
    assert same(commit) is False
    git("add", "--all", ":/")
    assert same(commit) is False


@pytest.mark.parametrize("where", ["docs/file.py", "src/resnet_ablations/report/file.py", "new.txt"])
def test_a_change_of_other_files_is_ignored(repository: Path, where: str) -> None:
    commit, source = committed(), source_hash()
    change(repository / where)
    (repository / PACKAGE / "network" / "__pycache__").mkdir()
    change(repository / PACKAGE / "network" / "__pycache__" / "file.pyc")
    assert same(commit) is True
    assert source_hash() == source


def test_unknown_commits_give_none(repository: Path) -> None:
    commit = committed()
    assert same_code({"commit": None, "dirty": False}) is None
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
    monkeypatch.setattr(provenance, "PACKAGE", repository / "nowhere")
    assert same(commit) is None


def test_a_repository_around_an_archive_is_not_the_codes(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outer repository may ignore the unpacked archive; then `git status` shows no change."""
    committed()
    archive = repository / "archive" / PACKAGE
    archive.mkdir(parents=True)
    (archive / "config.py").touch()
    (repository / ".gitignore").write_text("archive\n", encoding="utf-8")
    monkeypatch.setattr(provenance, "PACKAGE", archive)
    monkeypatch.setattr(provenance, "SOURCE", source_hash())
    origin = provenance.provenance("cpu", 1, {})
    assert (origin["commit"], origin["dirty"], uncommitted_changes()) == (None, None, UNKNOWN)


def test_the_repository_of_a_hook_is_not_the_codes(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git sets GIT_DIR in hooks and in `git rebase --exec`."""
    commit = committed()
    git("init", "--quiet", str(repository / "other"))
    monkeypatch.setenv("GIT_DIR", str(repository / "other" / ".git"))
    assert provenance.provenance("cpu", 1, {})["commit"] == commit


def test_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = committed()
    monkeypatch.setenv("PATH", "")
    assert same(commit) is None


def test_git_runs_once_for_each_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = committed()
    assert same_code({"commit": commit, "dirty": False}) is True
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("asked again"))
    assert same_code({"commit": commit, "dirty": False}) is True


def test_the_hash_of_the_source_decides_where_a_result_has_it() -> None:
    unknown = {"commit": None, "dirty": True}
    assert same_code(unknown | {"source": provenance.SOURCE}) is True
    assert same_code(unknown | {"source": "0" * 64}) is False
    assert source_hash() == provenance.SOURCE


def test_the_hash_needs_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_hash()
    monkeypatch.setenv("PATH", "")
    (repository / PARTS[0]).rename(repository / PARTS[0].with_name("renamed.py"))
    assert source_hash() != before


def test_the_diff_of_what_is_not_committed(repository: Path) -> None:
    committed()
    assert uncommitted_changes() == ""
    change(repository / "docs/file.py")
    assert uncommitted_changes() == ""
    git("config", "color.ui", "always")
    change(repository / PARTS[0])
    change(repository / PARTS[0].with_name("new.py"))
    git("add", PARTS[0].relative_to(PACKAGE).as_posix())
    diff = uncommitted_changes()
    assert diff.count("\n-original\n+changed\n") == 1
    assert diff.count("\n@@ -0,0 +1 @@\n+changed\n") == 1
    assert diff.count("diff --git ") == 2


def test_a_long_diff_is_cut_off(repository: Path) -> None:
    committed()
    (repository / PARTS[0]).write_text("x" * 70_000, encoding="utf-8")
    diff = uncommitted_changes()
    assert "\ncut off here: 65,536 of 70," in diff
    assert len(diff) < 65_600


def test_an_installed_package_asks_no_repository_around_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = committed()
    assert provenance.provenance("cpu", 1, {})["commit"] == commit
    monkeypatch.setattr(provenance, "IS_CLONE", False)
    origin = provenance.provenance("cpu", 1, {})
    assert (origin["commit"], origin["dirty"], origin["source"]) == (None, None, provenance.SOURCE)
    assert uncommitted_changes() == UNKNOWN


def test_code_that_is_no_longer_on_the_disk_has_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fork server of a sweep has the code of the sweep's start; the commit may have changed since."""
    committed()
    assert provenance.provenance("cpu", 1, {})["commit"] is not None
    change(repository / PARTS[0])
    committed()
    origin = provenance.provenance("cpu", 1, {})
    assert (origin["commit"], origin["dirty"], origin["source"]) == (None, None, provenance.SOURCE)


def test_other_packages_are_named() -> None:
    first = {"commit": "a" * 40, "source": "1", "versions": {"torch": "2.6.0", "numpy": "2.0"}}
    last = first | {"versions": {"torch": "2.7.0", "numpy": "2.0"}}
    assert code_differs(last) is None
    assert code_differs(resumed(dict(first), 4, attempts(first))) is None
    assert code_differs(resumed(last, 4, attempts(first))) == "other packages than before (torch 2.6.0 → 2.7.0)"
    gone = first | {"versions": {"torch": "2.6.0"}}
    assert code_differs(resumed(gone, 4, attempts(first))) == "other packages than before (numpy 2.0 → unknown)"


def test_other_code_of_any_earlier_attempt_is_named() -> None:
    first, second = ({"commit": letter * 40, "source": letter} for letter in "ab")
    twice = resumed(dict(second), 8, attempts(resumed(dict(second), 4, attempts(first))))
    named = "other code than before (before: source a, commit aaaaaaa; now: source b, commit bbbbbbb)"
    assert code_differs(twice) == named


def test_changes_that_were_taken_back_have_a_heading_of_their_own() -> None:
    """The text of A and B ends with B, but an attempt with B alone is another one."""
    a, b = "diff a\n+ a\n", "diff b\n+ b\n"
    both = with_changes("", a + b, 0)
    assert with_changes(both, a + b, 5) == both
    alone = with_changes(both, b, 5)
    assert alone == f"{a}{b}From iteration 5 on:\n{b}"
    assert with_changes(alone, b, 1_200) == alone
    none = with_changes(alone, "", 1_200)
    assert none == f"{alone}From iteration 1,200 on:\nno uncommitted changes\n"
    assert with_changes(none, None, 1_300) == f"{none}From iteration 1,300 on:\nuncommitted changes: unknown\n"
    assert [with_changes("", diff, 5) for diff in ("", None)] == ["", ""]


def test_changes_with_names_and_bytes_that_are_not_ascii_are_told(repository: Path) -> None:
    committed()
    (repository / PARTS[0]).write_bytes(b"na\xefve\n")  # Latin-1
    (repository / PARTS[0]).with_name("naïve.py").write_text("new\n", encoding="utf-8")
    diff = uncommitted_changes()
    assert "\n+na\ufffdve\n" in diff
    assert "\n+new\n" in diff


def test_changes_that_git_does_not_tell_are_unknown(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed()
    change(repository / PARTS[0])
    assert uncommitted_changes()
    run = provenance._git_runs
    change((repository / PARTS[0]).with_name("new.py"))
    monkeypatch.setattr(provenance, "_git_runs", lambda *given: None if "HEAD" in given else run(*given))
    first, *rest = uncommitted_changes().splitlines()
    assert first == "uncommitted changes: changed files: unknown"
    assert rest[-1] == "+changed"
