"""One training step on a GPU: what it launches, what it waits for, and what it multiplies with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from watching import train_watched

from resnet_ablations.config import RunConfig

Config = Callable[..., RunConfig]

pytestmark = pytest.mark.usefixtures("gpu")

# Neither a row of the curve nor a checkpoint before the end.
QUIET = ("schedule.log_every=10", "schedule.evaluate_every=10")
LAUNCHES = ("LaunchKernel", "MemcpyAsync", "MemsetAsync", "GraphLaunch")
"""What the names of the CUDA calls contain that give the GPU something to do."""


@contextmanager
def sync_debug_mode() -> Iterator[None]:
    """Sets torch's watch over synchronisations back at the end."""
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("shortcut", ["identity", "dropout"])
@pytest.mark.xfail(raises=RuntimeError, strict=False, reason="indices and shifts are copied from pageable memory")
def test_five_iterations_wait_for_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch, shortcut: str, precision: str
) -> None:
    run = config(*QUIET, f"shortcut={shortcut}", f"precision={precision}")
    with sync_debug_mode():
        train_watched(
            monkeypatch,
            run,
            {
                3: lambda: torch.cuda.set_sync_debug_mode("error"),
                8: lambda: torch.cuda.set_sync_debug_mode("default"),
            },
        )


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_an_iteration_launches_a_bounded_number_of_kernels(
    config: Config, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """At most 30 launches for each layer with weights and micro-batch."""
    run = config(*QUIET, "network.depth=20", f"precision={precision}")
    profiler = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
    train_watched(monkeypatch, run, {4: profiler.start, 8: profiler.stop})
    counts = {event.key: event.count for event in profiler.key_averages()}
    launches = sum(count for name, count in counts.items() if name.startswith("cu") and name.endswith(LAUNCHES)) / 4
    print(f"ResNet-20, two micro-batches, {precision}: {launches:.0f} launches an iteration")
    assert 0 < launches <= 30 * 20 * (run.schedule.batch_size // run.bn_batch)


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
    config: Config, monkeypatch: pytest.MonkeyPatch, precision: str, least: float, most: float
) -> None:
    """Against float64, float32 products are wrong by some 10⁻⁷ and TF32's by some 3·10⁻⁴."""
    errors: list[float] = []
    train_watched(monkeypatch, config(f"precision={precision}"), {3: lambda: errors.extend(error_of_products())})
    assert len(errors) == 2
    assert all(least <= error <= most for error in errors), errors
