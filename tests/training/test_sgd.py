"""Caffe's momentum with torch's SGD: v ← m·v + lr·(g + wd·w), w ← w − v; Nesterov's: w ← w − (m·v + lr·(g + wd·w))."""

import pytest
import torch
from torch import Tensor

from resnet_ablations.training.sgd import set_learning_rate

MOMENTUM, DECAY = 0.9, 0.05
RATES = [0.01, 0.01, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.1]


def gradients(steps: int) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(7, dtype=torch.float64) for _ in range(steps)]


def by_torch(rates: list[float], start: Tensor, *, ours: bool, nesterov: bool = False) -> list[Tensor]:
    weight = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([weight], lr=rates[0], momentum=MOMENTUM, weight_decay=DECAY, nesterov=nesterov)
    path = []
    for rate, gradient in zip(rates, gradients(len(rates)), strict=True):
        weight.grad = gradient.clone()
        if ours:
            set_learning_rate(optimizer, rate)
        else:
            optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        path.append(weight.detach().clone())
    return path


def by_hand(rates: list[float], start: Tensor, *, nesterov: bool = False) -> list[Tensor]:
    weight, v, path = start.clone(), torch.zeros_like(start), []
    for rate, gradient in zip(rates, gradients(len(rates)), strict=True):
        step = rate * (gradient + DECAY * weight)
        v = MOMENTUM * v + step
        weight = weight - (MOMENTUM * v + step if nesterov else v)
        path.append(weight)
    return path


START = torch.linspace(-1, 1, 7, dtype=torch.float64)


@pytest.mark.parametrize("nesterov", [False, True])
def test_steps_are_caffes_also_where_the_rate_changes(nesterov: bool) -> None:
    ours, expected = by_torch(RATES, START, ours=True, nesterov=nesterov), by_hand(RATES, START, nesterov=nesterov)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_torchs_own_update_differs_from_caffes() -> None:
    """Otherwise the test above could not fail."""
    plain, caffe = by_torch(RATES, START, ours=False), by_hand(RATES, START)
    torch.testing.assert_close(plain[:2], caffe[:2], rtol=1e-12, atol=1e-12)
    assert (plain[2] - caffe[2]).abs().max() > 1e-3


def test_torchs_form_is_torchs_also_where_the_rate_changes() -> None:
    weights = [torch.nn.Parameter(START.clone()) for _ in range(2)]
    ours, torchs = (torch.optim.SGD([w], lr=RATES[0], momentum=MOMENTUM, nesterov=True) for w in weights)
    for rate, gradient in zip(RATES, gradients(len(RATES)), strict=True):
        for weight in weights:
            weight.grad = gradient.clone()
        set_learning_rate(ours, rate, "torch")
        torchs.param_groups[0]["lr"] = rate
        ours.step()
        torchs.step()
    assert torch.equal(*weights)
    assert not torch.equal(weights[0], START)


@pytest.mark.parametrize("nesterov", [False, True])
def test_at_a_constant_rate_the_update_equals_torchs(nesterov: bool) -> None:
    rates = [0.1] * 6
    ours, torchs = (by_torch(rates, START, ours=ours, nesterov=nesterov) for ours in (True, False))
    torch.testing.assert_close(ours, torchs, rtol=0, atol=0)


def test_nesterovs_update_is_another_one() -> None:
    plain, nesterov = (by_torch([0.1] * 2, START, ours=True, nesterov=nesterov) for nesterov in (False, True))
    assert (plain[0] - nesterov[0]).abs().max() > 1e-3


def test_every_group_gets_the_rate_and_keeps_its_decay() -> None:
    parameters = [torch.nn.Parameter(START.clone()) for _ in range(2)]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=MOMENTUM, weight_decay=DECAY)
    set_learning_rate(optimizer, 0.02)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.02, DECAY), (0.02, 0.0)]
