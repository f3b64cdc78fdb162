"""The check before the first run: the results folder can be written and has room."""

import shutil
from collections.abc import Sequence

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.results.results_folder import writable
from resnet_ablations.sweep.estimates import checkpoints_bytes


def check_results_folder(results: str, runs: Sequence[RunConfig], at_once: int) -> None:
    """Raise `UserError` if the results folder cannot be written, or has no room for the runs' checkpoints."""
    free = shutil.disk_usage(writable(results)).free
    if (needed := checkpoints_bytes(runs, at_once)) > free:
        raise UserError(
            f"paths.results={results}: {_megabytes(free)} free, but checkpoints of {min(at_once, len(runs))} runs at "
            f"once need {_megabytes(needed)}; make room, or choose another folder"
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
