"""The logger for Weights & Biases: it starts a mirror process, tells that process when the run ends, and waits."""

import os
import subprocess
import sys
from typing import Annotated, final

from annotated_types import Ge, Le

from resnet_ablations.errors import UserError
from resnet_ablations.loggers.logger import Logger
from resnet_ablations.results.curve import CurveRow
from resnet_ablations.results.run_folder import RunFolder

START_SECONDS = 60
"""Time limit for the check of wandb's API key, which needs no network."""


class WandbFailed(Exception):
    """wandb does not have the complete run; the message gives the reason."""


@final
class WandbLogger(Logger):
    """A mirror of the run at wandb, live or, with WANDB_MODE=offline, recorded in the run's folder.

    `wandb_sync` uploads what the server lacks. `group` and `job_type` are wandb's names for the sweep and the scale.
    At the end of the run, the logger waits at most `wait_seconds` for wandb.
    """

    def __init__(
        self, *, group: str | None, job_type: str | None, wait_seconds: Annotated[float, Ge(0), Le(3600)]
    ) -> None:
        self.group = group
        self.job_type = job_type
        self.wait_seconds = wait_seconds
        self._mirror: subprocess.Popen[bytes] | None = None
        self._folder: RunFolder | None = None

    def check(self) -> None:
        if (disabled := os.environ.get("WANDB_DISABLED", "")).lower() not in ("", "false", "0"):
            raise UserError(
                f"logger=wandb: WANDB_DISABLED={disabled}: wandb no longer reads this variable; "
                "use logger=none, or unset the variable"
            )
        if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
            return
        command = [sys.executable, "-m", "resnet_ablations.loggers.wandb_account"]
        try:
            answer = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=_environment(),
                timeout=START_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise UserError(
                f"logger=wandb: wandb did not start within {START_SECONDS} s; use logger=none or csv"
            ) from None
        if problem := (answer.stdout or answer.stderr).strip():
            raise UserError(f"logger=wandb: {problem.splitlines()[-1]}")

    def start(self, folder: RunFolder) -> None:
        self._folder = folder
        place = folder.path.absolute()
        (place / "wandb").mkdir(exist_ok=True)
        with (place / "wandb" / "mirror.log").open("wb") as mirror_log:
            self._mirror = subprocess.Popen(
                [sys.executable, "-m", "resnet_ablations.loggers.wandb_mirror", str(place), str(self.wait_seconds)],
                stdin=subprocess.PIPE,
                stdout=mirror_log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,  # a Ctrl-C in the terminal is for the training process
            )

    def log(self, row: CurveRow) -> None:
        """Raise `WandbFailed` if the mirror process has ended; the mirror reads the curve itself."""
        assert self._mirror is not None
        if self._mirror.poll() is not None:
            raise WandbFailed(self._why())

    def close(self) -> None:
        assert self._mirror is not None
        try:
            # Send a byte: closing the pipe is not enough, because a process forked from this one may hold it open.
            self._mirror.communicate(b".", self.wait_seconds)
        except subprocess.TimeoutExpired:
            self._mirror.kill()
            self._mirror.wait()
            raise WandbFailed(
                f"wandb did not receive the complete run within logger.wait_seconds={self.wait_seconds:g}; "
                "`resnet-ablations wandb-sync` uploads it later"
            ) from None
        if self._mirror.returncode != 0:
            raise WandbFailed(self._why())

    def _why(self) -> str:
        assert self._folder is not None
        assert self._mirror is not None
        if (code := self._mirror.returncode) < 0:
            return f"the mirror was killed by signal {-code}; `resnet-ablations wandb-sync` uploads the run later"
        lines = (self._folder.path / "wandb" / "mirror.log").read_text(encoding="utf-8", errors="replace").split("\n")
        last = next(
            (line for line in reversed(lines) if line.strip()), "the mirror process ended without an error message"
        )
        return f"wandb: {last}; `resnet-ablations wandb-sync` uploads the run later"


def _environment() -> dict[str, str]:
    """Return this process's environment without WANDB_SERVICE: each run has its own wandb service."""
    return {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
