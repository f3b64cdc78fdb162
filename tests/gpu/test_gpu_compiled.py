"""Compiled networks on a GPU, with and without CUDA graphs; some minutes where nothing is compiled yet."""

from collections.abc import Callable, Iterator

import pandas as pd
import pytest

from resnet_ablations.config import RunConfig
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]

pytestmark = pytest.mark.usefixtures("gpu")

ONE_UNIT = ("network.depth=4", "network.units=[1]", "network.widths=[8]", "network.stem.width=8")
RUN = (*ONE_UNIT, "shortcut=dropout", "schedule.log_every=1", "trainer.threads=4")


@pytest.fixture(scope="module", autouse=True)
def compiled_code(device: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled code for the tests of this file only."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


def losses(run: RunConfig) -> list[float]:
    """The losses of a run that is trained now, of training and then of testing."""
    result = train_run(run)
    assert result is not None
    assert result.outcome == "finished"
    curve = pd.read_csv(run.folder.curve)
    return [*curve["train_loss"], *curve["test_loss"].dropna()]


@pytest.mark.parametrize(
    ("mode", "precision", "tolerance"),
    [
        ("default", "32-true", 1e-3),
        ("reduce-overhead", "32-true", 1e-3),
        ("reduce-overhead", "bf16-mixed", 3e-2),
        ("max-autotune", "32-true", 1e-3),
    ],
)
def test_a_compiled_run_is_the_same_but_for_rounding(
    config: Config, mode: str, precision: str, tolerance: float
) -> None:
    plain = losses(config(*RUN, results="plain"))
    compiled = losses(config(*RUN, f"precision={precision}", f"trainer.compile={mode}"))
    assert compiled == pytest.approx(plain, rel=tolerance)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_run_gives_the_same_bytes_again(config: Config, mode: str) -> None:
    first, second = (config(*RUN, f"trainer.compile={mode}", results=place) for place in ("a", "b"))
    assert losses(first) == losses(second)
    assert first.folder.curve.read_bytes() == second.folder.curve.read_bytes()
