import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Starter
from sweeps import FOUR, HOW, Sweeps, another_file_system


@pytest.fixture
def sweeps_in(starter: Starter, tmp_path: Path) -> Iterator[Callable[..., Sweeps]]:
    """Return a function that makes sweeps over the results in a folder; at the end it kills running commands."""
    made: list[Sweeps] = []

    def make(name: str = "a", *, fresh: bool = False, spares: int = 1) -> Sweeps:
        place = tmp_path / name
        place.mkdir()
        made.append(Sweeps(starter, place, another_file_system(tmp_path), fresh, spares))
        return made[-1]

    yield make
    for sweeps in made:
        for command in sweeps.started:
            command.end()
        shutil.rmtree(sweeps.temporary)


@pytest.fixture
def sweeps(sweeps_in: Callable[..., Sweeps]) -> Sweeps:
    """Return sweeps over one results folder."""
    return sweeps_in()


@pytest.fixture(scope="session")
def left_by(starter: Starter, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Return the files of a sweep without faults."""

    def left(*overrides: str) -> dict[str, Any]:
        place = tmp_path_factory.mktemp("undisturbed")
        sweeps = Sweeps(starter, place, another_file_system(place))
        command = sweeps.run(*overrides, *HOW)
        assert command.code == 0, command.said
        assert sweeps.temporary_files() == set()
        shutil.rmtree(sweeps.temporary)
        return sweeps.outcome()

    return left


@pytest.fixture(scope="session")
def undisturbed(left_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return the files of the four runs without faults."""
    return left_by(*FOUR)
