"""The check of a results folder, and the arguments that name it and its runs, the same for every command."""

import argparse
import errno
import fcntl
import re
import sys
import tempfile
from pathlib import Path

from resnet_ablations.errors import UserError, reason_of, shortened
from resnet_ablations.paths import default_results, with_home
from resnet_ablations.results.atomic_write import NOT_OFFERED, fsync_folder


def readable(results: str | Path) -> Path:
    """Return the path of a results folder to read, `~` replaced.

    Raise `UserError` if there is no such folder, or if it has other files and folders than those of results.
    """
    folder = _expanded(results)
    try:
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    except FileNotFoundError:
        if re.match(r"[+~]*[\w.]+=", str(results)):
            raise UserError(f"{results}: no such folder; write the folder alone, without KEY=") from None
        raise UserError(
            f"{folder}: no such folder; start with: resnet-ablations sweep shortcuts, or name another results folder"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{shortened(folder)}: cannot be read: {reason_of(error)}; name a results folder") from None
    if names - {"lost+found"} and not names & {"runs", "sweeps", "report"}:
        above = folder.absolute().parent
        other = above if folder.absolute().name == "runs" else "one with a folder runs"
        raise UserError(f"{folder}: has no folder runs, so it is no results folder; name {other}")
    return folder


def runs_parser(
    command: str, description: str | None, runs: str, *, may_be_empty: bool = False
) -> argparse.ArgumentParser:
    """Return the parser of a command for named runs of a results folder; `runs` is an example of a pattern."""
    prog = f"resnet-ablations {command}"
    parser = argparse.ArgumentParser(prog=prog, description=description, epilog=f"example: {prog} '{runs}'")
    nargs = "*" if may_be_empty else "+"
    parser.add_argument("runs", nargs=nargs, metavar="RUN", help="the name of a run, or a pattern")
    parser.add_argument("--results", default=default_results(), help="the results folder")
    return parser


def writable(results: str | Path) -> Path:
    """Return the path of a results folder to write, `~` replaced, and create the folder; raise `UserError` if it fails.

    The folder is created if its parent exists; a missing parent is a mistyped path or a disk that is not mounted.
    """
    folder = _expanded(results)
    try:
        if not folder.absolute().parent.is_dir():
            raise UserError(
                f"{results}: cannot be the results folder: {folder.absolute().parent} does not exist; create it, or "
                "mount its disk"
            )
        if folder.is_symlink() and not folder.exists():
            raise UserError(
                f"{results}: a link to {folder.readlink()}, which does not exist; create that folder, or mount its disk"
            )
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _check_locks(file.fileno(), results)
        if not fsync_folder(folder):
            print(
                f"paths.results={results}: this file system does not write folders to the disk on request (fsync); "
                "after a power failure, the newest files can be missing",
                file=sys.stderr,
            )
    except (OSError, ValueError) as error:
        raise UserError(f"{results}: cannot be written: {reason_of(error)}; choose another results folder") from None
    return folder


def _check_locks(descriptor: int, results: str | Path) -> None:
    """Raise `UserError` if the file system has no locks: without them, two processes could train the same run."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (*NOT_OFFERED, errno.ENOLCK):
            raise
        raise UserError(
            f"paths.results={results}: this file system has no locks ({reason_of(error)}), which runs need; "
            "mount it with locks, or choose another folder"
        ) from None


def _expanded(results: str | Path) -> Path:
    if not str(results):
        raise UserError("paths.results: must not be empty; . is the current folder")
    try:
        str(results).encode()  # the report and the run's files contain it, in UTF-8
        return Path(with_home(str(results)))
    except UnicodeEncodeError:
        raise UserError(f"{results}: its name is not UTF-8; rename the folder or choose another one") from None
    except ValueError as error:
        raise UserError(f"{results}: {error}") from None
