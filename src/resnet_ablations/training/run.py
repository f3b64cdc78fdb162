"""The training of one run, from its configuration to the result in its folder."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import torch

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig, validate
from resnet_ablations.data.waiting import DecoderKilled, DecodingFailed, StoppedWaiting, explaining_lost_decoders
from resnet_ablations.errors import UserError
from resnet_ablations.loggers.logger_thread import logger_thread
from resnet_ablations.network.cost import multiply_adds
from resnet_ablations.network.resnet import parameter_count
from resnet_ablations.results import signals as signals_table
from resnet_ablations.results.atomic_write import DISK_FULL, disk_full_message, reporting_full_disk, write_atomically
from resnet_ablations.results.curve import HEADER, CurveFile
from resnet_ablations.results.locks import Owner, RunLock, slurm_job
from resnet_ablations.results.provenance import (
    SOURCE,
    attempts,
    code_differs,
    now,
    provenance,
    resumed,
    uncommitted_changes,
)
from resnet_ablations.results.run_folder import Result, RunFolder, Status
from resnet_ablations.results.signals import UnitSignals
from resnet_ablations.training.callbacks import WriteCheckpoints, WriteCurve, WriteStatus
from resnet_ablations.training.checkpoint import Checkpoint, load_checkpoint
from resnet_ablations.training.compute import raising_memory_error
from resnet_ablations.training.data_module import DataModule, load_batches
from resnet_ablations.training.devices import check_devices, check_own_gpus, device_names, gpu_versions, threads_of
from resnet_ablations.training.fork_server import shorten_sockets
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.rank_processes import train_in_ranks
from resnet_ablations.training.ranks import (
    PeerLost,
    RankFailed,
    RankKilled,
    Ranks,
    as_rank_failure,
    process_group,
    rank_from_environment,
)
from resnet_ablations.training.stopping import SIGNALS, Interrupted, StopRequest
from resnet_ablations.training.trainer import NOTHING, Extras, lightning_trainer, quiet_lightning
from resnet_ablations.training.weights import keeps_weights, save_weights, weights_digest

log = logging.getLogger(__name__)


def train_run(config: RunConfig, stop: StopRequest | None = None, extras: Extras = NOTHING) -> Result | None:
    """Train a run from its checkpoint or its start to its end, and return the result; a finished run is not trained.

    If SLURM or `torchrun` started a process for each device, all of them call this function, and only the first rank
    gets the result; the others get None. Otherwise one process calls it and starts the other ranks, which cannot take
    `extras`.

    Raise `RunLocked` if another process is training the run, and `RunLost` if another process has taken it over from
    this one. Raise `Interrupted` after a stop signal (by default one of `SIGNALS`); the run then has a checkpoint of
    its last complete step. Write every other error to the run's folder and raise it again; an error that a user can fix
    is a `UserError`.
    """
    folder, stop = config.folder, stop or StopRequest(*SIGNALS)
    if rank := rank_from_environment(config.trainer.ranks):
        # The first rank reports the end, after it has written the run's files.
        with reporting_full_disk(folder.path), _log_file(folder), suppress(Interrupted):
            _train_other_rank(rank, config, stop, extras)
        return None
    if (result := _finished(config, folder, stop)) is not None:
        folder.remove_leftovers()
        return result
    if extras != NOTHING and config.trainer.ranks > 1 and rank_from_environment(config.trainer.ranks) is None:
        raise UserError(
            "trainer.devices: callbacks and a profiler need one device, or torchrun, which starts each rank"
        )
    check_devices(config)
    # The logger ends after the run's outcome is in its folder, and before the lock is released.
    logger = config.logger.build()
    lock = RunLock(folder.path)
    with reporting_full_disk(folder.path), lock, _log_file(folder), logger_thread(folder, logger):
        # The process that held the lock before may have finished the run.
        return _finished(config, folder, stop) or _train_locked(config, folder, lock, stop, extras)


def _finished(config: RunConfig, folder: RunFolder, stop: StopRequest) -> Result | None:
    """Return the result, if there is one, and send it to ranks that SLURM or `torchrun` started.

    They wait for the first rank.
    """
    result = folder.result()
    if result is not None and rank_from_environment(config.trainer.ranks) is not None:
        with suppress(RankFailed):
            _join_and_train(config, None, stop)
    return result


def _train_locked(config: RunConfig, folder: RunFolder, lock: RunLock, stop: StopRequest, extras: Extras) -> Result:
    """Train the run, whose lock this process holds, and write its result or the status at its end."""
    try:
        folder.start(config.as_dict())
        folder.set_status(_running_status(config))
        if config.trainer.ranks == 1 or rank_from_environment(config.trainer.ranks) is not None:
            result = _join_and_train(config, lock.holder, stop, extras)
        else:
            arguments = (config.as_dict(), lock.holder)
            with stop:
                result = train_in_ranks(config.trainer.devices, _train_started_rank, arguments, stop)
        assert result is not None
        with lock.kept():
            folder.finish(result)
    except (Interrupted, KeyboardInterrupt, SystemExit) as end:
        lock.check()  # after a takeover the status is another process's
        status = folder.status() or _running_status(config)
        folder.set_status(status.model_copy(update={"outcome": "interrupted"}))
        # KeyboardInterrupt and SystemExit come from a signal before the stop request handles signals.
        number = signal.SIGINT if isinstance(end, KeyboardInterrupt) else signal.SIGTERM
        raise end if isinstance(end, Interrupted) else Interrupted(stop.signal or number) from end
    except BaseException as error:
        lock.check()
        _note_failure(config, error)
        raise
    return result


def _running_status(config: RunConfig, iteration: int = 0) -> Status:
    """Return the status of a run that starts at `iteration`."""
    return Status(outcome="running", iteration=iteration, iterations=config.schedule.iterations, job=slurm_job())


def _train_other_rank(rank: int, config: RunConfig, stop: StopRequest, extras: Extras) -> None:
    """Train as rank `rank` > 0 of ranks that SLURM or `torchrun` started; report a failure of this rank."""
    try:
        _join_and_train(config, None, stop, extras)
    except (Interrupted, RankKilled):
        raise
    except Exception as error:
        if isinstance(error.__cause__, PeerLost):
            raise
        # Reported here too, because the first rank may be killed before it has received the failure.
        _note_failure(config, failure := as_rank_failure(rank, config.trainer.ranks, error))
        raise failure from None


def _note_failure(config: RunConfig, error: BaseException) -> None:
    """Write the failure and its reason to the run's status, and the traceback to its log unless a user can fix it."""
    folder = config.folder
    if isinstance(error, UserError):  # such as a file that cannot be read
        reason = error.messages[0]
    elif isinstance(error, OSError) and error.errno in DISK_FULL:
        reason = disk_full_message(folder.path)
    elif isinstance(error, RankFailed):
        log.error("%s", error)
        reason = str(error).splitlines()[0]
    else:
        log.exception("%s failed", folder.key)
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    killed = isinstance(error, RankKilled)
    status = folder.status() or _running_status(config)
    folder.set_status(status.model_copy(update={"outcome": "failed", "reason": reason, "killed": killed}))


