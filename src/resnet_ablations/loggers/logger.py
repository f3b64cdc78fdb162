"""What a logger is."""

from abc import ABC, abstractmethod
from typing import final

from resnet_ablations.results.curve import CurveRow
from resnet_ablations.results.run_folder import RunFolder


class Logger(ABC):
    """Shows a run in some other form. Making one does nothing; `curve.csv` stays the truth.

    To add one, write a final class and a file in `conf/logger/`: the keyword-only parameters of its constructor are
    its settings. It has no part in a run's key. Whatever its methods raise is a warning, and the end of the logger; all
    but `check` are called in a thread of their own.
    """

    @abstractmethod
    def check(self) -> None:
        """Raise `UserError` if it cannot work here, as without a key; asked once, before anything is trained."""

    @abstractmethod
    def start(self, folder: RunFolder) -> None:
        """Begin: the folder has its configuration, and the curve of this attempt to train the run."""

    @abstractmethod
    def log(self, row: CurveRow) -> None:
        """A row of the curve; of a run that goes on, from the first one that there was before."""

    @abstractmethod
    def close(self) -> None:
        """The run has ended; how, its folder tells."""


@final
class NoLogger(Logger):
    """The run's folder is all there is."""

    def check(self) -> None:
        pass

    def start(self, folder: RunFolder) -> None:
        pass

    def log(self, row: CurveRow) -> None:
        pass

    def close(self) -> None:
        pass
