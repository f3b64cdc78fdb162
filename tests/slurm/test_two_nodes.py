import time
from pathlib import Path

import pytest
from two_nodes import TwoNodes

pytestmark = pytest.mark.xdist_group("slurm")


def test_array_tasks_run_as_many_at_once_as_allowed(slurm: TwoNodes, tmp_path: Path) -> None:
    task = f"echo start >> {tmp_path}/log; sleep 0.2; echo end >> {tmp_path}/log"
    slurm.run("sbatch", "--wait", "--array=0-2%1", "--output=/dev/null", f"--wrap={task}")
    assert (tmp_path / "log").read_text().split() == ["start", "end"] * 3


def test_the_cluster_has_no_accounting(slurm: TwoNodes) -> None:
    with pytest.raises(RuntimeError, match="accounting storage is disabled"):
        slurm.run("sacct")


def test_a_requeued_job_begins_again(slurm: TwoNodes, tmp_path: Path) -> None:
    again = "test $SLURM_RESTART_COUNT || scontrol requeue $SLURM_JOB_ID"
    command = f"echo $SLURM_RESTART_COUNT >> {tmp_path}/log; {again}"
    job = slurm.run("sbatch", "--parsable", "--output=/dev/null", f"--wrap={command}").stdout.strip()
    while not (tmp_path / "log").exists():
        assert job in slurm.queue()
    slurm.begin_now(job)
    while job in slurm.queue():
        time.sleep(0.1)
    assert (tmp_path / "log").read_text() == "\n1\n"
