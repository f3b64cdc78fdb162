"""Runs in parallel on one machine, each in a process of its own."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from typing import Any

import torch

from resnet_ablations.config import RunConfig, validate
from resnet_ablations.errors import exit_on_user_error
from resnet_ablations.results.claims import Claim, Claimed
from resnet_ablations.results.provenance import usable_cores
from resnet_ablations.results.run_folder import Status
from resnet_ablations.sweep.progress import Progress
from resnet_ablations.training.run import Interrupted, accelerator_of, train_run
from resnet_ablations.training.stopping import StopRequest

CLAIMED = 75
"""The exit code of a process whose run another one has: EX_TEMPFAIL of sysexits.h."""


def train_in_processes(runs: Sequence[RunConfig], processes: int | None) -> None:
    """Train each run in its own process, as many at once as `processes` says (default: the cores, or the GPUs).

    A process gets cores / processes threads. A run that somebody else is training is waited for, after all others. One
    that dies leaves the others alone; what it left, and why it ended, is in its run folder. The first Ctrl-C or SIGTERM
    stops all of them after their steps under way, the second at once.
    """
    for run in runs:
        accelerator_of(run)
    slots = processes or _devices(runs)
    # Not by how many runs are left: the number of threads can change a run's last digits.
    threads = max(1, usable_cores() // slots)
    # Read when the fork server, which imports torch once for all runs, starts.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    waiting = list(runs)
    active: dict[ForkServerProcess, tuple[RunConfig, int]] = {}
    told = False
    with Progress(len(runs)) as progress:

        def at_once() -> None:
            progress.close()
            for process in active:
                process.kill()

        with StopRequest(signal.SIGINT, signal.SIGTERM, at_once=at_once) as stop:
            while active or (waiting and stop.signal is None):
                while len(active) < slots and stop.signal is None and (free := _first_free(waiting)) is not None:
                    run = waiting.pop(free)
                    if run.folder.result() is not None:
                        progress.ended(run.folder)
                        continue
                    slot = min(set(range(slots)) - {slot for _, slot in active.values()})
                    process = context.Process(target=_train, args=(run.plain(), threads, slot))
                    process.start()
                    active[process] = run, slot
                    progress.started(run.folder)
                wait([process.sentinel for process in active], timeout=0.5) if active else time.sleep(0.5)
                if stop.signal is not None and not told:
                    told = True
                    progress.stopping()
                    for process in active:
                        process.terminate()
                for process in [process for process in active if not process.is_alive()]:
                    run, _ = active.pop(process)
                    if process.exitcode == CLAIMED:
                        waiting.append(run)
                        progress.postponed(run.folder)
                        continue
                    _note_death(run, process.exitcode or 0, interrupted=told)
                    progress.ended(run.folder)
                progress.update()
    if stop.signal is not None:
        raise SystemExit(128 + stop.signal)


def _first_free(runs: Sequence[RunConfig]) -> int | None:
    """The place of the first run that nobody else is training."""
    return next((place for place, run in enumerate(runs) if Claim(run.folder.path).owner() is None), None)


def _devices(runs: Sequence[RunConfig]) -> int:
    gpus = 0 if all(run.trainer.accelerator == "cpu" for run in runs) else torch.cuda.device_count()
    return gpus or usable_cores()


def _train(tree: dict[str, Any], threads: int, slot: int) -> None:
    """One run, in its own process: its output goes to its log."""
    # A terminal's Ctrl-C reaches all processes; the sweep's own passes it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_stop_with_the_sweep, daemon=True).start()
    run = validate(tree)
    if (gpus := torch.cuda.device_count()) > 0:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[slot % gpus]
    folder = run.folder
    folder.path.mkdir(parents=True, exist_ok=True)
    log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    if run.trainer.threads is None:
        run = run.model_copy(update={"trainer": run.trainer.model_copy(update={"threads": threads})})
    with exit_on_user_error():
        try:
            train_run(run, stop_on=[signal.SIGTERM])
        except Claimed:
            raise SystemExit(CLAIMED) from None
        except Interrupted as end:
            raise SystemExit(128 + end.signal) from None


def _stop_with_the_sweep() -> None:
    """A sweep that was killed cannot pass a signal on: its runs notice, and stop as if it had."""
    sweep = multiprocessing.parent_process()
    assert sweep is not None
    wait([sweep.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _note_death(run: RunConfig, code: int, interrupted: bool) -> None:
    """Say in the run's folder that its process ended without a word."""
    folder = run.folder
    status = folder.status() or Status(outcome="running", iteration=0, iterations=run.schedule.iterations)
    if folder.result() is not None or status.outcome != "running":
        return
    reason = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    outcome = {"outcome": "interrupted"} if interrupted else {"outcome": "failed", "reason": reason}
    folder.set_status(status.model_copy(update=outcome))