def _train_started_rank(frozen: dict[str, Any], holder: Owner, stop: StopRequest) -> Result | None:
    """Train as a rank that `train_in_ranks` has started."""
    config = validate(frozen, identify_data=False)
    with _log_file(config.folder):
        return _join_and_train(config, holder, stop)


def _join_and_train(
    config: RunConfig, holder: Owner | None, stop: StopRequest, extras: Extras = NOTHING
) -> Result | None:
    """Join the other ranks and train, unless the run is finished; return the result in the first rank, else None.

    `holder` holds the run's lock; the first rank needs it to train.
    """
    missing_device, gpu = None, False
    try:
        gpu = check_devices(config) == "gpu"
    except UserError as error:
        missing_device = error
    nccl = gpu and config.trainer.backend is None
    with stop, process_group(config.trainer.ranks, gpu=nccl) as ranks:
        if missing_device is not None:
            raise missing_device  # inside the process group, so that the other ranks receive the error
        if ranks.count > 1 and ranks.local_rank == 0:  # all ranks wait at the next line, before they load images
            config.data.check_memory(config.trainer.devices)
        most, least = ranks.all_reduce_max(int(gpu), -int(gpu))
        if most != -least:
            raise UserError(
                "trainer.accelerator=auto: some of the run's machines have a GPU, others have none; "
                "set trainer.accelerator=cpu, or use machines of one kind"
            )
        if nccl and ranks.count > 1:
            check_own_gpus(ranks)
        with reporting_full_memory(config):
            lock = RunLock(config.folder.path, holder)
            finished = ranks.broadcast(config.folder.result)
            return finished or _train_rank(ranks, config, config.folder, lock, stop, extras)


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
def _log_file(folder: RunFolder) -> Iterator[None]:
    """Write this package's log messages also to the run's log file."""
    folder.path.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder.log, encoding="utf-8")
    package_log = logging.getLogger("resnet_ablations")
    package_log.addHandler(handler)
    package_log.setLevel(logging.INFO)
    try:
        yield
    finally:
        package_log.removeHandler(handler)
        handler.close()


