"""A run's curve, handed to a logger while the run is trained by whatever processes; training knows nothing of it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from resnet_ablations.loggers.logger import Logger, NoLogger
from resnet_ablations.results.curve import CurveReader
from resnet_ablations.results.run_folder import RunFolder

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""From one look at the curve to the next."""


@contextmanager
def logger_thread(folder: RunFolder, logger: Logger) -> Iterator[None]:
    """Show the run of this folder, as long as the context lasts; where the logger breaks, warn once and go on."""
    if isinstance(logger, NoLogger):
        yield
        return
    over = threading.Event()
    follower = threading.Thread(target=_follow, args=(folder, logger, over, _file(folder.curve)), daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()


def _follow(folder: RunFolder, logger: Logger, over: threading.Event, before: int | None) -> None:
    try:
        # What lies there of an earlier attempt counts for nothing: this one makes the file anew.
        while (_file(folder.curve) in (None, before)) and not over.wait(POLL_SECONDS):
            pass
        if _file(folder.curve) in (None, before):
            return
        with closing(CurveReader(folder.curve)) as curve:
            logger.start(folder)
            is_over = False
            while not is_over:
                is_over = over.wait(POLL_SECONDS)
                for row in curve.rows():
                    logger.log(row)
        logger.close()
    except Exception as error:
        log.warning("%s: %s; the run itself goes on as without it", type(logger).__name__, error)
        with suppress(Exception):  # which may be of the same
            logger.close()


def _file(path: Path) -> int | None:
    """Which file this is; None where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
