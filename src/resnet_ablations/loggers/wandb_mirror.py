"""The mirror process of a training run: it reads `curve.csv` and sends the rows to wandb until the run has ended.

A separate process, so that wandb cannot delay or break training.
"""

import argparse
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

from resnet_ablations.loggers.logger_thread import POLL_SECONDS
from resnet_ablations.results.locks import file_lock
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.states import State, state_of

GRACE_SECONDS = 5.0
"""Extra seconds for the training process to kill this one if wandb is too slow; then this process ends itself."""


class Ending:
    """The end of the training run.

    The training process marks the end by a byte on standard input, or by closing it; the run's folder has the outcome.
    """

    def __init__(self, folder: RunFolder, wait_seconds: float) -> None:
        self.state: State | None = None
        self._ended = threading.Event()
        self._wait_seconds = wait_seconds
        threading.Thread(target=self._listen, args=(folder,), daemon=True).start()

    def wait(self, seconds: float) -> State | None:
        """Wait for the end of the training run and return its state; return None if `seconds` pass before the end."""
        self._ended.wait(seconds)
        return self.state

    def _listen(self, folder: RunFolder) -> None:
        sys.stdin.buffer.read(1)
        state = state_of(folder)
        if state.outcome == "running":  # the training process has ended or is about to
            state = State("failed", reason="its process was killed")
        self.state = state
        self._ended.set()
        # If the training process was killed, nothing else ends a wandb call that hangs.
        time.sleep(self._wait_seconds + GRACE_SECONDS)
        os._exit(1)


def main() -> None:
    """Mirror the run of a folder at wandb; the last line printed is the error, if there was one."""
    parser = argparse.ArgumentParser(prog="python -m resnet_ablations.loggers.wandb_mirror", description=__doc__)
    parser.add_argument("folder", type=Path, help="the run's folder")
    parser.add_argument("wait_seconds", type=float, help="time limit for wandb after the end of the run")
    arguments = parser.parse_args()
    # The training process handles the signals; after the end of the run it notifies this process.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = RunFolder(arguments.folder.parents[1], arguments.folder.name)
    try:
        _mirror(folder, Ending(folder, arguments.wait_seconds))
        code = 0
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", flush=True)
        code = 1
    # Skip wandb's exit handlers, which may wait for its server.
    os._exit(code)


def _mirror(folder: RunFolder, ending: Ending) -> None:
    # If training was killed and resumed, the mirror process of the first attempt may still be running.
    with file_lock(folder.path / "wandb" / "lock", seconds=math.inf):
        from resnet_ablations.loggers.wandb_run import WandbRun

        run = WandbRun(folder, Path(os.environ.get("WANDB_DIR") or folder.path))
        while (state := ending.wait(POLL_SECONDS)) is None:
            run.show()
        run.end(state)


if __name__ == "__main__":
    main()
