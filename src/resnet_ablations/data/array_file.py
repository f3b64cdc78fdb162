"""Arrays in one file that is either whole or recognised as damaged."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def write_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write an npz file in one step: whoever looks sees the old file or the new one, also after a crash.

    One writer at a time: the temporary file has a fixed name, so that what a killed one leaves is overwritten.
    """
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """The arrays of an npz file; None if it is missing, unreadable or any of its checksums (CRC-32) is wrong."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            # np.load alone misses damage in a member's header that makes the array shorter
            if stored.zip.testzip() is not None:
                return None
            return dict(stored)
    except Exception:  # what damaged bytes make zipfile and NumPy raise is not listed anywhere
        return None
