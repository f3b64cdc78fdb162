"""The folder of one run: finished, resumable or absent."""

import csv
import json
import math
import time
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from resnet_ablations.results.files import write_atomically


@dataclass(frozen=True)
class CurveRow:
    """One line of `curve.csv`: `iteration` updates are done, train_* are means since the line before, errors in %."""

    iteration: int
    learning_rate: float
    train_loss: float
    train_error: float
    test_loss: float | None
    test_error: float | None


class Result(BaseModel):
    """`result.json`: what a run left; losses and errors (%) are the final iteration's, None where it diverged."""

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
    """Further numbers of the finished network, by the names of `experiments.METRICS`."""
    parameters: int
    seconds: float
    images_per_second: float
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _finished_has_numbers(self) -> Self:
        final = {name: getattr(self, name) for name in ("train_loss", "train_error", "test_loss", "test_error")}
        if self.outcome == "finished":
            if absent := [name for name, value in final.items() if value is None]:
                raise ValueError(f"finished without {', '.join(absent)}")
            if not all(math.isfinite(value) for value in final.values()):
                raise ValueError("finished with a loss or an error that is no finite number")
        return self

    def summary(self) -> str:
        """One line: what came out, and how long it took."""
        speed = f"{self.seconds:.0f} s, {self.images_per_second:,.0f} images/s"
        if self.outcome == "diverged":
            return f"{self.key}: diverged within {self.iterations} iterations ({speed})"
        return f"{self.key}: test error {self.test_error:.2f} %, training error {self.train_error:.2f} % ({speed})"


class Status(BaseModel):
    """`status.json`: how far a run is that has no result yet."""

    outcome: Literal["running", "failed", "interrupted"]
    iteration: int
    iterations: int
    images_per_second: float = 0.0
    seconds_left: float | None = None
    reason: str = ""
    updated: float = 0.0


class RunFolder:
    """Every path of one run, and the order in which its files come to be: `result.json` last."""

    def __init__(self, results: str | Path, key: str) -> None:
        self.key = key
        self.path = Path(results) / "runs" / key
        self.config = self.path / "config.yaml"
        self.curve = self.path / "curve.csv"
        self.responses = self.path / "layer_responses.csv"
        self.log = self.path / "log.txt"
        self._status = self.path / "status.json"
        self._result = self.path / "result.json"

    def freeze(self, config: dict[str, Any]) -> None:
        """Make the folder and write the configuration into it."""
        write_atomically(self.config, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def start(self, config: dict[str, Any]) -> None:
        """Freeze the configuration and begin the log; set a damaged result aside."""
        self.freeze(config)
        self.log.write_bytes(b"")
        if self._result.exists() and self.result() is None:
            self._result.replace(self.path / "result.damaged.json")

    def write_responses(self, responses: Iterable[tuple[str, float]]) -> None:
        """The standard deviation of each layer's responses, layers counted from 1; no file where there is none."""
        lines = [f"{layer},{name},{std:.6g}\n" for layer, (name, std) in enumerate(responses, start=1)]
        if lines:
            write_atomically(self.responses, "".join(["layer,name,std\n", *lines]))

    def result(self) -> Result | None:
        """The result if the run is done: `result.json` is there, valid and this run's."""
        try:
            result = Result.model_validate_json(self._result.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return result if result.key == self.key else None

    def finish(self, result: Result) -> None:
        """Write the result; the run is done from here on."""
        write_atomically(self._result, json.dumps(result.model_dump(), indent=1, ensure_ascii=False) + "\n")
        self._status.unlink(missing_ok=True)

    def status(self) -> Status | None:
        """The last status written, if any."""
        try:
            return Status.model_validate_json(self._status.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def set_status(self, status: Status) -> None:
        """Say how far the run is: in one piece, but not worth waiting for the disk."""
        status.updated = time.time()
        temporary = self._status.with_suffix(".tmp")
        temporary.write_text(status.model_dump_json() + "\n", encoding="utf-8")
        temporary.replace(self._status)


class CurveFile:
    """`curve.csv` while it grows: begun anew, each row flushed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(field.name for field in fields(CurveRow))

    def append(self, row: CurveRow) -> None:
        """Add a row: six significant digits, nothing where there is no value."""
        self._writer.writerow(_text(value) for value in astuple(row))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
