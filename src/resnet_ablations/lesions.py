"""Delete and shuffle the units of trained networks; measure the test error, and the gradient by path length.

The numbers are written beside the run's result: lesions.csv and path_gradients.csv. A run that has them is left alone.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError, exit_on_user_error
from resnet_ablations.network.resnet import ResNet
from resnet_ablations.probe.lesions import lesioned, lesions
from resnet_ablations.probe.path_gradients import path_gradients
from resnet_ablations.results.atomic_write import remove_temporary_files, write_atomically
from resnet_ablations.results.lesions import PathGradient, lesions_text, path_gradients_text
from resnet_ablations.results.locks import RunLock, RunLocked
from resnet_ablations.results.results_folder import readable, runs_parser
from resnet_ablations.results.run_folder import RunFolder, folders_named
from resnet_ablations.sums import device_of_sums, in_float64, summable
from resnet_ablations.training.trained import TrainedRun, trained_run

T = TypeVar("T")


def main() -> None:
    """Measure the named runs."""
    parser = runs_parser("lesions", __doc__, "resnet56-identity-*")
    parser.add_argument("--again", action="store_true", help="measure runs again that have the numbers")
    arguments = parser.parse_args()
    mistakes: list[str] = []
    with exit_on_user_error():
        for folder in folders_named(readable(arguments.results), arguments.runs):
            if folder.lesions.exists() and not arguments.again:
                print(f"{folder.key}: measured before")
                continue
            try:
                measure(folder)
            except UserError as error:
                mistakes += error.messages
            else:
                print(f"{folder.key}: measured")
        if mistakes:
            raise UserError(*mistakes)


def measure(folder: RunFolder) -> None:
    """Write `path_gradients.csv`, then `lesions.csv`, of a finished run."""
    with trained_run(folder) as run:
        network = run.network
        assert isinstance(network, ResNet)
        gradients = list(_counted(_path_gradients(run, network), len(network.units) + 1, f"{folder.key}: gradients"))
        found = lesions(network, run.config.seed)
        errors = (run.test_error(lesioned(network, lesion)) for lesion in found)
        rows = list(zip(found, _counted(errors, len(found), f"{folder.key}: lesions"), strict=True))
    write_measured(folder, run.result.weights, path_gradients_text(gradients), lesions_text(rows))


def write_measured(folder: RunFolder, weights: str | None, gradients: str, lesions: str) -> None:
    """Write the two files if the run still has these weights; raise `UserError` if it has not.

    The run may have been removed or trained again while it was measured. Temporary files of killed processes go.
    """
    with suppress(RunLocked, FileNotFoundError), RunLock(folder.path).free():
        result = folder.result()
        if result is not None and result.weights == weights:
            remove_temporary_files(folder.path)
            write_atomically(folder.path_gradients, gradients)
            write_atomically(folder.lesions, lesions)
            return
    raise UserError(f"{folder.path}: removed or trained again while it was measured; measure it again")


def _path_gradients(run: TrainedRun, network: ResNet) -> Iterator[PathGradient]:
    """Return the gradients by path length, on the first images that the run was trained on, in float64."""
    images, labels = run.batches.train(0, 0, run.config.micro_batches)
    exact = copy.deepcopy(network).to(device_of_sums(run.device)).double()
    return path_gradients(exact, in_float64(images), summable(labels), run.config.seed)


def _counted(measurements: Iterable[T], total: int, doing: str) -> Iterator[T]:
    """Yield the measurements, and report how many of them are done."""
    progress = ProgressLines(doing)
    for done, measurement in enumerate(measurements, start=1):
        progress.at(done, total, "measurements")
        yield measurement


if __name__ == "__main__":
    main()
