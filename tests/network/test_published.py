"""The same numbers as other people's networks: torchvision's, and those of both papers written anew.

In double precision, so that only a difference in what is computed can show: logits, the gradient of every parameter
and the running statistics, in training and in evaluation.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from made import composed, shaken
from torch import Tensor, nn

from resnet_ablations.build import network_for

modes = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


def ours(*overrides: str, classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    return shaken(network_for(composed(*overrides), channels=3, classes=classes)).double()


def images_and_labels(images: int, size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(images, 3, size, size, dtype=torch.float64, generator=generator),
        torch.randint(10, (images,), generator=generator),
    )


def assert_equal(what: str, first: Tensor | None, second: Tensor | None) -> None:
    """Assert equality to nine digits of the largest value."""
    assert first is not None
    assert second is not None
    assert first.shape == second.shape, what
    assert (first - second).abs().max() <= 1e-9 * second.abs().max(), what


TORCHVISIONS = {
    "resnet18": ("network=imagenet_resnet18", "network.dimension_change=projection"),
    "resnet34": ("network=imagenet_resnet34", "network.dimension_change=projection"),
    "resnet50": ("network=imagenet_resnet50", "network.bottleneck_stride=conv3x3"),
    "resnet101": ("network=imagenet_resnet101", "network.bottleneck_stride=conv3x3"),
    "resnet152": ("network=imagenet_resnet152", "network.bottleneck_stride=conv3x3"),
}
"""Option B everywhere and, in bottlenecks, the stride in the 3×3 convolution."""


DEEP = ("resnet101", "resnet152")
"""Networks of the units of ResNet-50, and more of them; the shapes of their parameters are compared without values."""


@pytest.mark.parametrize("model", TORCHVISIONS)
def test_shapes_of_torchvisions_resnets(model: str) -> None:
    with torch.device("meta"):
        network = network_for(composed(*TORCHVISIONS[model]), channels=3, classes=10)
        theirs = getattr(torchvision.models, model)(num_classes=10)
    shapes, expected = ([tuple(value.shape) for value in each.state_dict().values()] for each in (network, theirs))
    assert shapes == expected
    strides, expected_strides = (
        [(module.kernel_size, module.stride) for module in each.modules() if isinstance(module, nn.Conv2d)]
        for each in (network, theirs)
    )
    assert strides == expected_strides


@pytest.mark.parametrize(
    "model", [pytest.param(model, marks=[pytest.mark.long] * (model in DEEP)) for model in TORCHVISIONS]
)
def test_torchvisions_resnets(model: str) -> None:
    network = ours(*TORCHVISIONS[model])
    with torch.device("meta"):
        theirs = getattr(torchvision.models, model)(num_classes=10)
    values = [value.clone() for value in network.state_dict().values()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)), assign=True)
    # Small where that is enough: the last feature map has four pixels or one.
    batch, labels = images_and_labels(3, 64 if model in ("resnet18", "resnet34") else 32)
    with torch.no_grad():
        assert_equal("logits in evaluation", network.eval()(batch), theirs.eval()(batch))
    logits, expected = network.train()(batch), theirs.train()(batch)
    assert_equal("logits in training", logits, expected)
    F.cross_entropy(logits, labels).backward()
    F.cross_entropy(expected, labels).backward()
    for (name, parameter), other in zip(network.named_parameters(), theirs.parameters(), strict=True):
        assert_equal(name, parameter.grad, other.grad)
    for (name, buffer), other in zip(network.named_buffers(), theirs.buffers(), strict=True):
        assert_equal(name, buffer.double(), other.double())


class Functional:
    """Convolutions, BN and classifier as plain functions, on copies of a network's parameters and buffers."""

    def __init__(self, network: nn.Module, training: bool) -> None:
        self.training = training
        self.parameters = {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}
        self.buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.parameters[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=(weight.shape[-1] - 1) // 2)

    def bn(self, name: str, x: Tensor) -> Tensor:
        statistics = self.buffers[f"{name}.running_mean"], self.buffers[f"{name}.running_var"]
        affine = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        return F.batch_norm(x, *statistics, *affine, training=self.training, momentum=0.1)

    def bn_relu(self, name: str, x: Tensor) -> Tensor:
        return F.relu(self.bn(name, x))

    def pooled_and_classified(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, x.shape[-1]).flatten(1)
        return F.linear(pooled, self.parameters["classifier.weight"], self.parameters["classifier.bias"])


def assert_same_as(
    written: Callable[[Functional, Tensor], Tensor], network: nn.Module, training: bool, size: int
) -> None:
    """Compare a network and a function with the same weights."""
    functions = Functional(network, training)
    batch, labels = images_and_labels(6, size)
    logits, expected = network.train(training)(batch), written(functions, batch)
    assert_equal("logits", logits, expected)
    F.cross_entropy(logits, labels).backward()
    F.cross_entropy(expected, labels).backward()
    for name, parameter in network.named_parameters():
        assert_equal(name, parameter.grad, functions.parameters[name].grad)
    for name, buffer in network.named_buffers():
        if not name.endswith("num_batches_tracked"):
            assert_equal(name, buffer, functions.buffers[name])


def half_appended(x: Tensor) -> Tensor:
    return torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x[:, :, ::2, ::2])], dim=1)


