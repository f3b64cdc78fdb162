"""`make notebooks`: execute the notebooks and keep those outputs that a second execution gives again."""

import os
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))


def executed(path: Path) -> NotebookNode:
    """Return the notebook with new outputs, from this Python on one thread; an error in a cell is raised."""
    notebook = nbformat.read(path, as_version=4)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("RESNET_ABLATIONS_", "MPL"))}
    with tempfile.TemporaryDirectory() as folder:
        kernel = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),  # this Python's, whatever the user has installed
            transport="ipc",
            connection_file=f"{folder}/kernel.json",
        )
        client = NotebookClient(notebook, km=kernel, resources={"metadata": {"path": str(path.parent)}}, timeout=300)
        client.execute(cleanup_kc=True, env=own | {"OMP_NUM_THREADS": "1", "IPYTHONDIR": folder})
    return _without_traces(notebook)


def _without_traces(notebook: NotebookNode) -> NotebookNode:
    """Remove counts, versions and everything else that differs between two executions."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
        if cell.cell_type == "code":
            cell.execution_count = None
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = None
    return notebook


if __name__ == "__main__":
    for path in NOTEBOOKS:
        nbformat.write(executed(path), path)
        print(f"wrote {path.name}")
