"""Runs that are written without training."""

from collections.abc import Iterator
from contextlib import contextmanager

from resnet_ablations.results.curve import CurveRow
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.run_folder import Result, RunFolder
from resnet_ablations.results.run_writer import RunWriter


@contextmanager
def writing(folder: RunFolder) -> Iterator[RunWriter]:
    """Own a run, and yield the writer of its files."""
    with RunLock(folder.path) as lock:
        yield RunWriter(folder, lock)


def finish(folder: RunFolder, result: Result) -> None:
    """Write a result, and before it a curve of one row that ends as the result says."""
    with writing(folder) as writer:
        with writer.begin_curve() as curve:
            curve.append(CurveRow(result.iterations, 0.1, 0.5, 10.0, result.test_loss, result.test_error))
        writer.finish(result)


def write_checkpoint(folder: RunFolder, iteration: int) -> None:
    """Write a checkpoint, which cannot be loaded."""
    with writing(folder) as writer:
        writer.write_checkpoint(iteration, b"weights")
