"""Weights & Biases, as training sees it: a process that it starts, tells when the run is over, and waits for."""

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
"""For wandb to say whether it has a key: no network is asked."""


class WandbFailed(Exception):
    """wandb does not have the whole run; the message says why."""


@final
class WandbLogger(Logger):
    """Mirrors a run at wandb: live, or recorded in its folder with WANDB_MODE=offline; `wandb_sync` sends what lacks.

    `group` and `job_type` are wandb's words for what a run belongs to; the end of a run waits `wait_seconds` at most.
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
            raise UserError(f"logger=wandb: wandb did not start within {START_SECONDS} s; allowed: none, csv") from None
        if wrong := (answer.stdout or answer.stderr).strip():
            raise UserError(f"logger=wandb: {wrong.splitlines()[-1]}")

    def start(self, folder: RunFolder) -> None:
        self._folder = folder
        place = folder.path.absolute()
        (place / "wandb").mkdir(exist_ok=True)
        with (place / "wandb" / "mirror.log").open("wb") as said:
            self._mirror = subprocess.Popen(
                [sys.executable, "-m", "resnet_ablations.loggers.wandb_mirror", str(place), str(self.wait_seconds)],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,  # a terminal's Ctrl-C is meant for training
            )

    def log(self, row: CurveRow) -> None:
        """Nothing to do: the mirror reads the curve itself; but say so if it has ended."""
        assert self._mirror is not None
        if self._mirror.poll() is not None:
            raise WandbFailed(self._why())

    def close(self) -> None:
        assert self._mirror is not None
        try:
            # A word, and not the end of its input alone: a process forked from this one may have that open too.
            self._mirror.communicate(b".", self.wait_seconds)
        except subprocess.TimeoutExpired:
            self._mirror.kill()
            self._mirror.wait()
            raise WandbFailed(
                f"wandb did not take the whole run within logger.wait_seconds={self.wait_seconds:g}; "
                "make wandb-sync sends it later"
            ) from None
        if self._mirror.returncode != 0:
            raise WandbFailed(self._why())

    def _why(self) -> str:
        assert self._folder is not None
        assert self._mirror is not None
        if (code := self._mirror.returncode) < 0:
            return f"the process that shows the run was killed by signal {-code}; make wandb-sync sends it later"
        said = (self._folder.path / "wandb" / "mirror.log").read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), "it ended without a word")
        return f"wandb: {last}; make wandb-sync sends the run later"


def _environment() -> dict[str, str]:
    """That of this process, without another wandb's service: each run has its own."""
    return {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
