"""The provenance of a result: code, versions and machine of each attempt to train it."""

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resnet_ablations.cores import usable_cores
from resnet_ablations.paths import IS_CLONE, PACKAGE

CODE = ("network", "data", "training", "probe", "build.py", "config.py", "settings.py", "streams.py", "sums.py")
"""The parts of the package that can change a run's numbers."""
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "scikit-learn", "pillow")
DIFF_CHARACTERS = 64 * 1024
"""The largest number of characters of a diff that is kept with a run."""


def source_hash() -> str:
    """Return the SHA-256 of the source files of `CODE`, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        name, content = path.relative_to(PACKAGE), path.read_bytes()
        if name.parts[0] in CODE:
            digest.update(f"{name.as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


SOURCE = source_hash()
"""The hash of the code of this process: taken on import, since later changes of a file do not reach the process."""


def provenance(device: str, threads: int, gpu_versions: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the provenance of an attempt at its start; `gpu_versions` has the versions of a GPU's libraries."""
    commit = changes = None
    if source_hash() == SOURCE:  # or else the code of this process is no longer on the disk
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--", "..", "../../conf")
    return {
        "commit": commit,
        "dirty": None if changes is None else bool(changes),
        "source": SOURCE,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES}
        | dict(gpu_versions),
        "machine": {"cpu": _cpu(), "cores": usable_cores(), "threads": threads, "device": device},
        "started": now(),
    }


def resumed(origin: dict[str, Any], iteration: int, earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the provenance of a run that goes on from this iteration, with its earlier attempts, the first one first.

    A checkpoint of an earlier version does not name the attempts before it.
    """
    unknown = {"commit": None, "dirty": None, "from_iteration": 0}
    return origin | {"from_iteration": iteration, "earlier_attempts": [dict(a) for a in earlier] or [unknown]}


def attempts(origin: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the attempts of a run, the first one first; `origin` is the run's provenance."""
    earlier = origin.get("earlier_attempts")
    last = {"from_iteration": 0} | {name: value for name, value in origin.items() if name != "earlier_attempts"}
    return [*(a for a in earlier if isinstance(a, dict)), last] if isinstance(earlier, list) else [last]


def code_differs(origin: Mapping[str, Any]) -> str | None:
    """Return how code or packages of a resumed run differ from those of an earlier attempt; None if they do not.

    The latest attempt that differs is named.
    """
    *earlier, last = attempts(origin)
    other = [a for a in earlier if any(a.get(name) != last.get(name) for name in ("source", "versions"))]
    if not other:
        return None
    pair = other[-1], last
    if pair[0].get("source") == last.get("source"):
        before, after = (attempt.get("versions") or {} for attempt in pair)
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        moved = [f"{name} {before.get(name, 'unknown')} → {after.get(name, 'unknown')}" for name in names]
        return f"other packages than before ({', '.join(moved)})"
    before, after = (
        f"source {str(attempt.get('source') or 'unknown')[:8]}, commit {str(attempt.get('commit') or 'unknown')[:7]}"
        for attempt in pair
    )
    return f"other code than before (before: {before}; now: {after})"


def with_changes(earlier: str, diff: str | None, iteration: int) -> str:
    """Return the text of `changes.diff`, with the uncommitted changes from an iteration on; empty without changes.

    `earlier` is the text so far. `diff` is None if the changes are unknown.
    """
    if not earlier and not diff:
        return ""
    changes = "uncommitted changes: unknown\n" if diff is None else diff or "no uncommitted changes\n"
    *_, of_last_attempt = re.split(r"^From iteration [\d,]+ on:\n", earlier, flags=re.MULTILINE)
    if changes == of_last_attempt:
        return earlier
    return earlier + (f"From iteration {iteration:,} on:\n" if iteration else "") + changes


def uncommitted_changes() -> str:
    """Return the diff from the last commit to the files of `CODE`, with new files; at most `DIFF_CHARACTERS` long.

    A line names each part that git does not tell.
    """
    plain = ("diff", "--no-color", "--no-ext-diff")
    new = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *CODE)
    parts = {"changed files": _run_git(*plain, "HEAD", "--", *CODE)}
    parts |= {name: _run_git(*plain, "--no-index", "--", os.devnull, name) for name in (new or "").split("\0") if name}
    known = {name: diff.stdout for name, diff in parts.items() if diff is not None and diff.returncode in (0, 1)}
    texts = [known.get(name, f"uncommitted changes: {name}: unknown\n") for name in parts]
    texts += ["uncommitted changes: new files: unknown\n"] * (new is None)
    text = "".join(texts).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if len(text) <= DIFF_CHARACTERS:
        return text
    return f"{text[:DIFF_CHARACTERS]}\ncut off here: {DIFF_CHARACTERS:,} of {len(text):,} characters\n"


def same_code(origin: Mapping[str, Any]) -> bool | None:
    """Return whether `CODE` is the same as in every attempt of a run; `origin` is the run's provenance.

    An older result has no source hash; then the commit decides. Return None without git, if the commit is unknown
    here, and for a run with uncommitted changes.
    """
    each = [_same_code(attempt) for attempt in attempts(origin)]
    return False if False in each else None if None in each else True


def _same_code(origin: Mapping[str, Any]) -> bool | None:
    if origin.get("source") is not None:
        return bool(origin["source"] == SOURCE)
    commit, dirty = origin.get("commit"), origin.get("dirty")
    if not isinstance(commit, str) or dirty is not False or not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        return None
    return _same_as_commit(commit)


@cache
def _same_as_commit(commit: str) -> bool | None:
    changed = _run_git("diff", "--quiet", commit, "--", *CODE)
    added = _git("ls-files", "--others", "--exclude-standard", "--", *CODE)
    if changed is None or changed.returncode not in (0, 1) or added is None:
        return None
    return changed.returncode == 0 and not added


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git(*arguments: str) -> str | None:
    """Return git's output; None if it fails."""
    run = _run_git(*arguments)
    return run.stdout.strip() if run is not None and run.returncode == 0 else None


def _run_git(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Run git in the package's folder, to which paths are relative; return None where git or the clone is missing."""
    return _git_runs(*arguments) if IS_CLONE and _in_repository(PACKAGE) else None


@cache
def _in_repository(package: Path) -> bool:
    """Return whether git knows the files of the package; a repository around an unpacked archive does not."""
    known = _git_runs("ls-files", "--error-unmatch", "--", str(package))
    return known is not None and known.returncode == 0


def _git_runs(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    # Inside a hook of git, the variables name the repository of the hook.
    other = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in other}
    try:
        return subprocess.run(
            ["git", *arguments], cwd=PACKAGE, env=environment, capture_output=True, errors="surrogateescape", timeout=20
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
