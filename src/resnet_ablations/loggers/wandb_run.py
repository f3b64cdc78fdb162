"""One run at wandb, made from the files in the run's folder. Only this module sends data to wandb."""

import hashlib
import io
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import wandb
from PIL import Image

from resnet_ablations.loggers.error_curve import error_curve
from resnet_ablations.results.curve import HEADER, CurveReader, CurveRow
from resnet_ablations.results.keys import labels_of
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.results.states import State

PROJECT = "resnet-ablations"
"""The default project; wandb's environment variables and settings files can name another one."""

EXIT_CODES = {"finished": 0, "diverged": 0, "interrupted": 255}
"""wandb's exit codes: 255 marks a Ctrl-C; every other outcome gets 1, which marks the run as failed."""


class WandbRun:
    """A run at wandb: its id is the run's key, its step is the iteration.

    Rows that wandb already has, from an earlier attempt or an upload, are not sent again. Raise wandb's errors, and
    `ValueError` if wandb has a run of this name with other numbers.
    """

    def __init__(self, folder: RunFolder, place: Path, **settings: Any) -> None:
        """Open the run. wandb creates its folder `wandb` in `place`; `settings` go to `wandb.Settings`."""
        self.folder = folder
        configuration = folder.configuration()
        own = configuration.get("logger") or {}
        wandb_settings = wandb.setup().settings
        self._run = wandb.init(
            id=folder.key,
            name=folder.key,
            resume="allow",
            reinit="create_new",
            project=wandb_settings.project or PROJECT,
            group=own.get("group"),
            job_type=own.get("job_type"),
            tags=[
                *(wandb_settings.run_tags or ()),
                *(label or "original" for label in labels_of(configuration).values()),
            ],
            config=configuration,
            dir=place,
            settings=wandb.Settings(
                console="off",
                symlink=False,
                program="resnet_ablations.train",
                disable_code=True,
                disable_git=True,
                x_save_requirements=False,
                x_disable_meta=True,  # it would describe this process and machine, not the training process's
                x_disable_stats=True,
                stop_fn=lambda: None,  # the stop button on the web page must not end the run
                **settings,
            ),
        )
        self._run.define_metric("iteration")
        for column in HEADER.strip().split(",")[1:]:
            self._run.define_metric(column, step_metric="iteration")
        self._curve, self._rows = CurveReader(folder.curve), list[CurveRow]()
        self._next = self._run.starting_step
        summary = self._run.summary
        self._at_wandb = {name: summary.get(name) for name in ("iteration", "train_loss", "outcome")}

    @property
    def url(self) -> str | None:
        """The address of the run's page; None offline."""
        return self._run.url

    def show(self) -> None:
        """Send the new rows of the curve."""
        for row in self._curve.rows():
            self._rows.append(row)
            if row.iteration == self._at_wandb["iteration"]:
                self._compare(row.train_loss)
            self._send(row.iteration, {name: value for name, value in vars(row).items() if value is not None})

    def end(self, state: State) -> None:
        """Send the remaining rows and the outcome; return when wandb has received everything."""
        self.show()
        self._curve.close()
        rows, result = self._rows, self.folder.result()
        if result is not None and rows:
            image = wandb.Image(Image.open(io.BytesIO(error_curve(self.folder.key, rows))))
            self._send(rows[-1].iteration + 1, {"error_curve": image})
        if result is not None:
            numbers = result.model_dump(exclude={"key", "configuration", "seed", "metrics", "provenance"})
            self._run.summary.update(numbers | result.metrics)
            self._run.config.update({"provenance": result.provenance}, allow_val_change=True)
        ending = {"outcome": state.outcome, "reason": state.reason, "digest": digest(self.folder, state)}
        self._run.summary.update(ending)
        self._run.finish(EXIT_CODES.get(state.outcome, 1))

    def _compare(self, train_loss: float) -> None:
        """Raise `ValueError` if wandb has a finished run of this name with another training loss."""
        other = self._at_wandb["train_loss"]
        ended = self._at_wandb["outcome"] in ("finished", "diverged")
        if ended and isinstance(other, float | int) and not math.isclose(other, train_loss, rel_tol=1e-5):
            self._run.finish(EXIT_CODES.get(str(self._at_wandb["outcome"]), 1))
            raise ValueError(
                f"wandb has another run of this name (training loss {other:g} there, {train_loss:g} here); "
                "delete the run at wandb, or set WANDB_PROJECT"
            )

    def _send(self, step: int, values: dict[str, Any]) -> None:
        if step >= self._next:
            self._run.log(values, step=step, commit=True)
            self._next = step + 1


def digest(folder: RunFolder, state: State) -> str:
    """Return a digest of the run's curve and outcome; with `last_step` it tells whether wandb has the complete run."""
    return hashlib.sha256(folder.curve.read_bytes() + state.outcome.encode()).hexdigest()[:16]


def last_step(folder: RunFolder) -> int:
    """Return the last step of the complete run at wandb; -1 if the curve has no rows.

    If the run has a result, the step of the error curve's image follows the steps of the curve.
    """
    with closing(CurveReader(folder.curve)) as curve:
        rows = curve.rows()
    return -1 if not rows else rows[-1].iteration + (folder.result() is not None)
