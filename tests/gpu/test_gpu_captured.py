"""A step recorded as CUDA graphs trains the same bytes as the eager step, in a few launches and without waits."""

from collections.abc import Callable

import pandas as pd
import pytest
from observing import numbers
from watching import QUIET, launches_of, train_until, train_without_waiting

from resnet_ablations.config import RunConfig
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]

pytestmark = pytest.mark.usefixtures("gpu")

CAPTURED = "trainer.cuda_graph=true"
TWO_PASSES = "trainer.micro_batches_per_pass=1"
CHECKPOINTS = "trainer.checkpoint_iterations=2"


def assert_same_files(run: RunConfig, other: RunConfig) -> None:
    assert numbers(run.folder.result()) == numbers(other.folder.result())
    for name in ("curve", "responses", "signals"):
        assert getattr(run.folder, name).read_bytes() == getattr(other.folder, name).read_bytes()


@pytest.mark.parametrize("passes", [(), (TWO_PASSES,)], ids=["one pass", "two passes"])
@pytest.mark.parametrize("precision", ["32-true", "tf32", "bf16-mixed"])
@pytest.mark.parametrize("shortcut", ["identity", "dropout", "exclusive_gating"])
def test_captured_equals_eager_to_the_last_bit(
    config: Config, shortcut: str, precision: str, passes: tuple[str, ...]
) -> None:
    setting = (f"shortcut={shortcut}", f"precision={precision}", *passes)
    eager, captured = config(*setting, results="eager"), config(*setting, CAPTURED, results="captured")
    train_run(eager)
    train_run(captured)
    assert_same_files(captured, eager)


@pytest.mark.parametrize("setting", [("data=generated", "data.crop=16"), ("trainer.channels_last=false",)])
def test_other_images_and_memory_too(config: Config, setting: tuple[str, ...]) -> None:
    eager, captured = config(*setting, results="eager"), config(*setting, CAPTURED, results="captured")
    train_run(eager)
    train_run(captured)
    assert_same_files(captured, eager)


@pytest.mark.parametrize("then", [CAPTURED, "trainer.cuda_graph=false"], ids=["captured", "eager"])
def test_a_stopped_run_goes_on_to_the_same_bytes(config: Config, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    setting = ("shortcut=dropout", CHECKPOINTS)
    stopped, straight = config(*setting, CAPTURED, results="a"), config(*setting, CAPTURED, results="b")
    train_until(monkeypatch, stopped, 6)
    train_run(config(*setting, then, results="a"))
    train_run(straight)
    assert_same_files(stopped, straight)


@pytest.mark.parametrize("shortcut", ["identity", "dropout"])
def test_five_iterations_wait_for_nothing(config: Config, shortcut: str) -> None:
    train_without_waiting(config(*QUIET, CAPTURED, f"shortcut={shortcut}"))


@pytest.mark.parametrize("depth", [20, 110])
def test_a_deeper_network_has_no_more_launches(config: Config, depth: int) -> None:
    """Two graphs an iteration, beside what makes the batch; on an H200 with torch 2.11 there were 23 launches."""
    launches = launches_of(config, f"network.depth={depth}", CAPTURED)
    print(f"ResNet-{depth}, captured: {launches:.0f} launches an iteration")
    assert 2 <= launches <= 40


def test_one_pass_is_two_but_for_rounding(config: Config) -> None:
    one_unit = ("network.depth=4", "network.units=[1]", "network.widths=[8]", "network.stem.width=8")
    one, two = config(*one_unit, results="one"), config(*one_unit, TWO_PASSES, results="two")
    train_run(one)
    train_run(two)
    curves = [pd.read_csv(run.folder.curve)[["train_loss", "test_loss"]].to_numpy() for run in (one, two)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-3, nan_ok=True)
