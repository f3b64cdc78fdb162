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
from resnet_ablations.errors import UserError
from resnet_ablations.loggers.logger_thread import logger_thread
from resnet_ablations.network.cost import multiply_adds
from resnet_ablations.network.resnet import parameter_count
from resnet_ablations.results import signals as signals_table
from resnet_ablations.results.atomic_write import reporting_full_disk
from resnet_ablations.results.curve import HEADER
from resnet_ablations.results.locks import RunLock, RunLost, await_heartbeats
from resnet_ablations.results.owner import Owner
from resnet_ablations.results.provenance import (
    SOURCE,
    attempts,
    code_differs,
    now,
    provenance,
    resumed,
    uncommitted_changes,
)
from resnet_ablations.results.run_folder import Result, RunFolder
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.results.signals import UnitSignals
from resnet_ablations.training.callbacks import WriteCheckpoints, WriteCurve, WriteStatus
from resnet_ablations.training.checkpoint import Checkpoint, load_checkpoint
from resnet_ablations.training.data_module import DataModule, load_batches
from resnet_ablations.training.devices import check_devices, check_own_gpus, device_names, gpu_versions, threads_of
from resnet_ablations.training.endings import (
    named_endings,
    note_failure,
    note_interruption,
    reporting_full_memory,
    running_status,
)
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
from resnet_ablations.training.weights import keeps_weights, weights_digest, weights_file

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
    if rank_from_environment(config.trainer.ranks):
        # The first rank reports the end, after it has written the run's files.
        with reporting_full_disk(folder.path), _log_file(folder), suppress(Interrupted), stop:
            _join_and_train(config, None, stop, extras)
        return None
    if (result := _finished(config, folder, stop)) is not None:
        folder.remove_leftovers()
        return result
    if extras != NOTHING and config.trainer.ranks > 1 and rank_from_environment(config.trainer.ranks) is None:
        raise UserError(
            "trainer.devices: callbacks and a profiler need one device, or torchrun, which starts each rank"
        )
    check_devices(config)
    lock = RunLock(folder.path)
    with stop:
        await_heartbeats([lock], stopped=lambda: stop.signal is not None)
    if stop.signal is not None and lock.is_uncertain():
        raise Interrupted(stop.signal)
    # The logger ends after the run's outcome is in its folder, and before the lock is released.
    logger = config.logger.build()
    with reporting_full_disk(folder.path), lock, _log_file(folder), logger_thread(folder, logger):
        # The process that held the lock before may have finished the run.
        if (result := _finished(config, folder, stop)) is None:
            result = _train_owned(config, RunWriter(folder, lock), lock.process, stop, extras)
    if stop.signal is not None:  # it came after the last step
        raise Interrupted(stop.signal)
    return result


def _finished(config: RunConfig, folder: RunFolder, stop: StopRequest) -> Result | None:
    """Return the result, if there is one, and send it to ranks that SLURM or `torchrun` started.

    They wait for the first rank.
    """
    result = folder.result()
    if result is not None and rank_from_environment(config.trainer.ranks) is not None:
        with suppress(RankFailed), stop:
            _join_and_train(config, None, stop)
    return result


def _train_owned(config: RunConfig, writer: RunWriter, owner: Owner, stop: StopRequest, extras: Extras) -> Result:
    """Train the run, which this process owns, and write its result or the status at its end."""
    with stop:  # also while the result is written: a signal after the last step must not lose it
        try:
            writer.start(config.as_dict())
            writer.set_status(running_status(config))
            if config.trainer.ranks == 1 or rank_from_environment(config.trainer.ranks) is not None:
                result = _join_and_train(config, owner, stop, extras)
            else:
                arguments = (config.as_dict(), owner)
                result = train_in_ranks(config.trainer.devices, _train_started_rank, arguments, stop)
            assert result is not None
            writer.finish(result)
        except (Interrupted, KeyboardInterrupt, SystemExit) as end:
            note_interruption(writer, config)
            # KeyboardInterrupt and SystemExit come from the handlers of the program that trains the run.
            number = signal.SIGINT if isinstance(end, KeyboardInterrupt) else signal.SIGTERM
            raise end if isinstance(end, Interrupted) else Interrupted(stop.signal or number) from end
        except BaseException as error:
            note_failure(writer, config, error)
            raise
    return result


def _train_started_rank(frozen: dict[str, Any], owner: Owner, stop: StopRequest) -> Result | None:
    """Train as a rank that `train_in_ranks` has started."""
    config = validate(frozen, identify_data=False)
    with _log_file(config.folder):
        return _join_and_train(config, owner, stop)


