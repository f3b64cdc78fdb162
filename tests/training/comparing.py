"""The comparison of two runs with the same seed: their losses, their signals, and the distance of their weights."""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

import resnet_ablations as ra
from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.results.run_folder import Result
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.training.run import train_run

SMALL = ("network.depth=4", "network.units=[1]", "network.widths=[8]", "network.stem.width=8", "bn_batch=16")
"""A network of one unit, which compiles in seconds, and two micro-batches per step."""

# docs/performance.md has the measurements behind these bounds.
LOSSES, WEIGHTS = 1e-4, 0.01
"""Bounds for the effect of rounding: relative difference of losses, and `distance_of_weights`."""
BF16_LOSSES, BF16_WEIGHTS = 2e-3, 0.1
"""Bounds for the effect of bf16 against float32."""


@dataclass(frozen=True)
class Trained:
    """The data by which two runs of one key are compared."""

    losses: list[float]
    """The training losses, and at the end the test loss."""
    before: dict[str, Tensor]
    """The initial weights and running statistics."""
    weights: dict[str, Tensor]
    """The weights and running statistics before the last step."""
    result: Result


def trained(run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Train a run and return its weights; a run that was trained before is not trained again."""
    contents: list[bytes] = []
    checkpointing = run.trainer.model_copy(update={"checkpoint_iterations": run.schedule.iterations - 1})
    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "write_checkpoint", lambda self, iteration, content: contents.append(content))
        result = train_run(run.model_copy(update={"trainer": checkpointing}))
    curve = pd.read_csv(run.folder.curve)
    shutil.rmtree(run.folder.path)
    return Trained(
        losses=[*curve["train_loss"], curve["test_loss"].iloc[-1]],
        before=build_network(run).state_dict(),
        weights=torch.load(io.BytesIO(contents[-1]), weights_only=True)["network"],
        result=result,
    )


def distance_of_weights(one: Trained, other: Trained) -> float:
    """Return the distance of the weights in units of the distance that training moved them: 0 equal, 1 unrelated."""
    assert list(one.weights) == list(other.weights) == list(one.before)

    def distance(some: dict[str, Tensor], others: dict[str, Tensor]) -> float:
        learnt = [name for name in one.weights if "running" not in name and "num_batches" not in name]
        return torch.stack([(some[name] - others[name]).square().sum() for name in learnt]).sum().sqrt().item()

    return distance(one.weights, other.weights) / distance(other.weights, other.before)


def check_alike(results: Path, others: Path) -> None:
    """Check that two results folders hold the same signals: equal at the start; later, rounding has grown."""
    one, other = ra.load_signals(results), ra.load_signals(others)
    assert one[one["iteration"] == 0].equals(other[other["iteration"] == 0])
    pd.testing.assert_frame_equal(one, other, rtol=0.02)
