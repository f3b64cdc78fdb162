"""Runs that are finished without training."""

from resnet_ablations.results.curve import CurveFile, CurveRow
from resnet_ablations.results.run_folder import Result, RunFolder


def finish(folder: RunFolder, result: Result) -> None:
    """Write a result, and before it a curve of one row that ends as the result says."""
    with CurveFile(folder.curve) as curve:
        curve.append(CurveRow(result.iterations, 0.1, 0.5, 10.0, result.test_loss, result.test_error))
    folder.finish(result)
