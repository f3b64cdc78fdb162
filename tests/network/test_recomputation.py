"""`trainer.recompute` saves memory and changes no number, bit for bit."""

import copy
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from made import combined, composed, shaken, small
from torch import Tensor, nn

from resnet_ablations.build import network_for
from resnet_ablations.config import RunConfig
from resnet_ablations.network.cost import cost
from resnet_ablations.network.units import ResidualUnit


def recomputing(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"trainer": config.trainer.model_copy(update={"recompute": True})})


def both(config: RunConfig) -> tuple[nn.Module, nn.Module]:
    """Return a network that keeps its activations, and one with the same weights that recomputes them."""
    torch.manual_seed(0)
    keeping = shaken(network_for(config, channels=3, classes=10))
    again = network_for(recomputing(config), channels=3, classes=10)
    again.load_state_dict(copy.deepcopy(keeping.state_dict()))
    return keeping, again


def steps(network: nn.Module, precision: str, *, training: bool = True) -> dict[str, Tensor]:
    """All there is to compare after two steps: logits, gradients, weights, running statistics, and torch's next
    random number."""
    torch.manual_seed(1)
    network.train(training)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    seen = {}
    for step in range(2):
        autocast = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()
        optimizer.zero_grad()
        with autocast:
            logits = network(torch.randn(4, 3, 8, 8))
            loss = F.cross_entropy(logits, torch.tensor([0, 1, 2, 3]))
        loss.backward()
        optimizer.step()
        seen[f"{step}: logits"] = logits.detach()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None
            seen[f"{step}: gradient of {name}"] = parameter.grad.clone()
    return seen | network.state_dict() | {"random": torch.rand(3)}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("shortcut", ["identity", "dropout", "exclusive_gating", "conv1x1", "plain"])
@pytest.mark.parametrize(("network", "activation"), [("resnet20", "original"), ("resnet164", "full_preactivation")])
def test_recomputation_changes_no_number(network: str, activation: str, shortcut: str, precision: str) -> None:
    keeping, again = (steps(each, precision) for each in both(small(combined(network, activation, shortcut), units=2)))
    assert list(keeping) == list(again)
    for name, value in keeping.items():
        assert torch.equal(value, again[name]), name
    moved = [value for name, value in again.items() if name.endswith("num_batches_tracked")]
    assert moved
    assert all(value == 2 for value in moved), "running statistics follow each batch once"


def test_recomputation_changes_no_number_in_evaluation() -> None:
    keeping, again = (steps(each, "float32", training=False) for each in both(small(combined("resnet20"), units=2)))
    for name, value in keeping.items():
        assert torch.equal(value, again[name]), name


def test_running_statistics_are_followed_again_afterwards() -> None:
    _, again = both(small(combined("resnet20")))
    steps(again, "float32")
    assert all(module.track_running_stats for module in again.modules() if isinstance(module, nn.BatchNorm2d))


@pytest.mark.parametrize(
    ("units", "again"),
    [
        (1, [2, 0, 1]),
        (3, [6, 7, 8, 3, 4, 5, 0, 1, 2]),
        (4, [8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3]),
    ],
)
def test_units_run_again_segment_by_segment(units: int, again: list[int]) -> None:
    """Segments have √n of n units, so that both the kept and the recomputed activations are few; for every n."""
    config = recomputing(small(combined("resnet20"), units))
    network = network_for(config, channels=3, classes=10)
    calls: list[int] = []
    for index, unit in enumerate(module for module in network.modules() if isinstance(module, ResidualUnit)):
        # The first operation: a repetition stops once it has what the backward pass needs.
        unit.branch[0].register_forward_hook(lambda *_, index=index: calls.append(index))
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    assert calls == [*range(3 * units), *again]
    calls.clear()
    with torch.no_grad():
        network(torch.randn(2, 3, 8, 8))
    assert calls == [*range(3 * units)]


def test_kept_activations_grow_with_the_square_root_of_the_depth() -> None:
    """A network of 54 units keeps the inputs of seven segments instead of all activations."""
    config = small(combined("resnet20"), units=18, width=4)
    kept = []
    for each in (config, recomputing(config)):
        with torch.device("meta"):
            network = network_for(each, channels=3, classes=10)
        kept.append(cost(network, (2, 3, 8, 8)).activation_bytes)
    largest, ends = 4 * 2 * 4 * 8 * 8, 4 * 2 * (3 + 3 * 4) * 8 * 8
    assert kept[0] > 2 * 54 * largest
    assert kept[1] < 7 * largest + ends


@pytest.mark.parametrize(
    "overrides",
    [("network=resnet1001", "activation=full_preactivation"), ("network=resnet1202",)],
    ids=["resnet1001", "resnet1202"],
)
def test_the_deepest_networks_take_a_training_step(overrides: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    network = network_for(composed(*overrides, "trainer.recompute=true"), channels=3, classes=10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    loss = F.cross_entropy(network(torch.randn(4, 3, 8, 8)), torch.tensor([0, 1, 2, 3]))
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    for (name, parameter), start in zip(network.named_parameters(), before, strict=True):
        assert parameter.isfinite().all(), name
        assert not torch.equal(parameter, start), name
