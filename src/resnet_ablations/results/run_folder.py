"""The folder of one run: finished, resumable or absent."""

import copy
import errno
import fnmatch
import math
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from resnet_ablations.errors import UserError, mistakes_in_file, reason_in_yaml, reason_of, shortened
from resnet_ablations.results.atomic_write import remove_temporary_files, write_atomically
from resnet_ablations.results.curve import RowSchedule, check_whole
from resnet_ablations.results.keys import ELSEWHERE, KEY
from resnet_ablations.results.locks import RunLock, RunLocked

CHECKPOINT = re.compile(r"checkpoint-\d+-[0-9a-f]{16}\.pt")
"""The pattern of the names of checkpoints: the iteration and a part of the content's digest."""

FREEZE_SECONDS = 2.0
"""The longest wait for the lock of a run whose configuration is to be written."""

FINAL = ("train_loss", "train_error", "test_loss", "test_error")
"""The numbers of a result that are also in the last row of its curve."""


class Result(BaseModel):
    """`result.json`: losses and errors (%) at the final iteration, None if the run diverged."""

    model_config = ConfigDict(frozen=True)

    key: str
    configuration: str
    seed: int
    outcome: Literal["finished", "diverged"]
    iterations: int
    train_loss: float | None
    train_error: float | None
    test_loss: float | None
    test_error: float | None
    metrics: dict[str, float] = {}
    """Other metrics of the finished network, by the names in `experiments.METRICS`."""
    weights: str | None = None
    """The SHA-256 of the final weights and running statistics."""
    parameters: int
    multiply_adds: int | None = None
    """The multiply-adds of a forward pass of one image; None in older results."""
    seconds: float
    images_per_second: float
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _finished_has_numbers(self) -> Self:
        final = {name: getattr(self, name) for name in FINAL}
        if self.outcome == "finished":
            if absent := [name for name, value in final.items() if value is None]:
                raise ValueError(f"{', '.join(absent)}: must be given for a finished run")
            if not all(math.isfinite(value) for value in final.values()):
                raise ValueError("finished with a loss or an error that is not finite")
        return self

    def summary(self) -> str:
        """Return one line with the errors and the time."""
        speed = f"{self.seconds:.0f} s, {self.images_per_second:,.0f} images/s"
        if self.outcome == "diverged":
            return f"{self.key}: diverged within {self.iterations} iterations ({speed})"
        return f"{self.key}: test error {self.test_error:.2f} %, training error {self.train_error:.2f} % ({speed})"


class Status(BaseModel):
    """`status.json`: the progress of a run without a result, or how it ended."""

    outcome: Literal["queued", "running", "failed", "interrupted"]
    iteration: int
    iterations: int
    images_per_second: float = 0.0
    seconds_left: float | None = None
    reason: str = ""
    killed: Annotated[bool, Field(validation_alias=AliasChoices("killed", "died"))] = False
    """True for a run whose process was killed (signal, out of memory); earlier versions wrote `died`."""
    job: str = ""
    """The SLURM job that trains the run or will train it."""


