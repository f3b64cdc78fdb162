"""The thread that reads a run's curve and passes its rows to a logger, independently of the training processes."""

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from resnet_ablations.loggers.logger import Logger, NoLogger
from resnet_ablations.results.curve import CurveReader
from resnet_ablations.results.run_folder import RunFolder

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Seconds between two reads of the curve."""


@contextmanager
def logger_thread(folder: RunFolder, logger: Logger) -> Iterator[None]:
    """Pass the curve of this folder to the logger while the context lasts; if the logger fails, warn once."""
    if isinstance(logger, NoLogger):
        yield
        return
    ended = threading.Event()
    with ExitStack() as stack:
        with suppress(FileNotFoundError):  # while the file is open, no new file gets its inode number
            stack.enter_context(folder.curve.open("rb"))
        thread = threading.Thread(target=_follow, args=(folder, logger, ended, _inode(folder.curve)), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _follow(folder: RunFolder, logger: Logger, ended: threading.Event, old_curve: int | None) -> None:
    try:
        # This attempt to train the run creates a new curve file; until then the file is an earlier attempt's.
        while _inode(folder.curve) in (None, old_curve) and not ended.wait(POLL_SECONDS):
            pass
        if _inode(folder.curve) in (None, old_curve):
            return
        with closing(CurveReader(folder.curve)) as curve:
            logger.start(folder)
            has_ended = False
            while not has_ended:
                has_ended = ended.wait(POLL_SECONDS)
                for row in curve.rows():
                    logger.log(row)
        logger.close()
    except Exception as error:
        log.warning("%s: %s; the run continues without this logger", type(logger).__name__, error)
        with suppress(Exception):  # closing may fail for the same reason
            logger.close()


def _inode(path: Path) -> int | None:
    """Return the file's inode number; None if there is no file."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
