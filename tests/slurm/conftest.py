from collections.abc import Iterator

import pytest
from two_nodes import TwoNodes, missing


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    """Return a SLURM of two nodes, without accounting, for the tests of this session."""
    if missing():
        pytest.skip("no SLURM: slurmctld, slurmd and munged are needed, and root")
    with TwoNodes(tmp_path_factory.mktemp("slurm")) as node:
        yield node