def half_around(x: Tensor) -> Tensor:
    quarter = x.shape[1] // 2
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))


def pooled_and_appended(x: Tensor) -> Tensor:
    pooled = F.avg_pool2d(x, kernel_size=2)
    return torch.cat([pooled, 0 * pooled], dim=1)


FORMS = {
    "zero_pad": half_appended,
    "zero_pad_both_sides": half_around,
    "average_pool": pooled_and_appended,
}


@modes
@pytest.mark.parametrize("form", FORMS)
def test_resnet20_with_option_a(form: str, training: bool) -> None:
    """v1, section 4.2, with n = 3."""

    def resnet20(net: Functional, images: Tensor) -> Tensor:
        x = net.bn_relu("stem.1", net.conv("stem.0", images))
        for unit in range(9):
            narrows = unit in (3, 6)
            z = net.bn_relu(f"units.{unit}.branch.1", net.conv(f"units.{unit}.branch.0", x, 2 if narrows else 1))
            z = net.bn(f"units.{unit}.branch.4", net.conv(f"units.{unit}.branch.3", z))
            x = F.relu(z + (FORMS[form](x) if narrows else x))
        return net.pooled_and_classified(x)

    network = ours("network=resnet20", f"network.dimension_change={form}")
    assert_same_as(resnet20, network, training, size=32)


@modes
def test_preactivation_bottlenecks(training: bool) -> None:
    """v2's appendix and KaimingHe/resnet-1k-layers, with n = 2.

    16→64→128→256; of the three projecting units BN-ReLU comes before the split, the first one's right after conv1;
    their 1×1 shortcut has no BN; the stride is in the first 1×1; at the end BN-ReLU.
    """

    def preactivation_resnet20(net: Functional, images: Tensor) -> Tensor:
        x = net.conv("stem.0", images)
        for unit in range(6):
            activated = net.bn_relu(f"units.{unit}.first.0" if unit else "stem.1", x)
            stride = 2 if unit in (2, 4) else 1
            z = net.conv(f"units.{unit}.branch.0", activated, stride)
            z = net.conv(f"units.{unit}.branch.3", net.bn_relu(f"units.{unit}.branch.1", z))
            z = net.conv(f"units.{unit}.branch.6", net.bn_relu(f"units.{unit}.branch.4", z))
            projects = unit in (0, 2, 4)
            x = z + (net.conv(f"units.{unit}.shortcut.match.0", activated, stride) if projects else x)
        return net.pooled_and_classified(net.bn_relu("end.0", x))

    network = ours("network=resnet164", "network.depth=20", "activation=full_preactivation")
    assert {len(weight) for name, weight in network.named_parameters() if "branch.6" in name} == {64, 128, 256}
    assert_same_as(preactivation_resnet20, network, training, size=16)
