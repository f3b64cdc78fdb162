"""Batch normalisation of several micro-batches in one pass, against one pass for each."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.training.compute import micro_batches_per_pass
from resnet_ablations.training.micro_batch_norm import MicroBatchNorm2d, normalise_by_micro_batch
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]

MICRO_BATCHES = 4


def gradients_and_buffers(config: RunConfig, per_pass: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Two updates on 32 images in 4 micro-batches of 8; a pass takes `per_pass` of them."""
    torch.manual_seed(0)
    network = build_network(config).to(dtype)
    if per_pass > 1:
        normalise_by_micro_batch(network, per_pass)
    passes = MICRO_BATCHES // per_pass
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(2):
        images, labels = torch.randn(32, 1, 8, 8, dtype=dtype), torch.randint(10, (32,))
        optimizer.zero_grad()
        for share, answers in zip(images.chunk(passes), labels.chunk(passes), strict=True):
            (F.cross_entropy(network(share), answers) / passes).backward()
        optimizer.step()
    gradients = {f"{name}.grad": p.grad for name, p in network.named_parameters() if p.grad is not None}
    return gradients | dict(network.named_buffers())


# Relative to a tensor's largest value. In float32, rounding turns the sign of a ReLU's input now and then, which moves
# a gradient by up to 10⁻²; in float64 that did not happen.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-2)])
@pytest.mark.parametrize("per_pass", [2, 4])
@pytest.mark.parametrize(
    "overrides", [(), ("shortcut=exclusive_gating", "shortcut.batch_norm=true"), ("activation=full_preactivation",)]
)
def test_one_pass_is_equal_to_micro_batches(
    config: Config, overrides: tuple[str, ...], per_pass: int, dtype: torch.dtype, tolerance: float
) -> None:
    """Compare gradients and running statistics, which are updated in the order of the micro-batches."""
    run = config(*overrides, "bn_batch=8")
    one, several = gradients_and_buffers(run, 1, dtype), gradients_and_buffers(run, per_pass, dtype)
    assert list(one) == list(several)
    for name, expected in one.items():
        distance = (several[name] - expected).abs().max() / expected.abs().max().clamp(min=1e-3)
        assert distance < tolerance, name
    assert {int(value) for name, value in several.items() if name.endswith("num_batches_tracked")} == {
        2 * MICRO_BATCHES
    }


def test_one_micro_batch_of_all_images_gives_other_numbers(config: Config) -> None:
    """Else the test above could not fail."""
    network = build_network(config())
    images = torch.randn(32, 1, 8, 8)
    whole = network(images)
    normalise_by_micro_batch(network, MICRO_BATCHES)
    assert (network(images) - whole).abs().max() > 1e-2


def test_a_layer_keeps_its_parameters_names_hooks_and_evaluation() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Sequential(nn.BatchNorm2d(5)))
    seen: list[nn.Module] = []
    network[1][0].register_forward_hook(lambda module, inputs, output: seen.append(module))
    before = network.state_dict(keep_vars=True)
    images = torch.randn(4, 3, 2, 2)
    network(images)
    evaluated = network.eval()(images)
    normalise_by_micro_batch(network, 2)
    after = network.state_dict(keep_vars=True)
    assert list(before) == list(after)
    assert all(before[name] is after[name] for name in before)
    assert isinstance(network[1][0], MicroBatchNorm2d)
    assert torch.equal(network(images), evaluated)
    assert seen[-1] is network[1][0]
    assert network.train()(images.to(memory_format=torch.channels_last)).is_contiguous(
        memory_format=torch.channels_last
    )


def test_a_run_in_fewer_passes_is_the_same_but_for_rounding(config: Config) -> None:
    """Also its masks, where a pass is the whole of the batch in both."""
    settings = ("bn_batch=8", "schedule.iterations=2")
    one = train_run(config(*settings, f"paths.results={config().paths.results}1"))
    for per_pass in (2, 4):
        results = f"paths.results={config().paths.results}-{per_pass}"
        several = train_run(config(*settings, results, f"trainer.micro_batches_per_pass={per_pass}"))
        assert several.train_loss == pytest.approx(one.train_loss, rel=1e-4)
        assert several.test_loss == pytest.approx(one.test_loss, rel=1e-3)
        assert several.weights != one.weights, "it is another computation"


def test_how_many_by_default() -> None:
    assert micro_batches_per_pass(None, 4, torch.device("cpu")) == 1
    assert micro_batches_per_pass(None, 4, torch.device("cuda", 0)) == 4
    assert micro_batches_per_pass(2, 4, torch.device("cuda", 0)) == 2


def test_passes_are_equal(config: Config) -> None:
    with pytest.raises(
        UserError, match=r"trainer\.micro_batches_per_pass=3: must divide 4, the number of micro-batches of bn_batch=8"
    ):
        config("bn_batch=8", "trainer.micro_batches_per_pass=3")
    with pytest.raises(UserError, match="allowed: 1, 2, null"):
        config("bn_batch=8", "trainer=ddp", "trainer.devices=2", "trainer.micro_batches_per_pass=4")
