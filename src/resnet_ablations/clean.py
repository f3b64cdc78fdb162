"""Remove the named runs from a results folder, after confirmation."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from resnet_ablations.console import standard_console
from resnet_ablations.errors import UserError, exit_on_user_error, reason_of
from resnet_ablations.results.locks import RunLock, RunLocked, await_heartbeats
from resnet_ablations.results.results_folder import readable, runs_parser
from resnet_ablations.results.run_folder import RunFolder, folders_named
from resnet_ablations.results.states import State
from resnet_ablations.sweep.monitor import print_reasons, state_table
from resnet_ablations.sweep.squeue import jobs_of, remove_stale_locks, states_of


def main() -> None:
    """List the named runs, ask, and remove them."""
    arguments = runs_parser("clean", __doc__, "resnet56-dropout-*", may_be_empty=True).parse_args()
    with exit_on_user_error():
        folders = named(readable(arguments.results), arguments.runs)
        await_heartbeats([RunLock(folder.path) for folder in folders], jobs_of(folders))
        remove_stale_locks(folders)  # it asks SLURM again: a job may have begun meanwhile
        states = states_of(folders)
        if busy := [key for key, state in states.items() if state.outcome in ("running", "queued")]:
            raise UserError(*(f"{key}: {_busy(states[key])}" for key in busy))
    console = standard_console()
    console.print(state_table(states, console.width))
    print_reasons(states, console)
    size = sum(_size(path) for folder in folders for path in folder.path.rglob("*"))
    if not _agreed(f"remove these runs ({size / 1e6:.1f} MB)? [y/N] "):
        print("nothing removed")
        return
    with exit_on_user_error():
        for folder in folders:
            remove(folder)
    print(f"removed: {len(folders)}")


def named(results: Path, patterns: Sequence[str]) -> list[RunFolder]:
    """Return the runs that match a pattern; raise `UserError` for a pattern without a match, or without patterns."""
    if not patterns:
        raise UserError("name the runs to remove, for example 'resnet56-dropout-*'; resnet-ablations status lists them")
    return folders_named(results, patterns)


def remove(folder: RunFolder) -> None:
    """Remove a run, its result first. Raise `UserError` if a process trains it or its folder cannot be removed."""
    if not os.access(folder.path.parent, os.W_OK | os.X_OK):
        raise UserError(f"{folder.key}: not removed: {folder.path.parent} cannot be written")
    try:
        with RunLock(folder.path):
            folder.result_file.unlink(missing_ok=True)
            shutil.rmtree(folder.path)
    except RunLocked as locked:
        raise UserError(f"{folder.key}: {locked}; not removed") from None
    except OSError as error:
        raise UserError(f"{folder.key}: not wholly removed: {error.filename}: {reason_of(error)}") from None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # removed meanwhile, or in a folder that may not be searched
        return 0


def _busy(state: State) -> str:
    job = f" as SLURM job {state.job}; scancel {state.job}" if state.job else "; stop it first"
    return f"{state.outcome}{job}"


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


if __name__ == "__main__":
    main()
