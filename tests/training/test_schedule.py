"""The learning rate: the paper's schedule at its boundaries, and the optimiser's real rate."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.results.run_folder import RunFolder
from resnet_ablations.training.run import train_run

PAPER = {
    0: 0.01,
    399: 0.01,
    400: 0.1,
    31_999: 0.1,
    32_000: 0.01,
    47_999: 0.01,
    48_000: 0.001,
    63_999: 0.001,
}
"""v2, appendix: 0.01 for the first 400 iterations, 0.1, ÷10 at 32k and 48k."""


@pytest.mark.parametrize(("iteration", "learning_rate"), PAPER.items())
def test_the_papers_learning_rate(config: Callable[..., RunConfig], iteration: int, learning_rate: float) -> None:
    schedule = config("schedule=paper", "schedule.warmup_iterations=400", "schedule.milestones=[32000,48000]").schedule
    assert schedule.learning_rate_at(iteration) == pytest.approx(learning_rate, rel=1e-12)


def test_the_paper_schedule_is_the_papers() -> None:
    from resnet_ablations.overrides import compose

    schedule = compose(["schedule=paper"]).schedule
    assert {t: schedule.learning_rate_at(t) for t in PAPER} == pytest.approx(PAPER, rel=1e-12)
    assert (schedule.iterations, schedule.batch_size) == (64_000, 128)
    assert (schedule.momentum, schedule.weight_decay, schedule.weight_decay_on) == (0.9, 1e-4, "all")


def test_without_warm_up_the_first_update_has_the_full_rate(config: Callable[..., RunConfig]) -> None:
    assert config("schedule.warmup_iterations=0").schedule.learning_rate_at(0) == 0.1


def test_the_rate_is_divided_by_the_decay_factor_at_each_milestone(config: Callable[..., RunConfig]) -> None:
    schedule = config("schedule.warmup_iterations=0", "schedule.milestones=[4,6]", "schedule.decay_factor=5").schedule
    assert [schedule.learning_rate_at(t) for t in (3, 4, 6)] == pytest.approx([0.1, 0.02, 0.004], rel=1e-12)


def test_nesterovs_momentum_without_momentum_is_a_mistake(config: Callable[..., RunConfig]) -> None:
    with pytest.raises(UserError, match=r"schedule\.nesterov=true: needs schedule\.momentum greater than 0"):
        config("schedule.nesterov=true", "schedule.momentum=0")


def test_the_warm_up_ends_with_the_first_row_below_the_training_error(config: Callable[..., RunConfig]) -> None:
    """v1: 0.01 "until the training error is below 80%"; measured at the rows of the curve."""
    run = [
        "schedule.iterations=12",
        "schedule.milestones=[11]",
        "schedule.log_every=2",
        "schedule.evaluate_every=12",
        "schedule.warmup_iterations=10",
    ]

    def rows(until: float | None) -> list[tuple[float, float]]:
        train_run(trained := config(*run, f"schedule.warmup_until_error={'null' if until is None else until}"))
        lines = trained.folder.curve.read_text().splitlines()[1:]
        return [(float(line.split(",")[1]), float(line.split(",")[3])) for line in lines]

    whole = rows(None)
    assert [rate for rate, _ in whole] == pytest.approx([0.01] * 5 + [0.01])
    errors = [error for _, error in whole[:4]]
    until = sum(sorted(errors)[:2]) / 2
    first = next(number for number, error in enumerate(errors) if error < until)
    assert 0 < first < 4, "else this test could not fail"
    ended = rows(until)
    assert ended[: first + 1] == whole[: first + 1]
    assert [rate for rate, _ in ended] == pytest.approx([0.01] * (first + 1) + [0.1] * (4 - first) + [0.01])


@pytest.mark.parametrize("bn_batch", [32, 8])
def test_the_optimiser_used_the_schedules_rate(
    config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, bn_batch: int
) -> None:
    """Measured after each step, and by the movement of a parameter without momentum and decay."""
    told: list[float] = []
    moved: list[float] = []
    step = torch.optim.SGD.step

    def spying(self: torch.optim.SGD, closure: Any = None) -> Any:
        bias = self.param_groups[0]["params"][-1]
        before = bias.detach().clone()
        loss = step(self, closure)
        told.append(self.param_groups[0]["lr"])
        moved.append(((before - bias).norm() / bias.grad.norm()).item())
        return loss

    monkeypatch.setattr(torch.optim.SGD, "step", spying)
    expected = [0.01, 0.01, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    run = config(
        "schedule.iterations=8",
        "schedule.milestones=[4,6]",
        "schedule.momentum=0",
        "schedule.weight_decay=0",
        "schedule.log_every=1",
        f"bn_batch={bn_batch}",
    )
    train_run(run)
    assert told == pytest.approx(expected, rel=1e-6)
    assert moved == pytest.approx(expected, rel=1e-2)
    rows = RunFolder(run.paths.results, run.key).curve.read_text().splitlines()[1:]
    assert [float(row.split(",")[1]) for row in rows] == pytest.approx(expected, rel=1e-6)
