"""How a run ends without a result: the error that is raised, and the reason in its status."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from resnet_ablations.config import RunConfig
from resnet_ablations.data.waiting import DecoderKilled, DecodingFailed, StoppedWaiting, explaining_lost_decoders
from resnet_ablations.errors import UserError
from resnet_ablations.results.atomic_write import DISK_FULL, disk_full_message
from resnet_ablations.results.owner import slurm_job
from resnet_ablations.results.run_folder import Status
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.training.compute import raising_memory_error
from resnet_ablations.training.ranks import RankFailed, RankKilled
from resnet_ablations.training.stopping import Interrupted, StopRequest

log = logging.getLogger(__name__)


def running_status(config: RunConfig, iteration: int = 0) -> Status:
    """Return the status of a run that starts at `iteration`."""
    return Status(outcome="running", iteration=iteration, iterations=config.schedule.iterations, job=slurm_job())


def note_failure(writer: RunWriter, config: RunConfig, error: BaseException) -> None:
    """Write the failure and its reason to the run's status, and the traceback to its log unless a user can fix it.

    Raise `RunLost` instead if another process has taken the run over: the error may be a consequence.
    """
    if isinstance(error, UserError):  # such as a file that cannot be read
        reason = error.messages[0]
    elif isinstance(error, OSError) and error.errno in DISK_FULL:
        reason = disk_full_message(writer.folder.path)
    else:
        reason = str(error) if isinstance(error, RankFailed) else f"{type(error).__name__}: {error}"
        reason = reason.splitlines()[0]
    _write_ending(writer, config, outcome="failed", reason=reason, killed=isinstance(error, RankKilled))
    if isinstance(error, RankFailed):
        log.error("%s", error)
    elif not isinstance(error, UserError) and not (isinstance(error, OSError) and error.errno in DISK_FULL):
        log.exception("%s failed", writer.folder.key)


def note_interruption(writer: RunWriter, config: RunConfig) -> None:
    """Write to the run's status that a signal stopped it."""
    _write_ending(writer, config, outcome="interrupted")


def _write_ending(writer: RunWriter, config: RunConfig, **ending: object) -> None:
    """Write the end of a run to its status, if the folder can be written: the error that is raised then says more."""
    status = writer.folder.status() or running_status(config)
    with suppress(OSError, UserError):
        writer.set_status(status.model_copy(update=ending))


@contextmanager
def reporting_full_memory(config: RunConfig) -> Iterator[None]:
    """Raise `UserError` in place of the errors of torch and Python if memory cannot be allocated."""
    try:
        with raising_memory_error():
            yield
    except MemoryError as error:
        reason = (str(error).strip() or "out of memory").splitlines()[0]
        raise UserError(
            f"{config.key}: not enough memory ({reason}); the same run needs less with trainer.recompute=true, "
            "trainer.signals=false, trainer.micro_batches_per_pass=1 (on a GPU) or fewer runs at once "
            "(hydra.launcher.runs_per_device=1); a smaller bn_batch or network makes another run"
        ) from None


@contextmanager
def named_endings(stop: StopRequest) -> Iterator[None]:
    """Raise the errors of a rank in place of those of a wait for decoding processes."""
    try:
        with explaining_lost_decoders():
            yield
    except StoppedWaiting:
        raise Interrupted(stop.signal or signal.SIGTERM) from None
    except DecoderKilled as error:
        raise RankKilled(str(error)) from None
    except DecodingFailed as error:
        raise RankFailed(str(error)) from None
