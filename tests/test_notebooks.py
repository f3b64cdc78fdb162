"""The notebooks run as they are and say what is committed; `make notebooks` writes their outputs anew."""

import runpy
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
executed = runpy.run_path(str(NOTEBOOKS / "execute.py"))["executed"]


def texts(notebook: Any) -> list[list[Any]]:
    """The source and output of each cell, without images: another processor may draw them differently."""
    return [[cell["source"], *(as_text(output) for output in cell.get("outputs", []))] for cell in notebook["cells"]]


def as_text(output: Any) -> Any:
    if "data" not in output:
        return dict(output)
    return {kind: content for kind, content in output["data"].items() if kind.startswith("text/")}


@pytest.mark.parametrize("name", ["01_results", "02_why_identity"])
def test_an_executed_notebook_equals_the_committed_one(name: str) -> None:
    path = NOTEBOOKS / f"{name}.ipynb"
    before = path.read_bytes()
    committed = nbformat.read(path, as_version=4)
    assert any(cell.get("outputs") for cell in committed["cells"])
    assert texts(executed(path)) == texts(committed), "make notebooks"
    assert path.read_bytes() == before


def test_committed_notebooks_are_small_and_have_no_local_paths() -> None:
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    assert [path.stem for path in paths] == ["01_results", "02_why_identity"]
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert path.stat().st_size < 300_000
        assert str(NOTEBOOKS.parent) not in path.read_text(encoding="utf-8")
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["execution_count"] is None and cell["metadata"] == {} for cell in cells)
        assert not any(output.get("name") == "stderr" for cell in cells for output in cell["outputs"])
