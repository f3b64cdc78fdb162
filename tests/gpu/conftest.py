"""Tests on a CUDA GPU; without one, those run that a CPU allows, so that they do not go stale."""

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
    parser.addoption(
        "--device", choices=("gpu", "cpu"), help="what tests/gpu trains on; by default a GPU if there is one"
    )


@pytest.fixture(scope="session", autouse=True)
def device(request: pytest.FixtureRequest) -> str:
    """The value of `trainer.accelerator`."""
    here = "gpu" if torch.cuda.is_available() else "cpu"
    device: str = request.config.getoption("--device", None) or here
    if device == "gpu" != here:
        pytest.skip("no CUDA GPU here")
    return device


@pytest.fixture
def gpu(device: str) -> None:
    """Skip a test that needs a GPU."""
    if device == "cpu":
        pytest.skip("only a GPU has what this test looks at")


@pytest.fixture
def settings(device: str, tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that changes the overrides of a run of ResNet-8 on the digits; results are in `tmp_path`."""

    def make(*overrides: str, results: str = "results") -> list[str]:
        paths = (f"paths.results={tmp_path / results}", f"paths.data={tmp_path / 'data'}")
        lines = {line.partition("=")[0]: line for line in (*SETTINGS, f"trainer={device}", *paths, *overrides)}
        return list(lines.values())

    return make


@pytest.fixture
def config(settings: Callable[..., list[str]]) -> Callable[..., RunConfig]:
    """Return a function that composes the run of `settings`."""
    return lambda *overrides, results="results": compose(settings(*overrides, results=results))
