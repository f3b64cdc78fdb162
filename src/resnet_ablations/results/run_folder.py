"""The folder of one run: finished, resumable or absent."""

import fnmatch
import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from resnet_ablations.errors import UserError, mistakes_in_file, reason_of
from resnet_ablations.results.atomic_write import remove_temporary_files, write_atomically
from resnet_ablations.results.curve import check_whole
from resnet_ablations.results.locks import RunLock, RunLocked


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
        final = {name: getattr(self, name) for name in ("train_loss", "train_error", "test_loss", "test_error")}
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
    updated: float = 0.0


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
        """Create the folder, remove temporary files of killed processes, and write the configuration.

        Create only the folder if a process trains the run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with suppress(RunLocked), RunLock(self.path).free():
            self.write_config(config)

    def write_config(self, config: dict[str, Any]) -> None:
        """Remove temporary files and write the configuration; the caller holds the run's lock."""
        remove_temporary_files(self.path)
        write_atomically(self.config, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def configuration(self) -> dict[str, Any]:
        """Return the frozen configuration; raise `ValueError` if the file is not a mapping."""
        config = content_of(self.config)
        if not isinstance(config, dict):
            raise ValueError("config.yaml is not a mapping")
        return config

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints, the newest first."""
        return sorted(self.path.glob("checkpoint-*.pt"), reverse=True)

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
        try:
            content = self.result_file.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            if not self.result_file.is_file():
                raise ValueError(f"{self.result_file.name} is no file") from None
            raise UserError(f"{self.result_file}: cannot be read: {reason_of(error)}") from None
        result = Result.model_validate_json(content)
        if result.key != self.key:
            raise ValueError(f"the file is the result of {result.key}")
        self.check_curve(result)
        return result

    def check_curve(self, result: Result) -> None:
        """Raise `ValueError` unless the curve is whole and ends as the result says."""
        check_whole(self.curve, result.iterations, result.test_error)

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

    def discard_result(self) -> None:
        """Remove the result."""
        self.result_file.unlink(missing_ok=True)

    def status(self) -> Status | None:
        """Return the last status; None if the file is missing or damaged."""
        try:
            return Status.model_validate_json(self.status_file.read_bytes())
        except (OSError, ValidationError):
            return None

    def set_status(self, status: Status) -> None:
        """Write the status atomically, but without fsync: a lost status costs nothing."""
        status.updated = time.time()
        content = status.model_dump_json() + "\n"
        temporary = self.status_file.with_suffix(".tmp")
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

    def restore_status(self, status: Status | None) -> None:
        """Write an earlier status again; remove the status if there was none."""
        if status is None:
            self.status_file.unlink(missing_ok=True)
        else:
            self.set_status(status)


def content_of(config: Path) -> Any:
    """Return the content of a `config.yaml`, unchecked."""
    # The C loader is as safe as safe_load, and ten times as fast.
    return yaml.load(config.read_text(encoding="utf-8"), yaml.CSafeLoader)


def folders_named(results: Path, patterns: Sequence[str]) -> list[RunFolder]:
    """Return the runs that match one of the patterns, sorted; raise `UserError` for patterns without a match."""
    keys = sorted(path.name for path in results.glob("runs/*") if path.is_dir())
    matches = {pattern: fnmatch.filter(keys, pattern) for pattern in patterns}
    if absent := [pattern for pattern, found in matches.items() if not found]:
        raise UserError(*(f"{pattern}: no such run in {results}" for pattern in absent))
    return [RunFolder(results, key) for key in keys if any(key in found for found in matches.values())]
