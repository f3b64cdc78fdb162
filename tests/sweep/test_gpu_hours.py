import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from resnet_ablations import experiments
from resnet_ablations.config import RunConfig
from resnet_ablations.data.imagenet import ImageNet
from resnet_ablations.overrides import compose
from resnet_ablations.sweep.estimates import GPU_FLOPS, hours_at_assumed_rate, multiply_adds_left
from resnet_ablations.sweep.planning import plan

# One worker counts each network once.
pytestmark = pytest.mark.xdist_group("counting")

STATED = re.compile(r"# At the paper's scale (\d+) runs, about (\d+) GPU-hours \(estimated from FLOPs at (\d+) TFLOP/s")


def gpu_hours(runs: Iterable[RunConfig]) -> float:
    """Return the GPU-hours of runs that have not begun."""
    return hours_at_assumed_rate(multiply_adds_left(runs))


def test_a_step_is_three_forward_passes_of_two_operations_a_multiply_add(tmp_path: Path) -> None:
    settings = ("network=resnet20", "schedule.iterations=10", "schedule.batch_size=32")
    one = compose(["data=cifar10", "data.root=.", f"paths.results={tmp_path}", *settings])

    # v1, section 4.2: 3×3 convolutions on 32², 16² and 8² positions, and the classifier's 64 × 10.
    positions = {16: 32 * 32, 32: 16 * 16, 64: 8 * 8}
    inner = sum(positions[width] * 9 * width * width * (6 if width == 16 else 5) for width in positions)
    entering = positions[16] * 9 * 3 * 16 + positions[32] * 9 * 16 * 32 + positions[64] * 9 * 32 * 64
    multiply_adds = inner + entering + 64 * 10
    assert gpu_hours([one]) == pytest.approx(multiply_adds * 6 * 10 * 32 / GPU_FLOPS / 3600)
    assert gpu_hours([one, one]) == pytest.approx(2 * gpu_hours([one]))


SOON = ("warmup", "imagenet_options")
"""The others have many networks or very deep ones, which take long to count."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] * (name not in SOON)) for name in experiments.experiment_names()],
)
def test_the_header_of_an_experiment_says_what_it_costs(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ImageNet, "check", lambda self: None)
    monkeypatch.setattr(ImageNet, "fingerprint", lambda self: None)
    places = [f"paths.{name}={tmp_path}" for name in ("data", "results")]
    places += [f"data.root={tmp_path}"] if name.startswith("imagenet") else []
    stated = STATED.search((experiments.EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8"))

    jobs = plan([f"experiment={name}", "scale=paper", *places]).jobs

    assert stated is not None
    runs, hours, tera = map(int, stated.groups())
    assert len(jobs) == runs
    assert gpu_hours(job.config for job in jobs) == pytest.approx(hours, rel=0.06, abs=0.01)
    assert tera * 1e12 == GPU_FLOPS
