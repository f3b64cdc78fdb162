"""The wait for batches of decoding processes: it ends at a limit or a stop signal, and reports the reason."""

import errno
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import active_children
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeVar

from resnet_ablations.errors import UserError

T = TypeVar("T")

POLL_SECONDS: Final = 0.5
"""The time between two looks at the decoding processes and at the stop signal."""
LIMIT_SECONDS = 600.0
"""The longest wait for one batch."""
STOP_SECONDS = 5.0
"""The time for a batch to come after a stop signal; then the step is given up."""
ENDING_SECONDS: Final = 5.0
"""The time for a process that closed its connection to get an exit code, which tells the reason."""

SHARED_MEMORY: Final = Path("/dev/shm")


class StoppedWaiting(Exception):
    """A stop signal came, and the awaited batch did not come within `STOP_SECONDS`."""


class DecodingFailed(Exception):
    """The decoding processes gave no batch, and the configuration is not to blame."""


class DecoderKilled(DecodingFailed):
    """A decoding process was killed, for example because memory ran out."""


class Waiting(Generic[T]):
    """The batches of a torch `DataLoader` that has decoding processes and the timeout `POLL_SECONDS`.

    An iterator; `stopped` returns whether a stop signal has come. `next` raises `StoppedWaiting`, `DecodingFailed`, or
    `UserError` for a limit of the system that a user can raise. The processes end with the last reference to it.
    """

    def __init__(self, loader: Any, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        before = set(active_children())
        try:
            self._batches: Iterator[T] = iter(loader)
        except OSError as error:
            for process in set(active_children()) - before:
                process.kill()
                process.join()
            _drop_quietly(error)
            raise _refused(error, loader.num_workers) from None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        # Polls are counted, because a clock counts also the time for which this process was suspended.
        polls = 0
        stop_heard: int | None = None
        while True:
            try:
                return next(self._batches)
            except RuntimeError as error:
                if not str(error).startswith("DataLoader timed out"):
                    raise self._ended(error) from None
            except (OSError, EOFError) as error:  # the connection to a process that is being killed
                raise self._ended(error) from None
            pinning = getattr(self._batches, "_pin_memory_thread", None)
            if pinning is not None and not pinning.is_alive():
                raise self._ended(DecodingFailed("the thread that copies batches to pinned memory has ended"))
            polls += 1
            if stop_heard is None and self._stopped():
                stop_heard = polls
            if stop_heard is not None and (polls - stop_heard) * POLL_SECONDS >= STOP_SECONDS:
                self._kill()
                raise StoppedWaiting
            if polls * POLL_SECONDS > LIMIT_SECONDS:
                self._kill()
                raise DecodingFailed(
                    f"the decoding processes gave no batch for {LIMIT_SECONDS:.0f} seconds; see whether the file "
                    "system of data.root answers"
                )

    def _ended(self, error: Exception) -> Exception:
        """Return the reason for which the loader gave an error instead of a batch."""
        processes = self._processes()
        with suppress(RuntimeError):  # of torch's handler of SIGCHLD, as in `_kill`
            ending = wait([process.sentinel for process in processes], ENDING_SECONDS)
            for process in processes:
                if process.sentinel in ending:  # the sentinel closes before there is an exit code
                    process.join(ENDING_SECONDS)
        codes = [process.exitcode for process in processes if process.exitcode]
        self._kill()
        if killers := [-code for code in codes if code < 0]:
            return _killed(killers[0])
        return lost_decoder(error) or (_killed(None) if codes else error)

    def _processes(self) -> list[BaseProcess]:
        return list(getattr(self._batches, "_workers", ()))

    def _kill(self) -> None:
        """Kill the processes: the loader would only send SIGTERM, which they ignore, and would wait for each."""
        for process in self._processes():
            # torch's handler of SIGCHLD raises an error for the first process that it sees killed.
            with suppress(RuntimeError):
                process.kill()
            with suppress(RuntimeError):
                process.join(1)


@contextmanager
def explaining_lost_decoders() -> Iterator[None]:
    """Replace torch's error for a killed decoding process.

    A signal handler raises that error, so it can come at any moment.
    """
    try:
        yield
    except RuntimeError as error:
        if (reason := lost_decoder(error)) is None:
            raise
        raise reason from None


def lost_decoder(error: Exception) -> Exception | None:
    """Return the reason behind torch's error for its processes; None if the error is another."""
    text = " ".join(str(error).split())
    if re.match(r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\) (is killed by signal|exited unexpectedly)", text):
        names = {signal.strsignal(number): number for number in signal.valid_signals()}
        found = re.search(r"killed by signal: ([\w ]+)\.", text)
        return _killed(names.get(found[1]) if found else None)
    if any(words in text for words in ("oo many open files", "ancillary data", "ancdata")):
        return _too_many_files()
    return None


def out_of_shared_memory(reason: str) -> UserError:
    """Return the error for decoded images that do not fit into shared memory."""
    try:
        size, _, free = shutil.disk_usage(SHARED_MEMORY)
        room = f"{size / 1e6:,.1f} MB, {free / 1e6:,.1f} MB free"
    except OSError:
        room = "unknown size"
    return UserError(
        f"shared memory ({SHARED_MEMORY}, {room}) is too small for the decoded images ({' '.join(reason.split())}); "
        "raise it (docker run --shm-size=8g), or lower trainer.workers, bn_batch or data.crop"
    )


def _killed(number: int | None) -> Exception:
    if number == signal.SIGBUS:
        return out_of_shared_memory("a decoding process was killed by a bus error")
    ending = "ended unexpectedly" if number is None else f"was killed by signal {number}"
    return DecoderKilled(
        f"a decoding process {ending}, as happens when memory runs out; if again, lower trainer.workers"
    )


def _too_many_files() -> UserError:
    return UserError("too many open files; raise the limit with `ulimit -n`, or lower trainer.workers")


def _drop_quietly(error: OSError) -> None:
    """Drop the loader's iterator, which only the traceback holds: its finalizer fails, since it is half made."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        error.__traceback__ = None
    finally:
        sys.unraisablehook = hook


def _refused(error: OSError, processes: int) -> UserError:
    """Return the error for processes that could not be started."""
    if error.errno == errno.ENOSPC:  # the queues' semaphores are files in shared memory
        return out_of_shared_memory(str(error.strerror))
    if error.errno == errno.EMFILE:
        return _too_many_files()
    return UserError(
        f"trainer.workers: {processes} decoding processes cannot be started ({error.strerror or error}); lower "
        "trainer.workers, or raise the limits of processes (`ulimit -u`) and of memory"
    )
