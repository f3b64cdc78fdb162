"""The cluster of the jobs of a results folder: on another cluster, the same job numbers mean other jobs."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from resnet_ablations.errors import UserError
from resnet_ablations.sweep.slurm_commands import SlurmError, cluster_settings

NAME = "cluster.txt"
"""The file with the name of the cluster, in the folder of the jobs' scripts and output."""


def check_cluster(folder: Path, settings: Mapping[str, str]) -> None:
    """Raise `UserError` if the jobs of the folder are on another cluster than this machine's, which has `settings`.

    The first command writes the cluster's name. The caller holds the `results_lock`.
    """
    own, other = settings.get("ClusterName", ""), _written(folder)
    if own and other not in ("", own):
        raise UserError(
            f"paths.results={folder.parent}: its jobs are on the cluster {other}, and this machine's is {own}; "
            "choose another results folder"
        )
    if own and not other:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NAME).write_text(f"{own}\n", encoding="utf-8")


def other_cluster(folder: Path) -> str | None:
    """Return the name of the cluster of the folder's jobs if it is not this machine's; otherwise None."""
    if not (name := _written(folder)):
        return None
    with suppress(SlurmError):
        if cluster_settings().get("ClusterName", name) == name:
            return None
    return name


def _written(folder: Path) -> str:
    with suppress(OSError):
        return (folder / NAME).read_text(encoding="utf-8").strip()
    return ""
