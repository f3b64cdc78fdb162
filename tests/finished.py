"""Runs that are written without training."""

import math
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resnet_ablations.config import RunConfig
from resnet_ablations.results.curve import CurveRow, RowSchedule
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.owner import Owner
from resnet_ablations.results.run_folder import FINAL, Result, RunFolder
from resnet_ablations.results.run_writer import RunWriter

TINY: dict[str, Any] = {"data": {}, "schedule": {"iterations": 6, "log_every": 2, "evaluate_every": 6}}
"""The part of a configuration that a finished run needs."""


@contextmanager
def writing(folder: RunFolder) -> Iterator[RunWriter]:
    """Own a run, and yield the writer of its files."""
    with RunLock(folder.path) as lock:
        yield RunWriter(folder, lock)


def finish(folder: RunFolder, result: Result) -> None:
    """Write a result, and before it the curve that the run's configuration asks for; the last row is the result."""
    schedule = RowSchedule.model_validate(folder.configuration()["schedule"])
    final = [getattr(result, name) for name in FINAL]
    with writing(folder) as writer:
        with writer.begin_curve() as curve:
            iteration = 0
            while (iteration := schedule.next_row(iteration)) < result.iterations:
                tested = (0.9, 50.0) if iteration % schedule.evaluate_every == 0 else (None, None)
                curve.append(CurveRow(iteration, 0.1, 0.8, 40.0, *tested))
            last = (math.nan, 90.0, None, None) if None in final else final
            curve.append(CurveRow(result.iterations, 0.1, *last))
        writer.finish(result)


def finish_run(run: RunConfig, outcome: str = "finished", **values: object) -> None:
    """Leave the folder of a run as training would, with made-up numbers; `values` are fields of the result."""
    run.folder.freeze(run.as_dict())
    numbers = dict(zip(FINAL, (0.5, 10.0, 0.7, 12.5), strict=True)) if outcome == "finished" else dict.fromkeys(FINAL)
    names = {"key": run.key, "configuration": run.configuration, "seed": run.seed, "outcome": outcome}
    other = {"iterations": run.schedule.iterations, "parameters": 1, "seconds": 1.0, "images_per_second": 1234.0}
    finish(run.folder, Result.model_validate(names | numbers | other | {"provenance": {}} | values))


def write_checkpoint(folder: RunFolder, iteration: int) -> None:
    """Write a checkpoint, which cannot be loaded."""
    with writing(folder) as writer:
        writer.write_checkpoint(iteration, b"weights")


@contextmanager
def owned_by_another(folder: RunFolder) -> Iterator[int]:
    """Let another process own a run inside the context; yield its number."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        started = int(Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19])
        owner = Owner.this_process().model_copy(update={"pid": other.pid, "started": started})
        (folder.path / "claim.json").write_text(owner.model_dump_json())
        yield other.pid
        other.communicate()
