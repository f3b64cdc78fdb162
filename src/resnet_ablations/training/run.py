"""One run: train a configuration and leave its result in its folder."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import torch
from torch import nn

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig, validate
from resnet_ablations.data.array_batches import ArrayBatches
from resnet_ablations.data.batches import WHOLE, Batches, Share
from resnet_ablations.data.file_batches import FileBatches
from resnet_ablations.data.images import ImageFiles, Images
from resnet_ablations.errors import UserError
from resnet_ablations.loggers.logger_thread import logger_thread
from resnet_ablations.network.cost import multiply_adds
from resnet_ablations.network.resnet import parameter_count
from resnet_ablations.results.atomic_write import DISK_FULL, disk_full_message, reporting_full_disk
from resnet_ablations.results.curve import HEADER, CurveFile, CurveRow
from resnet_ablations.results.locks import RunLock, slurm_job
from resnet_ablations.results.provenance import SOURCE, now, provenance, uncommitted_changes
from resnet_ablations.results.run_folder import Result, RunFolder, Status
from resnet_ablations.settings import TrainerSettings
from resnet_ablations.training.checkpoint import load_checkpoint, save_checkpoint, weights_digest
from resnet_ablations.training.devices import check_devices, check_own_gpus, device_name, threads_of
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
from resnet_ablations.training.stopping import Interrupted, StopRequest
from resnet_ablations.training.trainer import lightning_trainer, quiet_lightning

log = logging.getLogger(__name__)


def train_run(config: RunConfig, stop: StopRequest | None = None) -> Result | None:
    """Train a run to its end, from its checkpoint where it has one, or return what it left when it was trained before.

    Where SLURM or `torchrun` started a process for each of its devices, all of them call this, and only the first
    gets the result; else one process calls it and starts the others.

    Raise `RunLocked` if another process trains it, and `Interrupted` when a stop is asked for (by default with SIGINT
    or SIGTERM), with a checkpoint of the last whole step; whatever else goes wrong is noted in the folder and raised
    again, as a `UserError` where a person can mend it.
    """
    folder, stop = config.folder, stop or StopRequest(signal.SIGINT, signal.SIGTERM)
    if rank := rank_from_environment(config.trainer.ranks):
        # The first says how it ended, when it has written what there is to write.
        with reporting_full_disk(folder.path), _log_file(folder), suppress(Interrupted):
            _train_other_rank(rank, config, stop)
        return None
    if (result := _finished(config, folder, stop)) is not None:
        folder.tidy()
        return result
    check_devices(config)
    # Outermost after the lock: a logger is done when the folder says how the run ended, and before another goes on.
    logger = config.logger.build()
    with reporting_full_disk(folder.path), RunLock(folder.path), _log_file(folder), logger_thread(folder, logger):
        # The one who had the lock before may have finished it.
        return _finished(config, folder, stop) or _train_locked(config, folder, stop)


def _finished(config: RunConfig, folder: RunFolder, stop: StopRequest) -> Result | None:
    """The result, if there is one; where others started the ranks, these wait to be told."""
    result = folder.result()
    if result is not None and rank_from_environment(config.trainer.ranks) is not None:
        with suppress(RankFailed):
            _train(config, stop)
    return result


def _train_locked(config: RunConfig, folder: RunFolder, stop: StopRequest) -> Result:
    try:
        folder.start(config.as_dict())
        folder.set_status(_running_status(config))
        if config.trainer.ranks == 1 or rank_from_environment(config.trainer.ranks) is not None:
            result = _train(config, stop)
        else:
            with stop:
                result = train_in_ranks(config.trainer.devices, _train_started_rank, (config.as_dict(),), stop)
        assert result is not None
        folder.finish(result)
    except (Interrupted, KeyboardInterrupt, SystemExit) as end:
        status = folder.status() or _running_status(config)
        folder.set_status(status.model_copy(update={"outcome": "interrupted"}))
        # The last two come of a signal before the stop request listens.
        number = signal.SIGINT if isinstance(end, KeyboardInterrupt) else signal.SIGTERM
        raise end if isinstance(end, Interrupted) else Interrupted(stop.signal or number) from end
    except BaseException as error:
        _note_failure(config, error)
        raise
    return result


def _running_status(config: RunConfig, iteration: int = 0) -> Status:
    """Of a run that trains from this iteration on."""
    return Status(outcome="running", iteration=iteration, iterations=config.schedule.iterations, job=slurm_job())


def _train_other_rank(rank: int, config: RunConfig, stop: StopRequest) -> None:
    """Train as a rank that others started, and not the first; note why it fails, if it does of itself."""
    try:
        _train(config, stop)
    except (Interrupted, RankKilled):
        raise
    except Exception as error:
        if isinstance(error.__cause__, PeerLost):
            raise
        # The first is waiting for this one, and may be killed before it has heard.
        _note_failure(config, failure := as_rank_failure(rank, config.trainer.ranks, error))
        raise failure from None


def _note_failure(config: RunConfig, error: BaseException) -> None:
    """Say in the run's folder why it failed; its log has the traceback where no person can mend it."""
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


def _train_started_rank(frozen: dict[str, Any], stop: StopRequest) -> Result | None:
    """Train as a rank that another process has started."""
    config = validate(frozen)
    with _log_file(config.folder):
        return _train(config, stop)


