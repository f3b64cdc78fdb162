"""Arrays in one npz file; a damaged file is detected."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def write_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write an npz file atomically: a reader sees the old file or the new one, also after a crash.

    Only one process may write at a time: the temporary file has a fixed name, so that the next writer overwrites the
    file that a killed process left.
    """
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """Return the arrays of an npz file; None if the file is missing or unreadable, or if a CRC-32 checksum is wrong."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            # np.load alone does not detect a damaged member header that makes the array shorter.
            if stored.zip.testzip() is not None:
                return None
            return dict(stored)
    except Exception:  # zipfile and NumPy do not document which errors damaged bytes raise
        return None
