"""Parallel training on one machine: each run in its own process."""

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.util import get_temp_dir
from types import TracebackType
from typing import Self

from resnet_ablations.config import RunConfig
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.owner import slurm_job
from resnet_ablations.results.provenance import SOURCE
from resnet_ablations.results.states import state_of
from resnet_ablations.sweep import worker
from resnet_ablations.sweep.endings import record_end
from resnet_ablations.sweep.monitor import SweepMonitor
from resnet_ablations.sweep.slots import Slots
from resnet_ablations.training.fork_server import FORK_SERVER_KILLED, NO_FORK_SERVER, fork_server, start_process
from resnet_ablations.training.stopping import SIGNALS, StopRequest


def train_in_processes(runs: Sequence[RunConfig], slots: Slots, *, fail_fast: bool, planned: str = SOURCE) -> None:
    """Train each run in its own process.

    Runs that another sweep trains come last: this function waits for them. A run that crashes does not affect the
    others; its files and the reason are in its folder. The first Ctrl-C, SIGTERM or SIGHUP stops all runs after their
    current steps, and so do the first failure if `fail_fast`, and an error of this function; a second Ctrl-C or SIGTERM
    stops them at once. In a job that a sweep submitted to SLURM, the stop request is `worker.stop_in_job`, and a run
    that another process trains is left to that process, since a job that only waits would occupy its node.
    `planned` is the hash of the code that planned the runs.
    """
    print(slots, flush=True)
    waiting = list(runs)
    with SweepMonitor([run.folder for run in runs]) as progress:
        pool = _Pool(slots, planned)

        def at_once(number: int) -> None:
            try:
                for run, process in pool.kill():
                    record_end(run, "interrupted", killed=True, process=process)
                progress.close()
            finally:
                os._exit(128 + number)

        def at_first(number: int) -> None:
            pool.stop()

        in_job = bool(slurm_job())
        request = worker.stop_in_job(at_first) if in_job else StopRequest(*SIGNALS, at_first=at_first, at_once=at_once)
        with request as stop, pool:
            stopping = failed = False
            while pool.runs or (waiting and not stopping):
                while stop.signal is None and not stopping and pool.has_room and waiting:
                    if (free := 0 if in_job else _first_unlocked(waiting)) is None:
                        for run in waiting:
                            progress.postponed(run.folder)
                        break
                    run = waiting.pop(free)
                    # The run's own process has not watched the lock of an owner on another machine.
                    RunLock(run.folder.path).remove_if_stale()
                    if run.folder.result() is not None:
                        progress.ended(run.folder)
                    elif pool.start(run):
                        progress.started(run.folder)
                    else:
                        _record_exit(run, NO_FORK_SERVER, stopped=False)
                        progress.ended(run.folder)
                pool.wait()
                for run, code in pool.ended():
                    # Another process trains it, or has taken it over.
                    if code == worker.LOCKED or RunLock(run.folder.path).is_owned():
                        if in_job:
                            progress.left(run.folder)
                        else:
                            waiting.append(run)
                            progress.postponed(run.folder)
                        continue
                    _record_exit(run, code, stopped=stopping or stop.signal is not None)
                    progress.ended(run.folder)
                    failed = failed or state_of(run.folder).outcome == "failed"
                if not stopping and (stop.signal is not None or (failed and fail_fast)):
                    stopping = True
                    pool.stop()
                    progress.stopping(
                        "a run failed" if stop.signal is None else "send the signal again to stop at once"
                    )
                progress.update()
    if stop.signal is not None:
        raise SystemExit(128 + stop.signal)


def _first_unlocked(runs: Sequence[RunConfig]) -> int | None:
    """Return the index of the first run that no process trains."""
    return next((place for place, run in enumerate(runs) if not RunLock(run.folder.path).is_owned()), None)


class _Pool:
    """The running processes, each in its own slot; a context that stops them if an error ends it."""

    def __init__(self, slots: Slots, planned: str) -> None:
        self._slots = slots
        self._planned = planned
        # The fork server reads it when it starts and imports torch, once for all runs.
        os.environ["OMP_NUM_THREADS"] = str(slots.threads)
        self._context = fork_server()
        self.runs: dict[ForkServerProcess, tuple[RunConfig, int]] = {}
        self._unasked: set[ForkServerProcess] = set()
        """The processes that were not asked to stop."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        while self.runs:
            self.wait()
            for run, code in self.ended():
                _record_exit(run, code, stopped=True)

    @property
    def has_room(self) -> bool:
        return len(self.runs) < self._slots.count

    def start(self, run: RunConfig) -> bool:
        """Start the run's process; return False if the fork server was killed (a new one starts for the next run)."""
        slot = min(set(range(self._slots.count)) - {slot for _, slot in self.runs.values()})
        process = self._context.Process(
            target=worker.work, args=(run.as_dict(), self._slots.threads, self._slots.gpus_of(slot), self._planned)
        )
        if begun := start_process(process):
            self.runs[process] = run, slot
            self._unasked.add(process)
        return begun

    def wait(self) -> None:
        """Wait until a process ends, at most half a second."""
        if self.runs:
            wait([process.sentinel for process in self.runs], timeout=0.5)
        else:
            time.sleep(0.5)

    def ended(self) -> list[tuple[RunConfig, int]]:
        """Return the runs that have ended since the last call, with their exit codes."""
        ended = [process for process in self.runs if not process.is_alive()]
        self._unasked.difference_update(ended)
        return [(self.runs.pop(process)[0], process.exitcode or 0) for process in ended]

    def stop(self) -> None:
        """Ask the processes to stop after their current steps; a signal handler may call it too.

        Each process is asked once, since a second signal ends it.
        """
        with suppress(KeyError):
            while True:
                self._unasked.pop().terminate()

    def kill(self) -> list[tuple[RunConfig, int | None]]:
        """Kill all processes; return their runs and process numbers. This process must exit afterwards."""
        for process in self.runs:
            process.kill()
        shutil.rmtree(get_temp_dir(), ignore_errors=True)
        return [(run, process.pid) for process, (run, _) in self.runs.items()]


def _record_exit(run: RunConfig, code: int, *, stopped: bool) -> None:
    """Write to the run's folder how its process ended, if the process did not write it."""
    reason = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    if code == NO_FORK_SERVER:
        reason = FORK_SERVER_KILLED
    killed = code < 0 or code == NO_FORK_SERVER
    if stopped:
        record_end(run, "interrupted", killed=killed)
    else:
        record_end(run, "failed", reason, killed=killed)
