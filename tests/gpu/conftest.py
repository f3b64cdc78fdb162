"""Tests that need a CUDA GPU; with `--device cpu` they use a CPU if the test allows it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from resnet_ablations.config import RunConfig
from resnet_ablations.overrides import compose

# Ten iterations of two micro-batches; the learning rate changes at 2 and 6.
SETTINGS = (
    "network.depth=8",
    "bn_batch=16",
    "schedule.iterations=10",
    "schedule.warmup_iterations=2",
    "schedule.milestones=[6]",
    "schedule.log_every=2",
    "schedule.evaluate_every=5",
    "trainer.threads=1",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", choices=("gpu", "cpu"), default="gpu", help="what the tests of tests/gpu train on")


@pytest.fixture(scope="session", autouse=True)
def device(request: pytest.FixtureRequest) -> str:
    """The value of `trainer.accelerator`."""
    device = request.config.getoption("--device", "gpu")
    if device == "gpu" and not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here")
    return device


@pytest.fixture
def gpu(device: str) -> None:
    """Skip a test that needs a GPU."""
    if device == "cpu":
        pytest.skip("only a GPU has what this test looks at")


@pytest.fixture
def settings(device: str, tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that extends the overrides of a run of ResNet-8 on the digits; results are in `tmp_path`."""

    def make(*overrides: str, results: str = "results") -> list[str]:
        paths = (f"paths.results={tmp_path / results}", f"paths.data={tmp_path / 'data'}")
        return [*SETTINGS, f"trainer={device}", *paths, *overrides]

    return make


@pytest.fixture
def config(settings: Callable[..., list[str]]) -> Callable[..., RunConfig]:
    """Return a function that composes the run of `settings`."""
    return lambda *overrides, results="results": compose(settings(*overrides, results=results))
