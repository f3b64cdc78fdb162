from collections.abc import Iterator

import pytest
from one_node import OneNode, missing


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneNode]:
    """A SLURM of one node, without accounting, for the tests of this session."""
    if missing():
        pytest.skip("no SLURM: slurmctld, slurmd and munged are needed, and root")
    with OneNode(tmp_path_factory.mktemp("slurm")) as node:
        yield node
