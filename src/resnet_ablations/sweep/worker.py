"""The process that trains one run of a sweep."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from resnet_ablations.config import RunConfig, validate
from resnet_ablations.errors import exit_on_user_error
from resnet_ablations.results.locks import RunLocked
from resnet_ablations.results.owner import slurm_job
from resnet_ablations.results.provenance import SOURCE
from resnet_ablations.sweep.slurm_commands import TIME_IS_UP
from resnet_ablations.training.fork_server import unblock_signals
from resnet_ablations.training.stopping import Interrupted, StopRequest, when_parent_ends

LOCKED = 75
"""The exit code if another process has locked the run: EX_TEMPFAIL of sysexits.h."""


def work(frozen: dict[str, Any], threads: int, gpus: str | None, planned: str) -> None:
    """Train the run of a frozen configuration on the named GPUs; `gpus` is None on a CPU.

    The exit code is 0, `LOCKED`, 2 after a `UserError`, or 128 + the number of a signal. The outcome is in the run's
    folder.
    """
    # The inherited temporary folder, with its sockets, is removed when the sweep ends: use another one.
    multiprocessing.current_process()._config.pop("tempdir", None)  # type: ignore[attr-defined]
    # A terminal sends Ctrl-C and SIGHUP to all processes, and SLURM sends `TIME_IS_UP` to all processes of a job. The
    # process that started this one passes them on as SIGTERM.
    for number in (signal.SIGINT, signal.SIGHUP, TIME_IS_UP):
        signal.signal(number, signal.SIG_IGN)
    # If the sweep was killed, stop as if it had passed on a signal.
    when_parent_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
    unblock_signals()
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    with exit_on_user_error():
        # A signal to the whole process group comes twice. To end this process at once, the sweep kills it.
        stop = stop_in_job() if slurm_job() else StopRequest(signal.SIGTERM, at_once=lambda number: None)
        train_logged(validate(frozen, identify_data=False), threads, stop, planned)


def stop_in_job(at_first: Callable[[int], None] = lambda number: None) -> StopRequest:
    """Return the stop request of a process in a job that a sweep submitted; `at_first` as in `StopRequest`.

    SLURM sends `TIME_IS_UP` when the job's time is nearly up: write a checkpoint and requeue the job. SIGTERM means
    preemption, after which SLURM requeues the job itself, or `scancel`: write a checkpoint only. SLURM sends SIGTERM
    several times, and to all processes of the job, so a second signal must not stop the run at once.
    """
    return StopRequest(TIME_IS_UP, signal.SIGTERM, at_first=at_first, at_once=lambda number: None)


def train_logged(run: RunConfig, threads: int, stop: StopRequest, planned: str) -> None:
    """Train a run and write all output to its log; raise `UserError` for the user's mistakes, else exit as `work` does.

    `threads` is used if the run does not set `trainer.threads`.

    `planned` is the hash of the code that planned the run. If this code differs, the run is trained all the same, and
    the log and the sweep's summary say so.
    """
    run.folder.path.mkdir(parents=True, exist_ok=True)
    with run.folder.log.open("ab") as log:
        for number in (1, 2):  # also where the sweep's own stdout or stderr is closed
            os.dup2(log.fileno(), number)
    if planned != SOURCE:
        print(f"the code has changed since this run was planned (source {planned[:8]}, now {SOURCE[:8]})", flush=True)
    from resnet_ablations.training.run import train_run  # imports Lightning, which takes seconds

    if run.trainer.threads is None:
        run = run.model_copy(update={"trainer": run.trainer.model_copy(update={"threads": threads})})
    try:
        train_run(run, stop)
    except RunLocked:
        raise SystemExit(LOCKED) from None
    except Interrupted as end:
        if run.folder.result() is not None:  # the signal came after the last step
            return
        raise SystemExit(128 + end.signal) from None