def _train(config: RunConfig, stop: StopRequest) -> Result | None:
    """Train as the rank that this process is, unless the first finds the run finished; the first has the result."""
    mistake, gpu = None, False
    try:
        gpu = check_devices(config) == "gpu"
    except UserError as error:
        mistake = error
    nccl = gpu and config.trainer.backend is None
    with stop, process_group(config.trainer.ranks, gpu=nccl) as ranks:
        if mistake is not None:
            raise mistake  # here, where the others hear of it
        most, least = ranks.all_reduce_max(int(gpu), -int(gpu))
        if most != -least:
            raise UserError("trainer.accelerator=auto: some of the run's machines have a GPU, others have none")
        if nccl and ranks.count > 1:
            check_own_gpus(ranks)
        return ranks.broadcast(config.folder.result) or _train_rank(ranks, config, config.folder, stop)


@contextmanager
def _log_file(folder: RunFolder) -> Iterator[None]:
    """Whatever this package says goes to the run's log, too."""
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


def _train_rank(ranks: Ranks, config: RunConfig, folder: RunFolder, stop: StopRequest) -> Result | None:
    began = time.monotonic()
    threads = threads_of(config)
    torch.set_num_threads(threads)
    network = initialised_network(config)
    start = ranks.broadcast(lambda: load_checkpoint(folder))
    done = 0 if start is None else start.iteration
    began -= 0.0 if start is None else start.elapsed
    iterations = config.schedule.iterations
    status = _running_status(config, done)
    stopped = 0
    with ExitStack() as stack:
        stack.enter_context(quiet_lightning())
        batches = stack.enter_context(closing(load_batches(config, ranks.share)))
        # The others write nothing.
        begun = HEADER if start is None else start.curve
        curve = stack.enter_context(CurveFile(folder.curve, begun)) if ranks.is_first else None
        trainer = lightning_trainer(config, iterations - done, ranks)
        origin = provenance(device_name(trainer.strategy.root_device, ranks.count), threads)
        if ranks.is_first:
            folder.write_changes(uncommitted_changes() if origin["dirty"] else "")
            device = origin["machine"]["device"]
            log.info("%s on %s, %s threads, source %s, from step %s", config.key, device, threads, SOURCE[:8], done)
        rows: list[CurveRow] = []
        saved = time.monotonic()

        def record(row: CurveRow) -> None:
            rows.append(row)
            if curve is not None:
                curve.append(row)
                log.info("%s", _line(row, iterations, module.images_per_second))

        def after_iteration(iteration: int) -> None:
            nonlocal saved, stopped
            status.iteration = iteration
            if ranks.is_first and time.time() - status.updated > 1:
                status.images_per_second = module.images_per_second
                images_left = (iterations - iteration) * config.schedule.batch_size
                status.seconds_left = images_left / status.images_per_second
                folder.set_status(status)
            if iteration == iterations or module.diverged:
                return  # from a checkpoint of the end, nothing could be trained to make the curve's last row
            due = int(ranks.is_first and _checkpoint_is_due(config.trainer, iteration, time.monotonic() - saved))
            stopped, due = ranks.all_reduce_max(stop.signal or 0, due)
            if stopped or due:
                text = "" if curve is None else curve.text
                checkpoint = module.checkpoint(config.key, text, time.monotonic() - began)
                if ranks.is_first:
                    save_checkpoint(folder, checkpoint)
                saved = time.monotonic()
            if stopped:
                stop.signal = stopped  # which may have come to another rank
                trainer.should_stop = True
                if ranks.is_first:
                    folder.set_status(status)

        module = TrainingModule(network, config, batches, record, after_iteration, start, ranks)
        trainer.fit(module, train_dataloaders=range(done, iterations))
    if stopped:
        raise Interrupted(stopped)
    if not ranks.is_first:
        return None
    folder.write_responses((response.layer, response.std) for response in module.responses)
    last = rows[-1]
    sound = not module.diverged
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


def _checkpoint_is_due(trainer: TrainerSettings, iteration: int, seconds: float) -> bool:
    every = trainer.checkpoint_iterations
    return seconds >= 60 * trainer.checkpoint_minutes or (every is not None and iteration % every == 0)


def initialised_network(config: RunConfig) -> nn.Module:
    """The network of a run with the weights that its seed gives it."""
    torch.manual_seed(config.seed)
    return build_network(config)


def load_batches(config: RunConfig, share: Share = WHOLE) -> Batches:
    """The batches of a run: of arrays where the data set lies in memory, else of files decoded while it trains."""
    data, schedule = config.data, config.schedule
    match data.load():
        case Images() as images:
            return ArrayBatches(
                images,
                pad=data.augmentation.pad,
                flip=data.augmentation.flip,
                normalisation=data.normalisation,
                batch_size=schedule.batch_size,
                seed=config.seed,
                share=share,
            )
        case ImageFiles() as files:
            return FileBatches(
                files,
                batch_size=schedule.batch_size,
                seed=config.seed,
                iterations=schedule.iterations,
                workers=config.trainer.workers or threads_of(config),
                share=share,
            )


def _line(row: CurveRow, iterations: int, images_per_second: float) -> str:
    test = "" if row.test_error is None else f"  test: loss {row.test_loss:.4f} error {row.test_error:.2f} %"
    return (
        f"{row.iteration}/{iterations}  train: loss {row.train_loss:.4f} error {row.train_error:.2f} %{test}"
        f"  {images_per_second:,.0f} images/s"
    )
