"""One run at wandb, made of nothing but the files of its folder: all that is said to wandb is said here."""

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
"""The project, unless wandb's own variables or files name one."""

EXIT_CODES = {"finished": 0, "diverged": 0, "interrupted": 255}
"""As wandb reads them: 255 is its own of a Ctrl-C; of any other outcome 1, which marks the run as failed."""


class WandbRun:
    """A run of ours as one of wandb's: the key is the id, and an iteration is a step.

    What wandb has already of a run that goes on, here or in an upload, is not sent again. Raises what wandb raises, and
    `ValueError` where what it has there are other numbers.
    """

    def __init__(self, folder: RunFolder, place: Path, **settings: Any) -> None:
        """`place` is where wandb makes its folder `wandb`; `settings` are further ones of `wandb.Settings`."""
        self.folder = folder
        configuration = folder.configuration()
        own = configuration.get("logger") or {}
        given = wandb.setup().settings
        self._run = wandb.init(
            id=folder.key,
            name=folder.key,
            resume="allow",
            reinit="create_new",
            project=given.project or PROJECT,
            group=own.get("group"),
            job_type=own.get("job_type"),
            tags=[*(given.run_tags or ()), *(label or "original" for label in labels_of(configuration).values())],
            config=configuration,
            dir=place,
            settings=wandb.Settings(
                console="off",
                symlink=False,
                program="resnet_ablations.train",
                disable_code=True,
                disable_git=True,
                x_save_requirements=False,
                x_disable_meta=True,  # of this process and machine, which need not be those that train
                x_disable_stats=True,
                stop_fn=lambda: None,  # whatever is pressed on the web page, the run goes on
                **settings,
            ),
        )
        self._run.define_metric("iteration")
        for column in HEADER.strip().split(",")[1:]:
            self._run.define_metric(column, step_metric="iteration")
        self._curve, self._rows = CurveReader(folder.curve), list[CurveRow]()
        self._next = self._run.starting_step
        there = self._run.summary
        self._there = {name: there.get(name) for name in ("iteration", "train_loss", "outcome")}  # type: ignore[no-untyped-call]

    @property
    def url(self) -> str | None:
        """The run's page; None where it is recorded offline."""
        return self._run.url

    def show(self) -> None:
        """Send the rows of the curve that wandb does not have yet."""
        for row in self._curve.rows():
            self._rows.append(row)
            if row.iteration == self._there["iteration"]:
                self._compare(row.train_loss)
            self._send(row.iteration, {name: value for name, value in vars(row).items() if value is not None})

    def end(self, state: State) -> None:
        """Send the rest, and how the run ended; returns when wandb has taken it all."""
        self.show()
        self._curve.close()
        rows, result = self._rows, self.folder.result()
        if result is not None and rows:
            picture = wandb.Image(Image.open(io.BytesIO(error_curve(self.folder.key, rows))))
            self._send(rows[-1].iteration + 1, {"error_curve": picture})
        if result is not None:
            numbers = result.model_dump(exclude={"key", "configuration", "seed", "metrics", "provenance"})
            self._run.summary.update(numbers | result.metrics)
            self._run.config.update({"provenance": result.provenance}, allow_val_change=True)  # type: ignore[no-untyped-call]
        ending = {"outcome": state.outcome, "reason": state.reason, "digest": digest(self.folder, state)}
        self._run.summary.update(ending)
        self._run.finish(EXIT_CODES.get(state.outcome, 1))

    def _compare(self, train_loss: float) -> None:
        """Refuse to go on with a run that was trained elsewhere, with other last digits."""
        there = self._there["train_loss"]
        ended = self._there["outcome"] in ("finished", "diverged")
        if ended and isinstance(there, float | int) and not math.isclose(there, train_loss, rel_tol=1e-5):
            self._run.finish(EXIT_CODES.get(str(self._there["outcome"]), 1))
            raise ValueError(
                f"wandb has another run of this name (training loss {there:g} where it is {train_loss:g} here); "
                "delete that one there, or set WANDB_PROJECT"
            )

    def _send(self, step: int, values: dict[str, Any]) -> None:
        if step >= self._next:
            self._run.log(values, step=step, commit=True)
            self._next = step + 1


def digest(folder: RunFolder, state: State) -> str:
    """Of a run's curve and how it ended: wandb that has this has the run whole, but for what was cut off at the end."""
    return hashlib.sha256(folder.curve.read_bytes() + state.outcome.encode()).hexdigest()[:16]


def last_step(folder: RunFolder) -> int:
    """The last step of a run that wandb has whole; after the curve's comes that of the figure, where there is a result.

    -1 where the curve has no row yet.
    """
    with closing(CurveReader(folder.curve)) as curve:
        rows = curve.rows()
    return -1 if not rows else rows[-1].iteration + (folder.result() is not None)
