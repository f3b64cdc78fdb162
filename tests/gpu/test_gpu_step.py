"""One training step on a GPU: what it launches, what it waits for, and what it multiplies with."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from watching import QUIET, launches_of, train_watched, train_without_waiting

from resnet_ablations.config import RunConfig
from resnet_ablations.network.masks import Mask, numbers_of_masks

Config = Callable[..., RunConfig]

pytestmark = pytest.mark.usefixtures("gpu")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("shortcut", ["identity", "dropout"])
def test_five_iterations_wait_for_nothing(config: Config, shortcut: str, precision: str) -> None:
    train_without_waiting(config(*QUIET, f"shortcut={shortcut}", f"precision={precision}"))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_an_iteration_launches_a_bounded_number_of_kernels(config: Config, precision: str) -> None:
    """On an H200 with torch 2.11 there were 433 in float32 and 507 in bf16."""
    launches = launches_of(config, "network.depth=20", f"precision={precision}")
    print(f"ResNet-20, {precision}: {launches:.0f} launches an iteration")
    assert 0 < launches <= 700


@pytest.mark.parametrize("rate", [0.5, 0.3])
def test_masks_are_those_of_a_cpu(rate: float) -> None:
    seen = []
    for device in ("cpu", "cuda"):
        mask = Mask(rate)
        numbers_of_masks([mask], 4, torch.device(device)).copy_(torch.arange(4) * 0x0123456789ABCDEF)
        seen.append(mask(torch.empty(4, 16, 12, 12, device=device)).cpu())
    assert torch.equal(*seen)


def error_of_products() -> tuple[float, float]:
    """The relative errors of a matrix product and of a convolution in float32, as torch is set now."""
    generator = torch.Generator("cuda").manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device="cuda")

    def error(product: Callable[..., torch.Tensor], *factors: torch.Tensor) -> float:
        exact = product(*(factor.double() for factor in factors))
        return ((product(*factors).double() - exact).norm() / exact.norm()).item()

    with torch.autocast("cuda", enabled=False):
        matrices = error(torch.mm, drawn(1024, 1024), drawn(1024, 1024))
        images = drawn(64, 64, 16, 16).to(memory_format=torch.channels_last)
        convolution = error(lambda x, w: F.conv2d(x, w, padding=1), images, drawn(64, 64, 3, 3))
    return matrices, convolution


@pytest.mark.parametrize(
    ("precision", "least", "most"), [("32-true", 0, 1e-5), ("tf32", 5e-5, 5e-3), ("bf16-mixed", 0, 1e-5)]
)
def test_tf32_is_on_where_it_is_asked_for_and_nowhere_else(
    config: Config, precision: str, least: float, most: float
) -> None:
    """Against float64, float32 products are wrong by some 10⁻⁷ and TF32's by some 3·10⁻⁴."""
    errors: list[float] = []
    train_watched(config(f"precision={precision}"), {3: lambda: errors.extend(error_of_products())})
    assert len(errors) == 2
    assert all(least <= error <= most for error in errors), errors
