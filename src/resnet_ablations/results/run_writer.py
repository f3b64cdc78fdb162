"""The files that a run writes into its folder, `result.json` last."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from resnet_ablations.results.atomic_write import write_atomically
from resnet_ablations.results.curve import HEADER, CurveFile
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.provenance import with_changes
from resnet_ablations.results.run_folder import Result, RunFolder, Status, set_aside

log = logging.getLogger(__name__)


class RunWriter:
    """The writer of a run's files for the process that owns the run.

    Every method holds the run's lock while it changes a file, and raises `RunLost` if another process has taken the run
    over. Only `log.txt` and new rows of the curve are written without it.
    """

    def __init__(self, folder: RunFolder, lock: RunLock) -> None:
        self.folder = folder
        self._lock = lock

    def start(self, config: dict[str, Any]) -> None:
        """Write the configuration; set a damaged result aside, and remove the other files of the run's end."""
        with self._lock.held():
            if damage := self.folder.set_damaged_aside():
                log.warning("%s: set aside: %s", self.folder.result_file.name, damage)
            self.folder.write_config(config)
            ends = (self.folder.responses, self.folder.weights, self.folder.signals)
            for path in (*ends, self.folder.lesions, self.folder.path_gradients):
                path.unlink(missing_ok=True)

    def set_status(self, status: Status) -> None:
        """Write the status, as `RunFolder.set_status` does."""
        with self._lock.held():
            self.folder.set_status(status)

    def write_checkpoint(self, iteration: int, content: bytes) -> None:
        """Write a checkpoint with its digest in its name; keep the two newest."""
        with self._lock.held():
            name = f"checkpoint-{iteration:08}-{_digest(content)}.pt"
            write_atomically(self.folder.path / name, content)
            for old in self.folder.checkpoints()[2:]:
                old.unlink(missing_ok=True)

    def sound_checkpoints(self) -> Iterator[tuple[Path, bytes]]:
        """Yield the checkpoints, the newest first; set aside those whose content does not match their digest."""
        for path in self.folder.checkpoints():
            content = path.read_bytes()
            if path.stem.rpartition("-")[2] == _digest(content):
                yield path, content
            else:
                log.warning("%s: damaged, not used", path.name)
                self.set_aside(path)

    def set_aside(self, path: Path) -> None:
        """Rename a damaged file, so that it stays but is not read again."""
        with self._lock.held():
            set_aside(path)

    def begin_curve(self, text: str = HEADER) -> CurveFile:
        """Replace the curve by a new file with this beginning, which grows by rows."""
        with self._lock.held():
            return CurveFile(self.folder.curve, text)

    def write_curve(self, text: str) -> None:
        """Write the complete curve once more, to disk: the file may have been deleted or replaced meanwhile."""
        with self._lock.held():
            write_atomically(self.folder.curve, text)

    def write_signals(self, text: str) -> None:
        """Write the signals so far."""
        with self._lock.held():
            write_atomically(self.folder.signals, text)

    def write_responses(self, responses: Iterable[tuple[str, float]]) -> None:
        """Write the standard deviation of each layer's responses, layers counted from 1; no file if there are none."""
        lines = [f"{layer},{name},{std:.6g}\n" for layer, (name, std) in enumerate(responses, start=1)]
        if lines:
            with self._lock.held():
                write_atomically(self.folder.responses, "".join(["layer,name,std\n", *lines]))

    def write_weights(self, content: bytes) -> None:
        """Write the final weights."""
        with self._lock.held():
            write_atomically(self.folder.weights, content)

    def write_changes(self, diff: str | None, iteration: int = 0) -> None:
        """Write the uncommitted changes of the code that trains the run from this iteration on, after earlier ones.

        `diff` is None if they are unknown. There is no file if no attempt had any.
        """
        path = self.folder.changes
        with self._lock.held():
            earlier = path.read_bytes().decode("utf-8", "replace") if iteration and path.exists() else ""
            if text := with_changes(earlier, diff, iteration):
                write_atomically(path, text)
            else:
                path.unlink(missing_ok=True)

    def finish(self, result: Result) -> None:
        """Write the result, which marks the run as done; then remove the status and the checkpoints.

        Raise `ValueError` if the curve is not whole.
        """
        with self._lock.held():
            self.folder.check_curve(result)
            content = json.dumps(result.model_dump(), indent=1, ensure_ascii=False) + "\n"
            write_atomically(self.folder.result_file, content)
            self.folder.clear()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
