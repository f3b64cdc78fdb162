"""The interface of a logger."""

from abc import ABC, abstractmethod
from typing import final

from resnet_ablations.results.curve import CurveRow
from resnet_ablations.results.run_folder import RunFolder


class Logger(ABC):
    """A copy of a run's curve in another tool; `curve.csv` stays the source. The constructor does nothing.

    To add a logger, write a final class and a file in `conf/logger/`: the keyword-only parameters of the constructor
    are the settings. Loggers are not part of a run's key. If a method raises an error, the run continues with a warning
    and without the logger. All methods but `check` are called in a separate thread.
    """

    @abstractmethod
    def check(self) -> None:
        """Raise `UserError` if the logger cannot work here, for example without an API key; called before training."""

    @abstractmethod
    def start(self, folder: RunFolder) -> None:
        """Start the logger; the run's folder already has a configuration and a curve."""

    @abstractmethod
    def log(self, row: CurveRow) -> None:
        """Log one row of the curve. For a resumed run the rows start again with the first one."""

    @abstractmethod
    def close(self) -> None:
        """Close the logger; called after the run's outcome is in the folder."""


@final
class NoLogger(Logger):
    """No logger: the run's folder is the only record."""

    def check(self) -> None:
        pass

    def start(self, folder: RunFolder) -> None:
        pass

    def log(self, row: CurveRow) -> None:
        pass

    def close(self) -> None:
        pass