class RunFolder:
    """The folder of one run: its paths, and what its files say."""

    def __init__(self, results: str | Path, key: str) -> None:
        self.key = key
        self.path = Path(results) / "runs" / key
        self.config = self.path / "config.yaml"
        self.curve = self.path / "curve.csv"
        self.responses = self.path / "layer_responses.csv"
        self.signals = self.path / "signals.csv"
        self.lesions = self.path / "lesions.csv"
        self.path_gradients = self.path / "path_gradients.csv"
        self.weights = self.path / "weights.pt"
        self.changes = self.path / "changes.diff"
        self.log = self.path / "log.txt"
        self.status_file = self.path / "status.json"
        self.result_file = self.path / "result.json"

    @property
    def is_mine(self) -> bool:
        """True if the folder belongs to this user."""
        return self.path.exists() and self.path.stat().st_uid == os.getuid()

    def freeze(self, config: dict[str, Any]) -> None:
        """Create the folder, set a damaged result aside, remove temporary files, and write the configuration.

        Create only the folder if a process trains the run. Raise `UserError` after `FREEZE_SECONDS` if another process
        holds the lock.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with suppress(RunLocked), RunLock(self.path).free(seconds=FREEZE_SECONDS):
            self.set_damaged_aside()
            self.write_config(config)

    def set_damaged_aside(self) -> str:
        """Rename a result that does not count, and return why, "" if there is none; the caller holds the run's lock."""
        if damage := self.damage():
            set_aside(self.result_file)
        return damage

    def write_config(self, config: dict[str, Any]) -> None:
        """Remove temporary files and write the configuration; the caller holds the run's lock."""
        remove_temporary_files(self.path)
        write_atomically(self.config, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def configuration(self) -> dict[str, Any]:
        """Return the frozen configuration; raise the errors of `configuration_in`."""
        return configuration_in(self.config)

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints, the newest first."""
        found = (path for path in self.path.glob("checkpoint-*.pt") if CHECKPOINT.fullmatch(path.name))
        return sorted(found, reverse=True)

    def resumable_from(self) -> int | None:
        """Return the iteration of the newest checkpoint, from its name."""
        newest = self.checkpoints()[:1]
        return int(newest[0].name.split("-")[1]) if newest else None

    def result(self) -> Result | None:
        """Return the result if the run is done: result and curve are there, whole, and of this run."""
        with suppress(FileNotFoundError, ValueError):
            return self.checked_result()
        return None

    def checked_result(self) -> Result:
        """Return the result; raise `FileNotFoundError` without one, `ValueError` if it or its curve is damaged.

        Raise `UserError` if the file system does not let the file be read: then it may be sound.
        """
        result = Result.model_validate_json(content_of(self.result_file))
        if result.key != self.key:
            raise ValueError(f"the file is the result of {result.key}")
        self.check_curve(result)
        return result

    def check_curve(self, result: Result) -> None:
        """Raise `ValueError` unless the curve has every row of its configuration and ends as the result says."""
        try:
            schedule = RowSchedule.model_validate(self.configuration().get("schedule"))
        except ValidationError as error:
            raise ValueError(f"{self.config.name}: schedule: {'; '.join(mistakes_in_file(error))}") from None
        curve, final = _required(self.curve), [getattr(result, name) for name in FINAL]
        try:
            check_whole(curve.decode(), schedule, result.iterations, final)
        except ValueError as error:
            raise ValueError(f"{self.curve.name} is damaged: {error}") from None

    def damage(self) -> str:
        """Return why the result does not count, or "" if it does or is not there."""
        try:
            self.checked_result()
        except FileNotFoundError:
            return ""
        except ValidationError as error:
            return f"{self.result_file.name}: " + "; ".join(mistakes_in_file(error))
        except ValueError as error:
            return str(error)
        return ""

    def remove_leftovers(self) -> None:
        """Remove the files of a process that was killed just after it had written the result.

        Leave them in a folder that this user may not write.
        """
        if self.status_file.exists() or self.checkpoints() or (self.path / "claim.json").exists():
            with suppress(RunLocked, UserError, OSError), RunLock(self.path).free():
                self.clear()

    def clear(self) -> None:
        """Remove the status and the checkpoints; the caller holds the run's lock."""
        self.status_file.unlink(missing_ok=True)
        for checkpoint in self.checkpoints():
            checkpoint.unlink(missing_ok=True)

    def status(self) -> Status | None:
        """Return the last status; None if the file is missing or damaged."""
        try:
            return Status.model_validate_json(self.status_file.read_bytes())
        except (OSError, ValidationError):
            return None

    def set_status(self, status: Status | None) -> None:
        """Write the status atomically, or remove it if it is None; the caller holds the run's lock.

        There is no fsync: a lost status costs nothing.
        """
        if status is None:
            self.status_file.unlink(missing_ok=True)
            return
        content = status.model_dump_json() + "\n"
        temporary = self.path / f".{self.status_file.name}.{secrets.token_hex(4)}"
        try:
            temporary.write_text(content, encoding="utf-8")
            temporary.replace(self.status_file)
        except OSError:
            # On a full disk, existing bytes of a file can still be overwritten.
            temporary.unlink(missing_ok=True)
            if not self.status_file.exists():
                raise
            with self.status_file.open("r+b") as file:
                file.write(content.encode())
                file.truncate()


def set_aside(file: Path) -> None:
    """Rename a damaged file, so that it stays but is not read again."""
    file.replace(file.with_name(f"{file.name}.damaged"))


def configuration_in(file: Path) -> dict[str, Any]:
    """Return the configuration in a run's `config.yaml`, unchecked.

    Raise `ValueError` if the file is missing or is not the configuration of a run, and `UserError` if the file system
    does not let it be read.
    """
    content = _required(file)
    try:
        tree = copy.deepcopy(_parsed(content))
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file.name} is no YAML: {reason_in_yaml(error)}") from None
    groups = [tree.get("data"), *(tree.get(group, {}) for group in ELSEWHERE)] if isinstance(tree, dict) else [None]
    if not all(isinstance(group, dict) for group in groups):
        raise ValueError(f"{file.name} is not the configuration of a run")
    return cast(dict[str, Any], tree)


@lru_cache(maxsize=1024)
def _parsed(content: bytes) -> Any:
    # The C loader is as safe as safe_load, and ten times as fast.
    return yaml.load(content.decode(), yaml.CSafeLoader)


def _required(file: Path) -> bytes:
    """Return the content of a file that a run must have; raise `ValueError` if it is missing, else as `content_of`."""
    try:
        return content_of(file)
    except FileNotFoundError:
        raise ValueError(f"{file.name} is missing") from None


def content_of(file: Path) -> bytes:
    """Return the content of a file of a run; raise `FileNotFoundError` without it, `ValueError` if it is no file.

    Raise `UserError` if the file system does not let it be read: then it may be sound.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.ELOOP):
            raise ValueError(f"{file.name} is no file") from None
        raise UserError(f"{shortened(file)}: cannot be read: {reason_of(error)}; make it readable") from None


def run_folders(results: Path) -> list[RunFolder]:
    """Return the runs of a results folder, sorted; a folder whose name is no run's key, such as `@eaDir`, is no run."""
    paths = sorted(results.glob("runs/[!.]*"))
    return [RunFolder(results, path.name) for path in paths if KEY.fullmatch(path.name) and path.is_dir()]


def folders_named(results: Path, patterns: Sequence[str]) -> list[RunFolder]:
    """Return the runs that match one of the patterns, sorted; raise `UserError` for patterns without a match."""
    keys = [folder.key for folder in run_folders(results)]
    matches = {pattern: fnmatch.filter(keys, pattern) for pattern in patterns}
    if absent := [pattern for pattern, found in matches.items() if not found]:
        raise UserError(*(f"{pattern}: no such run in {results}" for pattern in absent))
    return [RunFolder(results, key) for key in keys if any(key in found for found in matches.values())]
