"""Upload of complete runs to wandb's server. The server is queried before and after, so that no run is sent twice."""

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
from resnet_ablations.loggers.wandb_account import reason
from resnet_ablations.loggers.wandb_run import PROJECT, WandbRun, digest, last_step
from resnet_ablations.results.locks import FileLocked, file_lock
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.states import State, state_of

ANSWER_SECONDS = 10
"""Time limit for one answer of the server."""
INIT_SECONDS = 30.0
FINISH_SECONDS = 600.0
"""Time limit for the upload of one run; a curve of 64,000 iterations has about 100 kB."""
CONFIRM_SECONDS = 60.0
"""Time limit for the server to list an uploaded run."""


def upload(folders: Sequence[RunFolder]) -> None:
    """Upload the missing parts of these runs to the server; WANDB_MODE is ignored.

    At the end, raise `UserError` with the runs that failed.
    """
    os.environ["WANDB_MODE"] = "online"
    os.environ.pop("WANDB_SERVICE", None)
    console = standard_console()
    server = _Server()
    failed: list[str] = []
    for number, folder in enumerate(folders, start=1):
        place = f"[{number}/{len(folders)}] {folder.key}"
        try:
            with console.status(place), _mirror_lock(folder):
                outcome = _upload_run(server, folder)
        except UserError as error:
            failed += error.messages
            outcome = "not sent"
        console.print(f"{place}: {outcome}", markup=False, soft_wrap=True)
    if failed:
        raise UserError(*failed)


@contextmanager
def _mirror_lock(folder: RunFolder) -> Iterator[None]:
    """Hold the mirror's lock of the run, if the run ever had a mirror.

    Raise `UserError` if another process, such as the mirror, is sending the run.
    """
    lock = folder.path / "wandb" / "lock"
    with ExitStack() as stack:
        if lock.exists():
            try:
                stack.enter_context(file_lock(lock, seconds=0))
            except FileLocked:
                problem = "another process is sending this run; try again when that process has ended"
                raise UserError(f"{folder.key}: {problem}") from None
        yield


class _Server:
    """wandb's server. The constructor raises `UserError` if the server does not answer or refuses the API key."""

    def __init__(self) -> None:
        try:
            self.settings = wandb.setup(wandb.Settings(silent=True)).settings
            self._reach()
            self._api = wandb.Api(timeout=ANSWER_SECONDS)
        except wandb.errors.UsageError:
            ways = "run `wandb login`, or set WANDB_API_KEY"
            raise UserError(f"wandb-sync: no API key for {self.settings.base_url}: {ways}") from None
        except (wandb.Error, ValueError) as error:
            raise UserError(f"wandb-sync: {reason(error)}") from None

    def _reach(self) -> None:
        url = self.settings.base_url
        try:
            urllib.request.urlopen(url, timeout=ANSWER_SECONDS).close()
        except urllib.error.HTTPError:
            pass  # an HTTP error is an answer
        except OSError as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLError):
                return  # the server answers; wandb decides on its certificate
            raise UserError(f"wandb-sync: no answer from {url}: {reason}; check the network") from None

    def has(self, folder: RunFolder, state: State) -> bool:
        """Return whether the server has the complete run, with this curve and this outcome."""
        self._api.flush()
        try:
            run = self._api.run(f"{self.settings.project or PROJECT}/{folder.key}")
            uploaded = run.summary.get("digest")
            return bool(uploaded == digest(folder, state)) and run.lastHistoryStep >= last_step(folder)
        except (wandb.Error, ValueError):  # no run of this name
            return False


def _upload_run(server: _Server, folder: RunFolder) -> str:
    """Upload one run if the server lacks it, and return a phrase for the console."""
    state = state_of(folder)
    if state.outcome not in ("finished", "diverged", "failed", "interrupted") or not folder.curve.exists():
        return f"{state.outcome}, not uploaded yet"
    folder.result()  # raises UserError for a file that may not be read, before anything is sent
    try:
        if server.has(folder, state):
            return "already uploaded"
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
                raise UserError(f"{folder.key}: sent, but the server lacks a part; run the same command again")
            time.sleep(1)
    except (wandb.Error, ValueError, OSError) as error:
        raise UserError(f"{folder.key}: {reason(error)}") from None
    return f"{state.outcome}, uploaded: {run.url}"
