"""Two ranks on one GPU: over gloo they train together, for NCCL they are refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from resnet_ablations.config import RunConfig
from resnet_ablations.training.run import train_run

Config = Callable[..., RunConfig]
Settings = Callable[..., list[str]]

ONE_UNIT = ("network.depth=4", "network.units=[1]", "network.widths=[8]", "network.stem.width=8")


def losses(run: RunConfig) -> list[float]:
    """The losses of a run that is trained now, of training and then of testing."""
    train_run(run)
    curve = pd.read_csv(run.folder.curve)
    return [*curve["train_loss"], *curve["test_loss"].dropna()]


@pytest.mark.parametrize("captured", ["trainer.cuda_graph=true", "trainer.cuda_graph=false"])
def test_two_ranks_share_a_gpu_over_gloo(config: Config, device: str, captured: str) -> None:
    if device == "cpu" and captured.endswith("true"):
        pytest.skip("a CPU has no CUDA graphs")
    alone = config(*ONE_UNIT, results="alone")
    shared = config(*ONE_UNIT, captured, "trainer.devices=2", "trainer.backend=gloo", results="shared")
    assert losses(shared) == pytest.approx(losses(alone), rel=1e-3)


def test_more_ranks_than_gpus_under_torchrun_are_refused_in_one_line(
    settings: Settings, tmp_path: Path, gpu: None
) -> None:
    """Before NCCL is asked."""
    if torch.cuda.device_count() > 1:
        pytest.skip("two ranks have a GPU each")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "resnet_ablations.train"]
    ended = subprocess.run(
        [*torchrun, *settings("trainer.devices=2")], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode != 0
    assert "the ranks have 1 GPUs between them, and NCCL needs one for each" in ended.stdout + ended.stderr
    assert "ncclInvalidUsage" not in ended.stderr