def _train_rank(
    ranks: Ranks, config: RunConfig, folder: RunFolder, lock: RunLock, stop: StopRequest, extras: Extras
) -> Result | None:
    """Train as one of the ranks; return the result in the first rank, else None."""
    began = time.monotonic()
    shorten_sockets()
    threads = threads_of(config)
    torch.set_num_threads(threads)
    network = build_network(config)
    start = ranks.broadcast(lambda: load_checkpoint(folder))
    done = 0 if start is None else start.iteration
    began -= 0.0 if start is None else start.elapsed
    iterations = config.schedule.iterations
    status = _running_status(config, done)
    with ExitStack() as stack:
        stack.enter_context(quiet_lightning())
        with stop.interrupting():
            loaded = load_batches(config, ranks, lambda: stop.signal is not None)
        batches = stack.enter_context(closing(loaded))
        # Only the first rank writes files, and only while its run's lock is held.
        if ranks.is_first:
            lock.check()
        text = HEADER if start is None else start.curve
        curve = stack.enter_context(CurveFile(folder.curve, text)) if ranks.is_first else None
        signals = "" if start is None else start.signals

        def record_signals(iteration: int, units: list[UnitSignals]) -> None:
            nonlocal signals
            signals = (signals or signals_table.HEADER) + signals_table.lines(iteration, units)
            lock.check()
            write_atomically(folder.signals, signals)

        def state() -> Checkpoint:
            text = "" if curve is None else curve.text
            return module.checkpoint(config.key, text, signals, time.monotonic() - began, attempts(origin))

        if ranks.is_first and config.trainer.signals and config.trainer.recompute:
            log.info("trainer.recompute=true: signals.csv is not written, since signals need the memory that it saves")
        records_signals = ranks.is_first and config.trainer.signals and not config.trainer.recompute
        module = TrainingModule(network, config, start, ranks, record_signals if records_signals else None)
        status_writer = WriteStatus(folder, lock, status, config.schedule.batch_size) if ranks.is_first else None
        checkpoints = WriteCheckpoints(config.trainer, ranks, stop, folder, lock, state, status_writer)
        writers = [] if curve is None or status_writer is None else [WriteCurve(curve, iterations), status_writer]
        # The callbacks of `extras` come last, so that an error in one of them loses no iteration.
        extras = extras._replace(callbacks=[*writers, checkpoints, *extras.callbacks])
        trainer = lightning_trainer(config, iterations - done, ranks, extras)
        device = trainer.strategy.root_device
        origin = provenance(device_names(device, ranks), threads, gpu_versions(device))
        if start is not None:
            origin = resumed(origin, done, start.attempts)
        if ranks.is_first:
            folder.write_changes(uncommitted_changes() if origin["dirty"] else "", done)
            devices = origin["machine"]["device"]
            log.info("%s on %s, %s threads, source %s, from step %s", config.key, devices, threads, SOURCE[:8], done)
            if (difference := code_differs(origin)) is not None:
                log.warning("%s: goes on from step %s with %s", config.key, done, difference)
        with _named_endings(stop):
            trainer.fit(module, datamodule=DataModule(batches, range(done, iterations)))
    if checkpoints.stopped_by:
        raise Interrupted(checkpoints.stopped_by)
    if not module.is_done:
        raise UserError(
            f"callbacks: one of them stopped the run after {module.iterations_done} of {iterations} iterations; a run "
            "trains its whole schedule"
        )
    if curve is None:
        return None
    last = module.rows[-1]
    sound = not module.diverged
    with lock.kept():
        curve.rewrite()
        folder.write_responses((response.layer, response.std) for response in module.responses)
        if sound and keeps_weights(config.trainer.keep_weights, network):
            save_weights(folder, network)
    return Result(
        key=config.key,
        configuration=config.configuration,
        seed=config.seed,
        outcome="finished" if sound else "diverged",
        iterations=last.iteration,
        train_loss=last.train_loss if sound else None,
        train_error=last.train_error if sound else None,
        test_loss=last.test_loss if sound else None,
        test_error=last.test_error if sound else None,
        metrics={name: float(f"{value:.6g}") for name, value in module.metrics.items()},
        weights=weights_digest(network),
        parameters=parameter_count(network),
        multiply_adds=multiply_adds(network, config.data.image),
        seconds=round(time.monotonic() - began, 2),
        images_per_second=round(last.iteration * config.schedule.batch_size / module.training_seconds, 1),
        provenance=origin | {"finished": now()},
    )


@contextmanager
def _named_endings(stop: StopRequest) -> Iterator[None]:
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
