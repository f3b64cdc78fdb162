"""Lightning's loggers; each writes into its own folder inside the run's folder.

When a run resumes, a logger writes its folder again from the start of the curve. So each point is there exactly once,
also after a process was killed.
"""

import shutil
from dataclasses import asdict
from typing import Any, final

from pytorch_lightning import loggers

from resnet_ablations.loggers.logger import Logger
from resnet_ablations.results.curve import CurveRow
from resnet_ablations.results.run_folder import RunFolder


@final
class CsvLogger(Logger):
    """`csv/metrics.csv` and `csv/hparams.yaml`, by Lightning's `CSVLogger`; `step` is the iteration."""

    def __init__(self) -> None:
        self._logger: loggers.CSVLogger | None = None

    def check(self) -> None:
        pass

    def start(self, folder: RunFolder) -> None:
        shutil.rmtree(folder.path / "csv", ignore_errors=True)
        self._logger = loggers.CSVLogger(folder.path, name=None, version="csv", flush_logs_every_n_steps=1)
        self._logger.log_hyperparams(folder.configuration())

    def log(self, row: CurveRow) -> None:
        assert self._logger is not None
        self._logger.log_metrics(_metrics(row), step=row.iteration)

    def close(self) -> None:
        assert self._logger is not None
        self._logger.finalize("success")


@final
class TensorBoardLogger(Logger):
    """`tensorboard/`, by Lightning's `TensorBoardLogger`: the curve; finished runs also settings and errors."""

    def __init__(self) -> None:
        self._logger: loggers.TensorBoardLogger | None = None
        self._folder: RunFolder | None = None

    def check(self) -> None:
        pass

    def start(self, folder: RunFolder) -> None:
        self._folder = folder
        shutil.rmtree(folder.path / "tensorboard", ignore_errors=True)
        self._logger = loggers.TensorBoardLogger(
            folder.path, name="", version="tensorboard", default_hp_metric=False, flush_secs=10
        )

    def log(self, row: CurveRow) -> None:
        assert self._logger is not None
        self._logger.log_metrics(_metrics(row), step=row.iteration)

    def close(self) -> None:
        assert self._logger is not None
        assert self._folder is not None
        if (result := self._folder.result()) is not None and result.outcome == "finished":
            final = {f"final/{name}": getattr(result, name) for name in ("train_error", "test_error")}
            self._logger.log_hyperparams(self._folder.configuration(), final, step=result.iterations)
        self._logger.finalize("success")


def _metrics(row: CurveRow) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "iteration" and value is not None}
