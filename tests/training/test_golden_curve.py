"""The curve of a tiny run is the stored one, on any CPU: order, crops, masks, initial weights and arithmetic.

Rounding differs between CPUs and changes these losses by less than a thousandth. Another order, another mask or other
weights change them by more.
"""

import csv
from collections.abc import Callable

import pytest

from resnet_ablations.config import RunConfig
from resnet_ablations.training.run import train_run

RUN = ("shortcut=dropout", "bn_batch=16", "data.augmentation.pad=1", "schedule.log_every=1")
GOLDEN = [2.2679, 2.2702, 2.2988, 2.2869, 2.3833, 2.4722]


def test_six_steps(config: Callable[..., RunConfig]) -> None:
    run = config(*RUN)
    train_run(run)
    with run.folder.curve.open() as curve:
        losses = [float(row["train_loss"]) for row in csv.DictReader(curve)]
    assert losses == pytest.approx(GOLDEN, rel=1e-3)
