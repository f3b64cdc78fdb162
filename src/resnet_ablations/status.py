"""Every run of a results folder: outcome, progress, speed, time left."""

import argparse
from datetime import timedelta
from pathlib import Path

from rich.table import Table

from resnet_ablations.console import standard_console
from resnet_ablations.errors import UserError, exit_on_user_error
from resnet_ablations.results.run_folder import RunFolder


def main() -> None:
    """Print a line a run."""
    parser = argparse.ArgumentParser(prog="python -m resnet_ablations.status", description=__doc__)
    parser.add_argument("results", nargs="?", default="results", help="the results folder")
    results = Path(parser.parse_args().results)
    with exit_on_user_error():
        keys = sorted(path.name for path in results.glob("runs/*") if path.is_dir())
        if not keys:
            raise UserError(f"{results}: no run yet; start one with: make sweep-shortcuts")
    table = Table(box=None)
    table.add_column("run", overflow="fold")
    for column in ("outcome", "iteration", "images/s", "left / error"):
        table.add_column(column, justify="right")
    for key in keys:
        table.add_row(key, *_cells(RunFolder(results, key)))
    # Off a terminal, keys stay in one piece.
    standard_console(120).print(table)


def _cells(folder: RunFolder) -> tuple[str, str, str, str]:
    if (result := folder.result()) is not None:
        error = "–" if result.test_error is None else f"{result.test_error:.2f} %"
        return result.outcome, str(result.iterations), f"{result.images_per_second:,.0f}", error
    status = folder.status()
    if status is None:
        return "not started", "", "", ""
    progress = f"{status.iteration}/{status.iterations}"
    if status.outcome != "running":
        return status.outcome, progress, "", status.reason
    left = timedelta(seconds=round(status.seconds_left)) if status.seconds_left is not None else "–"
    return "running", progress, f"{status.images_per_second:,.0f}", str(left)


if __name__ == "__main__":
    main()
