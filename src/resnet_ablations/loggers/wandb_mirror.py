"""The process beside a training run that shows it at wandb: it follows `curve.csv` until it hears that the run is over.

A process of its own, so that whatever wandb does, waits for or leaves behind, training does not notice.
"""

import argparse
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
"""For training to end this process itself where wandb takes too long: only then it does so unasked."""


class Ending:
    """How the run ended, as soon as it has: standard input, which training holds, tells when, the folder how."""

    def __init__(self, folder: RunFolder, wait_seconds: float) -> None:
        self.state: State | None = None
        self._over = threading.Event()
        self._wait_seconds = wait_seconds
        threading.Thread(target=self._listen, args=(folder,), daemon=True).start()

    def wait(self, seconds: float) -> State | None:
        """How it ended; None if it has not after so long."""
        self._over.wait(seconds)
        return self.state

    def _listen(self, folder: RunFolder) -> None:
        sys.stdin.buffer.read(1)
        state = state_of(folder)
        if state.outcome == "running":  # whoever said so is on its way out
            state = State("failed", reason="its process is gone without a word")
        self.state = state
        self._over.set()
        # Training may be gone, and nobody there to end what hangs.
        time.sleep(self._wait_seconds + GRACE_SECONDS)
        os._exit(1)


def main() -> None:
    """Show the run of a folder at wandb; the last line printed says what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m resnet_ablations.loggers.wandb_mirror", description=__doc__)
    parser.add_argument("folder", type=Path, help="the run's")
    parser.add_argument("wait_seconds", type=float, help="for wandb, once the run is over")
    arguments = parser.parse_args()
    # They are meant for the run, and end it in its own way.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = RunFolder(arguments.folder.parents[1], arguments.folder.name)
    try:
        _mirror(folder, Ending(folder, arguments.wait_seconds))
        code = 0
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", flush=True)
        code = 1
    # Not by way of what wandb does at exit, which may wait for its server.
    os._exit(code)


def _mirror(folder: RunFolder, ending: Ending) -> None:
    # The process that showed the run before, and was left alone when training was killed, may still be at it.
    with file_lock(folder.path / "wandb" / "lock"):
        from resnet_ablations.loggers.wandb_run import WandbRun

        run = WandbRun(folder, Path(os.environ.get("WANDB_DIR") or folder.path))
        while (state := ending.wait(POLL_SECONDS)) is None:
            run.show()
        run.end(state)


if __name__ == "__main__":
    main()