def _join_and_train(
    config: RunConfig, owner: Owner | None, stop: StopRequest, extras: Extras = NOTHING
) -> Result | None:
    """Join the other ranks and train, unless the run is finished; return the result in the first rank, else None.

    `owner` owns the run; None in a process that the run's first process has not started, but SLURM or `torchrun`.
    """
    missing_device, gpu = None, False
    try:
        gpu = check_devices(config) == "gpu"
    except UserError as error:
        missing_device = error
    nccl = gpu and config.trainer.backend is None
    with process_group(config.trainer.ranks, gpu=nccl) as ranks, ExitStack() as stack:
        writer = RunWriter(config.folder, RunLock(config.folder.path, ranks.broadcast(lambda: owner)))
        if owner is None and not ranks.is_first:
            stack.enter_context(_noting_failure(ranks, writer, config))
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
            return ranks.broadcast(config.folder.result) or _train_rank(ranks, config, writer, stop, extras)


@contextmanager
def _noting_failure(ranks: Ranks, writer: RunWriter, config: RunConfig) -> Iterator[None]:
    """Write a failure of this rank, which is not the first, to the run's status.

    The first rank may be killed before it has received the failure.
    """
    try:
        yield
    except (RankKilled, PeerLost):  # the first rank knows as much
        raise
    except Exception as error:
        failure = as_rank_failure(ranks.share.rank, ranks.count, error)
        with suppress(RunLost):
            note_failure(writer, config, failure)
        raise failure from None


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


def _train_rank(ranks: Ranks, config: RunConfig, writer: RunWriter, stop: StopRequest, extras: Extras) -> Result | None:
    """Train as one of the ranks; return the result in the first rank, else None."""
    began = time.monotonic()
    shorten_sockets()
    threads = threads_of(config)
    torch.set_num_threads(threads)
    network = build_network(config)
    start = ranks.broadcast(lambda: load_checkpoint(writer))
    done = 0 if start is None else start.iteration
    began -= 0.0 if start is None else start.elapsed
    iterations = config.schedule.iterations
    status = running_status(config, done)
    with ExitStack() as stack:
        stack.enter_context(quiet_lightning())
        with stop.interrupting():
            loaded = load_batches(config, ranks, lambda: stop.signal is not None)
        batches = stack.enter_context(closing(loaded))
        # Only the first rank writes files.
        text = HEADER if start is None else start.curve
        curve = stack.enter_context(writer.begin_curve(text)) if ranks.is_first else None
        signals = "" if start is None else start.signals

        def record_signals(iteration: int, units: list[UnitSignals]) -> None:
            nonlocal signals
            signals = (signals or signals_table.HEADER) + signals_table.lines(iteration, units)
            writer.write_signals(signals)

        def state() -> Checkpoint:
            text = "" if curve is None else curve.text
            return module.checkpoint(config.key, text, signals, time.monotonic() - began, attempts(origin))

        if ranks.is_first and config.trainer.signals and config.trainer.recompute:
            log.info("trainer.recompute=true: signals.csv is not written, since signals need the memory that it saves")
        records_signals = ranks.is_first and config.trainer.signals and not config.trainer.recompute
        module = TrainingModule(network, config, start, ranks, record_signals if records_signals else None)
        status_writer = WriteStatus(writer, status, config.schedule.batch_size) if ranks.is_first else None
        checkpoints = WriteCheckpoints(config.trainer, ranks, stop, writer, state, status_writer)
        writers = [] if curve is None or status_writer is None else [WriteCurve(curve, iterations), status_writer]
        # The callbacks of `extras` come last, so that an error in one of them loses no iteration.
        extras = extras._replace(callbacks=[*writers, checkpoints, *extras.callbacks])
        trainer = lightning_trainer(config, iterations - done, ranks, extras)
        device = trainer.strategy.root_device
        origin = provenance(device_names(device, ranks), threads, gpu_versions(device))
        if start is not None:
            origin = resumed(origin, done, start.attempts)
        if ranks.is_first:
            unknown = None if origin["dirty"] is None else ""
            writer.write_changes(uncommitted_changes() if origin["dirty"] else unknown, done)
            devices = origin["machine"]["device"]
            log.info("%s on %s, %s threads, source %s, from step %s", config.key, devices, threads, SOURCE[:8], done)
            if (difference := code_differs(origin)) is not None:
                log.warning("%s: goes on from step %s with %s", config.key, done, difference)
        with named_endings(stop):
            trainer.fit(module, datamodule=DataModule(config.key, batches, range(done, iterations)))
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
    # A process that had owned the run before may have written them, when it went on.
    writer.write_curve(curve.text)
    if signals:
        writer.write_signals(signals)
    writer.write_responses((response.layer, response.std) for response in module.responses)
    if sound and keeps_weights(config.trainer.keep_weights, network):
        writer.write_weights(weights_file(network))
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
