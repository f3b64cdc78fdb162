"""The gradients along all paths of a small network, against autograd's gradient."""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_ablations.build import network_for
from resnet_ablations.config import RunConfig
from resnet_ablations.network.resnet import ResNet
from resnet_ablations.probe.path_gradients import Paths, path_gradients

Config = Callable[..., RunConfig]
LABELS = torch.tensor([0, 1, 2])
GATE = "shortcut.gate_bias=-1"
FLAT = "network.widths=[16,16,16]"
NETWORKS: dict[str, tuple[tuple[str, ...], float]] = {
    "identity": ((), 1e-12),
    "pre-activation": (("activation=full_preactivation", "network.dimension_change=projection"), 1e-12),
    "λ = 0.5": (("shortcut=constant_scaling", "shortcut.shortcut_scale=0.5", "shortcut.residual_scale=0.5"), 1e-12),
    "plain": (("shortcut=plain",), 1e-12),
    # A gate is computed in float32.
    "exclusive gating": (("shortcut=exclusive_gating", GATE, "shortcut.varied_units=all"), 1e-6),
    "shortcut-only gating": (("shortcut=shortcut_only_gating", GATE), 1e-6),
}


@pytest.fixture
def built(config: Config) -> Callable[..., ResNet]:
    def build(*overrides: str) -> ResNet:
        network = network_for(config("network.depth=14", *overrides), channels=3, classes=10).double()
        assert isinstance(network, ResNet)
        network(2 * images() + 1)
        return network.eval()

    return build


def images() -> Tensor:
    return torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def gradient_of(network: ResNet) -> Tensor:
    inputs = images().requires_grad_()
    (found,) = torch.autograd.grad(F.cross_entropy(network(inputs), LABELS, reduction="sum"), inputs)
    return found


def close(one: Tensor, other: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * other.abs().max().item())


@pytest.mark.parametrize("name", NETWORKS)
def test_all_paths_add_up_to_the_gradient(built: Callable[..., ResNet], name: str) -> None:
    overrides, tolerance = NETWORKS[name]
    network = built(*overrides)
    paths = Paths(network, images(), LABELS)
    along = {taken: paths.along(torch.tensor([taken] * 3)) for taken in product([False, True], repeat=6)}
    close(sum(along.values(), torch.zeros(())), gradient_of(network), tolerance)
    by_length = paths.by_length()
    assert len(by_length) == 7
    for length, together in enumerate(by_length):
        close(together, sum((g for taken, g in along.items() if sum(taken) == length), torch.zeros(())), 1e-6)


def test_the_path_without_a_branch_is_the_direct_term(built: Callable[..., ResNet]) -> None:
    """λ = ½ in all six units, and nothing follows the addition."""
    halves = "shortcut=constant_scaling", "shortcut.shortcut_scale=0.5", "shortcut.residual_scale=1"
    network = built(*halves, "activation=full_preactivation", "network.shared_preactivation=projections", FLAT)
    x = network.stem(inputs := images().requires_grad_())
    last = network.units(x).detach().requires_grad_()
    loss = F.cross_entropy(network.classifier(network.end(last).mean(dim=(2, 3))), LABELS, reduction="sum")
    (at_last,) = torch.autograd.grad(loss, last)
    subsampled = x[:, :, ::4, ::4]  # option A, twice
    (expected,) = torch.autograd.grad(subsampled, inputs, at_last / 64)
    close(Paths(network, images(), LABELS).by_length()[0], expected, 1e-12)


def test_each_image_takes_its_own_path(built: Callable[..., ResNet]) -> None:
    paths = Paths(built(), images(), LABELS)
    taken = torch.tensor([[False] * 6, [True] * 6, [True, False] * 3])
    alone = [paths.along(one.expand(3, 6))[number] for number, one in enumerate(taken)]
    close(paths.along(taken), torch.stack(alone), 1e-12)


def test_the_table_of_path_lengths(built: Callable[..., ResNet], monkeypatch: pytest.MonkeyPatch) -> None:
    """All paths of a length are taken if there are at most 15; there are 20 of length 3, so these are sampled."""
    taken: list[Tensor] = []
    along = Paths.along
    monkeypatch.setattr(Paths, "along", lambda self, paths: taken.append(paths) or along(self, paths))
    monkeypatch.setattr("resnet_ablations.probe.path_gradients.SAMPLES", 15)
    rows = list(path_gradients(network := built(), images(), LABELS, seed=0))
    assert [(row.length, row.paths) for row in rows] == [(k, math.comb(6, k)) for k in range(7)]
    of_length = [[one for one in taken if one.sum(1).tolist() == [length] * 3] for length in range(7)]
    assert [len(of) for of in of_length] == [1, 6, 15, 5, 15, 6, 1]
    for length in (0, 1, 2, 4, 5, 6):
        for image in range(3):
            assert len({tuple(one[image].tolist()) for one in of_length[length]}) == math.comb(6, length)
    for row in (rows[0], rows[6]):  # one path
        assert 0 < row.one_path == pytest.approx(row.all_paths, rel=1e-12)
    for length in (2, 3):
        norms = [
            along(Paths(network, images(), LABELS), one).flatten(1).norm(dim=1).mean() for one in of_length[length]
        ]
        assert rows[length].one_path == pytest.approx(sum(norms).item() / len(norms), rel=1e-12)
    assert rows == list(path_gradients(network, images(), LABELS, seed=0))


def test_a_plain_network_has_one_path(built: Callable[..., ResNet], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_ablations.probe.path_gradients.SAMPLES", 3)
    rows = list(path_gradients(built("shortcut=plain"), images(), LABELS, seed=0))
    assert [row.one_path > 0 for row in rows] == [False] * 6 + [True]
