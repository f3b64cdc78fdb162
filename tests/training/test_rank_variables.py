"""Variables that Lightning reads as numbers when it is imported: those of another program stop nothing."""

import subprocess
import sys

import pytest

NAMES = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


@pytest.mark.parametrize("value", ["", "x"])
def test_a_stray_rank(value: str) -> None:
    code = "import resnet_ablations.training.module"
    subprocess.run([sys.executable, "-c", code], env=dict.fromkeys(NAMES, value), check=True)
