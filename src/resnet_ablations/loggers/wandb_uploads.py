"""Runs from their folders to wandb's server, each once and whole: the server is asked what it has, before and after."""

import os
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import wandb
import wandb.errors

from resnet_ablations.console import standard_console
from resnet_ablations.errors import UserError
from resnet_ablations.loggers.wandb_run import PROJECT, WandbRun, digest, last_step
from resnet_ablations.results.locks import file_lock
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.states import State, state_of

ANSWER_SECONDS = 10
"""For one answer of the server."""
INIT_SECONDS = 30.0
FINISH_SECONDS = 600.0
"""For a run to be taken in; a curve of 64,000 iterations is some 100 kB."""
CONFIRM_SECONDS = 60.0
"""For the server to say that it has a run which it has taken."""


def upload(folders: Sequence[RunFolder]) -> None:
    """Send what the server lacks of these runs, whatever WANDB_MODE says.

    Raise `UserError` with those that fail, at the end.
    """
    os.environ["WANDB_MODE"] = "online"
    os.environ.pop("WANDB_SERVICE", None)
    console = standard_console()
    server = _Server()
    failed: list[str] = []
    for number, folder in enumerate(folders, start=1):
        place = f"[{number}/{len(folders)}] {folder.key}"
        try:
            with console.status(place), _alone(folder):
                said = _uploaded(server, folder)
        except UserError as error:
            failed += error.messages
            said = "not sent"
        console.print(f"{place}: {said}", markup=False, soft_wrap=True)
    if failed:
        raise UserError(*failed)


@contextmanager
def _alone(folder: RunFolder) -> Iterator[None]:
    """Raise `UserError` where somebody is sending the run already, such as the mirror of one that has just ended."""
    lock = folder.path / "wandb" / "lock"
    with ExitStack() as stack:
        if lock.exists():
            try:
                stack.enter_context(file_lock(lock, wait=False))
            except BlockingIOError:
                told = "it is being sent by another process; try again when that has ended"
                raise UserError(f"{folder.key}: {told}") from None
        yield


class _Server:
    """wandb's server, where it answers and takes the key; raise `UserError` where not."""

    def __init__(self) -> None:
        try:
            self.settings = wandb.setup(wandb.Settings(silent=True)).settings
            self._reach()
            self._api = wandb.Api(timeout=ANSWER_SECONDS)
        except wandb.errors.UsageError:
            how = "wandb login, or set WANDB_API_KEY"
            raise UserError(f"wandb-sync: no API key for {self.settings.base_url}: {how}") from None
        except (wandb.Error, ValueError) as error:
            raise UserError(f"wandb-sync: {_in_one_line(error)}") from None

    def _reach(self) -> None:
        url = self.settings.base_url
        try:
            urllib.request.urlopen(url, timeout=ANSWER_SECONDS).close()
        except urllib.error.HTTPError:
            pass  # it answers
        except OSError as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLError):
                return  # it answers, and whether its certificate will do is wandb's to say
            raise UserError(f"wandb-sync: no answer from {url}: {reason}; is there a network?") from None

    def has(self, folder: RunFolder, state: State) -> bool:
        """Whether it has the run, with this curve and this ending."""
        self._api.flush()  # type: ignore[no-untyped-call]
        try:
            run = self._api.run(f"{self.settings.project or PROJECT}/{folder.key}")
            shown = run.summary.get("digest")  # type: ignore[no-untyped-call]
            return bool(shown == digest(folder, state)) and run.lastHistoryStep >= last_step(folder)
        except (wandb.Error, ValueError):  # none of this name
            return False


def _uploaded(server: _Server, folder: RunFolder) -> str:
    """What became of the run."""
    state = state_of(folder)
    if state.outcome not in ("finished", "diverged", "failed", "interrupted") or not folder.curve.exists():
        return f"{state.outcome}, left for later"
    try:
        if server.has(folder, state):
            return "is there already"
        with tempfile.TemporaryDirectory() as place:
            run = WandbRun(
                folder,
                Path(place),
                init_timeout=INIT_SECONDS,
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
            )
            run.end(state)
        end = time.monotonic() + CONFIRM_SECONDS
        while not server.has(folder, state):
            if time.monotonic() > end:
                raise UserError(f"{folder.key}: sent, but the server lacks part of it; the same command sends it again")
            time.sleep(1)
    except (wandb.Error, ValueError, OSError) as error:
        raise UserError(f"{folder.key}: {_in_one_line(error)}") from None
    return f"{state.outcome}, uploaded: {run.url}"


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
