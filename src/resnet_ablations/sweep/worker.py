"""The process that trains one run of a sweep."""

import multiprocessing
import os
import signal
from typing import Any

from resnet_ablations.config import RunConfig, validate
from resnet_ablations.errors import exit_on_user_error
from resnet_ablations.results.locks import RunLocked
from resnet_ablations.results.provenance import SOURCE
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
    # A terminal sends Ctrl-C and SIGHUP to all processes; the process of the sweep passes them on as SIGTERM.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # If the sweep was killed, stop as if it had passed on a signal.
    when_parent_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
    unblock_signals()
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    with exit_on_user_error():
        train_logged(validate(frozen, identify_data=False), threads, StopRequest(signal.SIGTERM), planned)


def train_logged(run: RunConfig, threads: int, stop: StopRequest, planned: str) -> None:
    """Train a run and write all output to its log; exit codes as in `work`.

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
        raise SystemExit(128 + end.signal) from None
