"""The plans of experiments, each made once in a process, without data."""

import tempfile
from functools import cache

import pytest

from resnet_ablations.data.imagenet import ImageNet
from resnet_ablations.results.sweeps import SweepPlan
from resnet_ablations.sweep.planning import plan


@cache
def planned(experiment: str, scale: str) -> SweepPlan:
    """Return the plan of an experiment at a scale, as a sweep saves it."""
    data = tempfile.gettempdir()
    root = [f"data.root={data}"] if experiment.startswith("imagenet") and scale != "quick" else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageNet, "check", lambda self: None)
        patch.setattr(ImageNet, "fingerprint", lambda self: None)
        record = plan([f"experiment={experiment}", f"scale={scale}", f"paths.data={data}", *root]).record
    assert record is not None
    return record
